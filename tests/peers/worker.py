"""Runs one contender in its own process, for hvp.py: answers each line of standard input with one line of JSON.

Usage: worker.py CONTENDER FOLDER activation|parameters [cpu|cuda]

    product K FILE  writes the products with the first K vectors; answers by how many bytes the peak memory has grown since just
                    before the operator was constructed: the process's, or PyTorch's on a CUDA device
    time K SECONDS  repeats these products for about that long; answers the median seconds of all K
    probe           answers the eigenvalue of largest magnitude before each layer and the final norm, for each sequence, and
                    the peak memory of the process in bytes

A first line, 0, tells that everything is loaded. CONTENDER is a class, such as contenders.PyHessian. FOLDER holds the model, tokens
and vectors that hvp.py wrote.
"""

import contextlib
import gc
import importlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

import gpt
import subject
from contenders import DoubleBackward, Problem
from process_memory import memory_status
from timing import median_seconds

TOLERANCE = 1e-3


def warm_up(contender_class, architecture, layer, device):
    """Computes one product with a tiny model, so that libraries loaded for it do not count as the memory of an operator."""
    tiny = replace(architecture, dim=16, n_layers=1, n_heads=2, ffn_hidden_dim=32, vocab_size=32)
    tokens = torch.zeros(1, 8, dtype=torch.long, device=device)
    problem = Problem(tiny, gpt.Gpt(tiny).to(device), tokens, tokens, layer)
    contender_class(problem).apply(contender_class.prepare(problem, [[torch.zeros_like(part) for part in problem.point]]))


def solve(contender_class, problem, rung):
    """Tries a contender's settings, from `rung` upwards, until the residual norm is small enough. Times only the last run."""
    while True:
        gc.collect()  # PyHessian's graphs contain cycles
        start = time.perf_counter()
        contender = contender_class(problem)
        v = contender.solve(contender.ladder[rung])
        seconds = time.perf_counter() - start
        v = v / v.norm()
        product = problem.flat(DoubleBackward(problem).product(problem.unflat(v)))
        eigenvalue = torch.dot(v, product).item()
        residual = (product - eigenvalue * v).norm().item() / abs(eigenvalue)
        if residual <= TOLERANCE or rung + 1 == len(contender.ladder):
            return rung, {"eigenvalue": eigenvalue, "residual": residual, "setting": contender.ladder[rung], "seconds": seconds}
        rung += 1


def probe(contender_class, problem):
    rows = []
    for layer in range(problem.architecture.n_layers + 1):
        rung = 0  # each sequence of a layer starts from the setting that the previous one needed
        for sequence in range(len(problem.tokens)):
            one = slice(sequence, sequence + 1)
            part = Problem(problem.architecture, problem.model, problem.tokens[one], problem.targets[one], layer)
            rung, row = solve(contender_class, part, rung)
            rows.append({"layer": layer, "sequence": sequence, **row})
    return rows


class PeakMemory:
    """The growth of the peak memory of a process, or of a device, since this object was constructed, in bytes."""

    def __init__(self, device):
        self.device = device
        if device == "cpu":
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, so that loading does not count
            self.before = memory_status("VmRSS")
        else:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()

    def grown(self):
        return (memory_status("VmHWM") if self.device == "cpu" else torch.cuda.max_memory_allocated()) - self.before


class Worker:
    def __init__(self, contender_class, folder, layer, device):
        self.contender_class = contender_class
        self.device = device
        architecture, model = subject.read_model(folder)
        tokens, targets = (ids.to(device) for ids in subject.read_batch(folder))
        self.problem = Problem(architecture, model.to(device), tokens, targets, layer)
        vectors = subject.read_vectors(subject.vectors_path(folder, "parameters" if layer is None else "activation"))
        vectors = list(zip(*(vectors[name].to(device) for name in self.problem.names)))
        counts = {1, len(vectors)}
        self.vectors = {count: contender_class.prepare(self.problem, vectors[:count]) for count in counts}
        self.contender = None

    def product(self, count, path):
        if self.contender is None:
            warm_up(self.contender_class, self.problem.architecture, self.problem.layer, self.device)
            gc.collect()
            self.peak_memory = PeakMemory(self.device)
            self.contender = self.contender_class(self.problem)
        products = self.contender.apply(self.vectors[int(count)])
        grown = self.peak_memory.grown()
        subject.write_vectors(path, dict(zip(self.problem.names, map(torch.stack, zip(*self.contender.results(products))))))
        return grown

    def time(self, count, seconds):
        def work():
            self.contender.apply(self.vectors[int(count)])
            if self.device == "cuda":
                torch.cuda.synchronize()

        return median_seconds(work, float(seconds))

    def probe(self):
        return probe(self.contender_class, self.problem), memory_status("VmHWM")


def main():
    module, name = sys.argv[1].split(".")
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        torch.manual_seed(1)
        contender_class = getattr(importlib.import_module(module), name)
        device = sys.argv[4] if len(sys.argv) > 4 else "cpu"
        worker = Worker(contender_class, Path(sys.argv[2]), 0 if sys.argv[3] == "activation" else None, device)
        print(0, file=answers, flush=True)
        for line in sys.stdin:
            request, *words = line.split()
            print(json.dumps(getattr(worker, request)(*words)), file=answers, flush=True)


if __name__ == "__main__":
    main()
