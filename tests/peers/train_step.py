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
import time

import torch
import torch.nn.functional as F
from torch import nn

# name of the benchmark: (family, placement, dim, layers, heads, ffn width, vocabulary, sequences, tokens)
CASES = {
    "llama2_20M_prenorm_8x128_bytes": ("llama2", "prenorm", 256, 4, 4, 768, 256, 8, 128),
    "llama2_20M_preqknorm_8x128_bytes": ("llama2", "preqknorm", 256, 4, 4, 768, 256, 8, 128),
    "llama2_20M_simplegpt_8x128_bytes": ("llama2", "simplegpt", 256, 4, 4, 768, 256, 8, 128),
    "llama2_20M_prenorm_4x128": ("llama2", "prenorm", 256, 4, 4, 768, 32000, 4, 128),
    "llama2_134M_prenorm_2x128_bytes": ("llama2", "prenorm", 768, 12, 12, 2048, 256, 2, 128),
    "gpt2_10M_prenorm_8x128_bytes": ("gpt2", "prenorm", 384, 6, 6, 1536, 256, 8, 128),
}


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-5)


class NormedLinear(nn.Module):
    """A linear map, with RMSNorm behind it in SimpleNorm models."""

    def __init__(self, inputs, outputs, placement):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.norm = RMSNorm(outputs) if placement == "simplegpt" else nn.Identity()

    def forward(self, x):
        return self.norm(self.linear(x))


class Block(nn.Module):
    def __init__(self, family, placement, dim, heads, ffn):
        super().__init__()
        self.family, self.heads = family, heads
        norm = (lambda: nn.LayerNorm(dim, bias=False)) if family == "gpt2" else (lambda: RMSNorm(dim))
        bare = placement == "simplegpt"
        self.attention_norm = nn.Identity() if bare else norm()
        self.ffn_norm = nn.Identity() if bare else norm()
        linear = lambda inputs, outputs: NormedLinear(inputs, outputs, placement)
        self.q, self.k, self.v, self.o = (linear(dim, dim) for _ in range(4))
        self.w1, self.w2 = linear(dim, ffn), linear(ffn, dim)
        self.w3 = linear(dim, ffn) if family != "gpt2" else None
        self.q_norm, self.k_norm = (RMSNorm(dim) if placement == "preqknorm" else nn.Identity() for _ in range(2))

    def rotate(self, x, table):
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * table[:, None]).flatten(-2).type_as(x)

    def forward(self, x, table):
        shape = (*x.shape[:2], self.heads, -1)
        a = self.attention_norm(x)
        q, k, v = self.q_norm(self.q(a)).view(shape), self.k_norm(self.k(a)).view(shape), self.v(a).view(shape)
        if table is not None:
            q, k = self.rotate(q, table), self.rotate(k, table)
        mixed = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(x.shape))
        b = self.ffn_norm(x)
        inner = F.gelu(self.w1(b)) if self.w3 is None else F.silu(self.w1(b)) * self.w3(b)
        return x + self.w2(inner)


class Gpt(nn.Module):
    def __init__(self, family, placement, dim, layers, heads, ffn, vocab, tokens):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.positions = nn.Embedding(tokens, dim) if family == "gpt2" else None
        self.blocks = nn.ModuleList(Block(family, placement, dim, heads, ffn) for _ in range(layers))
        self.norm = nn.LayerNorm(dim, bias=False) if family == "gpt2" else RMSNorm(dim)
        self.head = nn.Linear(dim, vocab, bias=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        self.table = None
        if family == "gpt2":
            self.head.weight = self.embedding.weight
        else:
            frequencies = 10000.0 ** (-torch.arange(0, dim // heads, 2) / (dim // heads))
            angles = torch.outer(torch.arange(tokens), frequencies)
            self.table = torch.polar(torch.ones_like(angles), angles)

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, self.table)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


class EagerStep:
    def __init__(self, case):
        family, placement, dim, layers, heads, ffn, vocab, sequences, tokens = case
        torch.manual_seed(1)
        self.model = Gpt(family, placement, dim, layers, heads, ffn, vocab, tokens)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True
        )
        ids = torch.randint(vocab, (sequences, tokens + 1))
        self.tokens, self.targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def __call__(self):
        loss = self.model(self.tokens, self.targets)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def eager_seconds(step, seconds):
    """Median time of a step, over about that many seconds."""
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


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
        step = EagerStep(case)
        for _ in range(3):
            step()
        theirs, ours = [], []
        for _ in range(options.rounds):
            theirs.append(eager_seconds(step, options.seconds))
            ours.append(our_seconds(options.program, name, options.seconds))
        theirs, ours = statistics.median(theirs), statistics.median(ours)
        print(f"{name:<36} {theirs:>12.4f} s {ours:>8.4f} s {ours / theirs:>15.2f}", flush=True)


if __name__ == "__main__":
    main()
