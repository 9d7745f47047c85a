"""One contender in a process of its own, for hvp.py: answers each line of standard input by one line of JSON.

Usage: worker.py CONTENDER FOLDER activation|parameters

    product K FILE  writes the products with the first K vectors; answers how many bytes the process has grown by at its peak
                    since just before the operator was made
    time K SECONDS  makes them again and again for about that long; answers the median seconds of all K
    probe           the eigenvalue of largest magnitude before each block and the final norm, for each sequence, and the peak memory
                    of the process in bytes

The first answer, 0, says that all is loaded. CONTENDER is a class, as contenders.PyHessian. FOLDER holds what hvp.py wrote: a
model, tokens and vectors.
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


def warm_up(contender_class, architecture, layer):
    """One product with a tiny model, lest what libraries load for their first product pass for an operator's memory."""
    tiny = replace(architecture, dim=16, n_layers=1, n_heads=2, ffn_hidden_dim=32, vocab_size=32)
    tokens = torch.zeros(1, 8, dtype=torch.long)
    problem = Problem(tiny, gpt.Gpt(tiny), tokens, tokens, layer)
    contender_class(problem).apply(contender_class.prepare(problem, [[torch.zeros_like(part) for part in problem.point]]))


def solve(contender_class, problem, rung):
    """Climbs a contender's ladder from a rung on until the residual norm is small enough. Only the last run's time counts."""
    while True:
        gc.collect()  # PyHessian's graphs are cycles
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
        rung = 0  # a layer's sequences share what its first one needed, and climb on from there
        for sequence in range(len(problem.tokens)):
            one = slice(sequence, sequence + 1)
            part = Problem(problem.architecture, problem.model, problem.tokens[one], problem.targets[one], layer)
            rung, row = solve(contender_class, part, rung)
            rows.append({"layer": layer, "sequence": sequence, **row})
    return rows


class Worker:
    def __init__(self, contender_class, folder, layer):
        self.contender_class = contender_class
        architecture, model = subject.read_model(folder)
        self.problem = Problem(architecture, model, *subject.read_batch(folder), layer)
        vectors = subject.read_vectors(subject.vectors_path(folder, "parameters" if layer is None else "activation"))
        vectors = list(zip(*(vectors[name] for name in self.problem.names)))
        counts = {1, len(vectors)}
        self.vectors = {count: contender_class.prepare(self.problem, vectors[:count]) for count in counts}
        self.contender = None

    def product(self, count, path):
        if self.contender is None:
            warm_up(self.contender_class, self.problem.architecture, self.problem.layer)
            gc.collect()
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew: loading does not count
            self.bytes_before = memory_status("VmRSS")
            self.contender = self.contender_class(self.problem)
        products = self.contender.apply(self.vectors[int(count)])
        grown = memory_status("VmHWM") - self.bytes_before
        subject.write_vectors(path, dict(zip(self.problem.names, map(torch.stack, zip(*self.contender.results(products))))))
        return grown

    def time(self, count, seconds):
        return median_seconds(lambda: self.contender.apply(self.vectors[int(count)]), float(seconds))

    def probe(self):
        return probe(self.contender_class, self.problem), memory_status("VmHWM")


def main():
    module, name = sys.argv[1].split(".")
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        torch.manual_seed(1)
        contender_class = getattr(importlib.import_module(module), name)
        worker = Worker(contender_class, Path(sys.argv[2]), 0 if sys.argv[3] == "activation" else None)
        print(0, file=answers, flush=True)
        for line in sys.stdin:
            request, *words = line.split()
            print(json.dumps(getattr(worker, request)(*words)), file=answers, flush=True)


if __name__ == "__main__":
    main()
