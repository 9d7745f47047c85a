"""Timing, and the command-line options of the programs that compare times."""

import argparse
import statistics
import time
from pathlib import Path


def median_seconds(work, seconds, at_least=1):
    """Returns the median time of work(), over about `seconds` and at least `at_least` runs."""
    times = []
    end = time.perf_counter() + seconds
    while len(times) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def comparison_parser(description, rounds, seconds):
    """Returns a parser of the options that all comparisons share. `rounds` and `seconds` are their defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("programs", type=Path, metavar="BIN", help="folder of this project's programs")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--case", action="append", help="may be repeated; by default all cases of the device")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="per contender and round (%(default)s)")
    return parser
