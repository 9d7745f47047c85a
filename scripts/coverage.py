#!/usr/bin/env python3
"""Prints the line coverage of folders of the project, after the tests of a build with `--coverage` have run.

Usage: scripts/coverage.py BUILD_FOLDER FOLDER...      for example: scripts/coverage.py build/coverage libhessian models

Prints one line per room (a folder of sources or public headers) and one per FOLDER. A line counts as covered if at least one object
file that holds code of it executed it: a template or an inline function of a header is compiled into many. Reads the counters with
gcov, which comes with GCC.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def line_counts(notes, folders):
    """Runs gcov on one .gcno file. Returns {(source file, line): executions} of the sources in `folders`.

    An object file of which no code was run has no counters (.gcda), and gcov reports zeros for it.
    """
    reports = subprocess.run(
        ["gcov", "--json-format", "--stdout", str(notes.resolve())], capture_output=True, cwd=notes.parent, check=True
    ).stdout
    counts = defaultdict(int)
    for report in map(json.loads, reports.splitlines()):
        for source in report["files"]:
            path = os.path.relpath(Path(report["current_working_directory"], source["file"]), ROOT)
            if path.startswith(folders):
                for line in source["lines"]:
                    key = path, line["line_number"]
                    counts[key] = max(counts[key], line["count"])
    return counts


def merged_counts(build, folders):
    notes = sorted(build.rglob("*.gcno"))
    if not notes:
        sys.exit(f"coverage.py: {build}: no .gcno file; build with `cmake --preset coverage` first")
    counts = defaultdict(int)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for of_one in pool.map(lambda path: line_counts(path, folders), notes):
            for key, count in of_one.items():
                counts[key] = max(counts[key], count)
    return counts


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    build = Path(sys.argv[1])
    folders = [folder.rstrip("/") for folder in sys.argv[2:]]
    covered, total = defaultdict(int), defaultdict(int)
    for (path, _), count in merged_counts(build, tuple(folder + "/" for folder in folders)).items():
        for name in (str(Path(path).parent), path.split("/")[0]):
            total[name] += 1
            covered[name] += count > 0
    for name in sorted(total):
        print(f"{name:32} {covered[name]:6} of {total[name]:6} lines  {100 * covered[name] / total[name]:5.1f} %")


if __name__ == "__main__":
    main()
