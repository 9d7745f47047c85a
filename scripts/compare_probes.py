"""Prints probes of several models side by side, layer by layer.

Usage: compare_probes.py NAME...    each NAME.json was printed by hessian-probe --json
"""

import json
import statistics
import sys
from pathlib import Path


def rows_by_layer(report):
    """The residual's rows: layer -> (median spectral norm, RMS)."""
    return {
        row["layer"]: (statistics.median(row["spectral_norm"]), row["rms"])
        for row in report["rows"]
        if row["site"] == "residual"
    }


def main(names):
    reports = {Path(name).name: json.loads(Path(name + ".json").read_text()) for name in names}
    tables = {name: rows_by_layer(report) for name, report in reports.items()}
    columns = list(tables)
    width = max(12, *(len(name) for name in columns)) + 2

    print("\n||H_xx||_2 by layer (median over sequences, nats), and the RMS of the residual stream\n")
    print("layer " + "".join(f"{name:>{width}}" for name in columns) + "  |" + "".join(f"{name:>{width}}" for name in columns))
    for layer in sorted(set().union(*tables.values())):
        norms = "".join(f"{table[layer][0]:>{width}.3e}" for table in tables.values())
        scales = "".join(f"{table[layer][1]:>{width}.3f}" for table in tables.values())
        print(f"{layer:>5} {norms}  |{scales}")
    print("loss  " + "".join(f"{statistics.mean(report['loss']):>{width}.4f}" for report in reports.values()))
    open_estimates = sum(row["converged"].count(False) for report in reports.values() for row in report["rows"])
    print(f"estimates that did not converge: {open_estimates}\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
