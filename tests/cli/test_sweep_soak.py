"""A sweep that is killed with its runs at random moments, and resumed until it is complete, ends like an undisturbed one.

HESSIAN_SOAK_RUNS is the number of runs (12 unless it is set; `make soak` has a hundred), HESSIAN_TEST_SEED the seed of the kills.
"""

import os
import signal
import time

import numpy

import programs
import sweep_runs
from probe_runs import RunFile
from sweep_runs import SweepFile, kill
from train_runs import TIMES

RUNS = int(os.environ.get("HESSIAN_SOAK_RUNS", 12))
# Two models and two rates, one of which diverges, with checkpoints from which killed runs are resumed.
SETTINGS = [
    "sweep.bisect=false",
    "sweep.lr={ from = 0.5, to = 8, per_octave = 0.25 }",
    f"sweep.seeds=[{', '.join(map(str, range(max(1, RUNS // 4))))}]",
    "sweep.jobs=2",
    "checkpoint.every=5",
]
# A killed run is started once more, then counts as failed until the sweep is resumed.
KILLS_PER_ROUND = 4


def numbers_of(path):
    """Returns all datasets of a finished run file except those that depend on the clock."""
    run = RunFile(path)
    assert run.attributes["finished"] == 1, path
    return {name: values for name, values in run.datasets.items() if name not in TIMES}


def disturb(sweep, running, generator):
    """Kills runs at random moments and then the sweep, unless it ends first; returns the number of runs killed."""
    killed = 0
    for _ in range(generator.randint(1, KILLS_PER_ROUND)):
        child = sweep.wait_for_child(running)
        if child is None:
            return killed
        time.sleep(generator.uniform(0, 0.4))
        killed += kill(child[0])
    time.sleep(generator.uniform(0, 1))
    running.process.kill()
    return killed


def test_a_sweep_killed_repeatedly_ends_like_an_undisturbed_one(sweep, tmp_path_factory):
    generator = programs.random_generator()
    undisturbed = sweep_runs.Sweep(tmp_path_factory.mktemp("undisturbed"))
    expected = undisturbed("--json", settings=SETTINGS, timeout=20 + 5 * RUNS)
    assert expected.status == 0, expected.stderr

    ends = []
    killed = 0
    while 0 not in ends and len(ends) < RUNS:
        running = sweep.start("--resume", "--json", settings=SETTINGS)
        killed += disturb(sweep, running, generator)
        ends.append(running.end().status)
        sweep.wait_for_no_children()
    print(f"{killed} runs were killed, and the sweep ended so: {ends}")
    assert killed >= 1 and ends[0] == -signal.SIGKILL, "the soak was too gentle to say anything"

    # Resuming repeats the runs that failed.
    outcome = sweep("--resume", "--json", settings=SETTINGS, timeout=20 + 5 * RUNS)
    assert outcome.status == 0, outcome.stderr
    assert outcome.table == expected.table
    assert {run["status"] for run in outcome.table["runs"]} == {"stable", "diverged"}

    rows = SweepFile(sweep.out / "sweep.h5").rows()
    assert rows == SweepFile(undisturbed.out / "sweep.h5").rows()
    assert len(rows) == 4 * max(1, RUNS // 4)
    for row in rows:
        numbers = numbers_of(sweep.out / row["run_file"])
        wanted = numbers_of(undisturbed.out / row["run_file"])
        steps = numbers["/train/step"]
        assert steps.tolist() == list(range(1, len(steps) + 1)), row  # each exactly once and in order
        assert numbers.keys() == wanted.keys(), row
        for name, values in numbers.items():
            assert numpy.array_equal(values, wanted[name], equal_nan=values.dtype.kind == "f"), (row, name)
    assert [path.name for path in sweep.out.rglob(".*")] == []  # no temporary files are left
