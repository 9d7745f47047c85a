"""Times a training step of PyTorch in eager mode beside ours: the same model, batch, optimizer, machine and threads.

Usage: train_step.py BENCH_TRAIN_STEP [--rounds N] [--seconds S]

BENCH_TRAIN_STEP is this project's program of that name. The two are run in turn, so that a slow moment of the machine meets both,
and the ratio is that of the medians. PyTorch gets what makes it fast without a compiler: fused scaled-dot-product attention,
F.rms_norm, F.cross_entropy and the fused AdamW.
"""

import argparse
import json
import statistics
import subprocess

import torch
from torch import nn

import gpt
from gpt import Architecture
from timing import median_seconds

# name of the benchmark: model, sequences, tokens
CASES = {
    "llama2_20M_prenorm_8x128_bytes": (Architecture("llama2", "prenorm", 256, 4, 4, 768, 256, 128), 8, 128),
    "llama2_20M_preqknorm_8x128_bytes": (Architecture("llama2", "preqknorm", 256, 4, 4, 768, 256, 128), 8, 128),
    "llama2_20M_simplegpt_8x128_bytes": (Architecture("llama2", "simplegpt", 256, 4, 4, 768, 256, 128), 8, 128),
    "llama2_20M_prenorm_4x128": (Architecture("llama2", "prenorm", 256, 4, 4, 768, 32000, 128), 4, 128),
    "llama2_134M_prenorm_2x128_bytes": (Architecture("llama2", "prenorm", 768, 12, 12, 2048, 256, 128), 2, 128),
    "gpt2_10M_prenorm_8x128_bytes": (Architecture("gpt2", "prenorm", 384, 6, 6, 1536, 256, 128), 8, 128),
}


class EagerStep:
    def __init__(self, architecture, sequences, tokens):
        torch.manual_seed(1)
        self.model = gpt.Gpt(architecture)
        for parameter in self.model.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True
        )
        ids = torch.randint(architecture.vocab_size, (sequences, tokens + 1))
        self.tokens, self.targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def __call__(self):
        loss = gpt.mean_loss(self.model(self.tokens), self.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def our_seconds(program, name, seconds):
    command = [program, f"--benchmark_filter=^train_step/{name}/", f"--benchmark_min_time={seconds}", "--benchmark_format=json"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    return report["benchmarks"][0]["median_seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads; seconds are medians of {options.rounds} rounds in turn")
    print(f"{'model and batch':<36} {'PyTorch eager':>14} {'ours':>10} {'ours / PyTorch':>15}")
    for name, case in CASES.items():
        step = EagerStep(*case)
        for _ in range(3):
            step()
        theirs, ours = [], []
        for _ in range(options.rounds):
            theirs.append(median_seconds(step, options.seconds, at_least=3))
            ours.append(our_seconds(options.program, name, options.seconds))
        theirs, ours = statistics.median(theirs), statistics.median(ours)
        print(f"{name:<36} {theirs:>12.4f} s {ours:>8.4f} s {ours / theirs:>15.2f}", flush=True)


if __name__ == "__main__":
    main()
