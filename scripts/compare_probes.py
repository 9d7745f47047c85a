"""Prints the first and the last probe of several training runs next to each other, layer by layer.

Usage: compare_probes.py NAME...    NAME.json is the output of hessian-train --json
"""

import json
import sys
from pathlib import Path


def print_probes(title, probes):
    """Prints a line per layer: the spectral norms of all runs, then the RMS of their residual streams."""
    columns = {name: probe["sites"]["residual"] for name, probe in probes.items()}
    width = max(12, *(len(name) for name in columns)) + 2
    names = "".join(f"{name:>{width}}" for name in columns)
    print(f"\n{title}: ||H_xx||_2 by layer (median over sequences, nats), and the RMS of the residual stream\n")
    print(f"layer {names}  |{names}")
    for row, layer in enumerate(next(iter(columns.values()))["layer"]):
        norms = "".join(f"{column['spectral_norm'][row]:>{width}.3e}" for column in columns.values())
        scales = "".join(f"{column['rms'][row]:>{width}.3f}" for column in columns.values())
        print(f"{layer:>5} {norms}  |{scales}")


def main(names):
    reports = {Path(name).name: json.loads(Path(name + ".json").read_text()) for name in names}
    for title, index in (("at the start", 0), ("at the end", -1)):
        probes = {name: report["probes"][index] for name, report in reports.items()}
        print_probes(f"{title} (step {next(iter(probes.values()))['step']})", probes)
    losses = ", ".join(f"{name} {report['validation_loss']:.4f}" for name, report in reports.items())
    print(f"\nvalidation loss (nats): {losses}\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
