"""Compares the time of a training step of PyTorch in eager mode with ours: same model, batch, optimizer, machine and threads.

Usage: train_step.py BIN [--device cpu|cuda] [--rounds N] [--seconds S]

BIN is the folder of this project's programs; ours is device_times --step. The two run in turn, so that a slow moment of the machine
affects both, and the ratio is that of the medians. PyTorch uses its fast functions that need no compiler: fused scaled-dot-product
attention, F.rms_norm, F.cross_entropy and the fused AdamW. On a CUDA device both compute products in bfloat16 under autocast, with
models of a size for GPUs.
"""

import statistics
import subprocess

import torch
from torch import nn

import gpt
from gpt import Architecture
from timing import comparison_parser, median_seconds

# Models with their batches: architecture, sequences, tokens.
CPU_CASES = {
    "llama2-20M-prenorm": (Architecture("llama2", "prenorm", 256, 4, 4, 768, 256, 128), 8, 128),
    "llama2-20M-preqknorm": (Architecture("llama2", "preqknorm", 256, 4, 4, 768, 256, 128), 8, 128),
    "llama2-20M-simplegpt": (Architecture("llama2", "simplegpt", 256, 4, 4, 768, 256, 128), 8, 128),
    "llama2-20M-prenorm, 32000 words": (Architecture("llama2", "prenorm", 256, 4, 4, 768, 32000, 128), 4, 128),
    "llama2-134M-prenorm": (Architecture("llama2", "prenorm", 768, 12, 12, 2048, 256, 128), 2, 128),
    "gpt2-10M-prenorm": (Architecture("gpt2", "prenorm", 384, 6, 6, 1536, 256, 128), 8, 128),
}
CUDA_CASES = {
    "llama2-271M-prenorm": (Architecture("llama2", "prenorm", 1024, 16, 16, 2816, 32000, 1024), 16, 1024),
    "llama2-271M-simplegpt": (Architecture("llama2", "simplegpt", 1024, 16, 16, 2816, 32000, 1024), 16, 1024),
    "llama2-1B-prenorm": (Architecture("llama2", "prenorm", 2048, 18, 16, 5632, 32000, 1024), 8, 1024),
    "llama2-1B-simplegpt": (Architecture("llama2", "simplegpt", 2048, 18, 16, 5632, 32000, 1024), 8, 1024),
}


class EagerStep:
    def __init__(self, architecture, sequences, tokens, device):
        torch.manual_seed(1)
        self.device = device
        with torch.device(device):
            self.model = gpt.Gpt(architecture)
        for parameter in self.model.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True
        )
        ids = torch.randint(architecture.vocab_size, (sequences, tokens + 1), device=device)
        self.tokens, self.targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def __call__(self):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            loss = gpt.mean_loss(self.model(self.tokens), self.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return value


def our_seconds(programs, name, case, device, seconds):
    architecture, sequences, tokens = case
    command = [programs / "device_times", "--step", name.split(",")[0], "--vocab-size", architecture.vocab_size]
    command += ["--sequences", sequences, "--tokens", tokens, "--device", device, "--seconds", seconds]
    done = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE)
    return float(done.stdout)


def their_seconds(case, device, seconds):
    step = EagerStep(*case, device)
    for _ in range(3):
        step()
    result = median_seconds(step, seconds, at_least=3)
    del step
    if device == "cuda":
        torch.cuda.empty_cache()  # ours runs next, in another process
    return result


def main():
    options = comparison_parser(__doc__.splitlines()[0], rounds=5, seconds=4.0).parse_args()
    cases = CPU_CASES if options.device == "cpu" else CUDA_CASES
    where = f"{torch.get_num_threads()} threads" if options.device == "cpu" else torch.cuda.get_device_name()
    print(f"PyTorch {torch.__version__}, {where}; seconds are medians of {options.rounds} rounds in turn")
    print(f"{'model':<34} {'batch':>10} {'PyTorch eager':>14} {'ours':>10} {'ours / PyTorch':>15}")
    for name in options.case or cases:
        case = cases[name]
        theirs, ours = [], []
        for _ in range(options.rounds):
            theirs.append(their_seconds(case, options.device, options.seconds))
            ours.append(our_seconds(options.programs, name, case, options.device, options.seconds))
        theirs, ours = statistics.median(theirs), statistics.median(ours)
        batch = f"{case[1]} x {case[2]}"
        print(f"{name:<34} {batch:>10} {theirs:>12.4f} s {ours:>8.4f} s {ours / theirs:>15.2f}", flush=True)


if __name__ == "__main__":
    main()
