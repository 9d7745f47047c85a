"""The script that submits a sweep to Slurm, with a stand-in for sbatch that runs the tasks at once on this machine."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import sweep_runs
from programs import environment, program
from sweep_runs import NO_BISECTION, ONE_MODEL, ONE_SEED, SIMPLEGPT, Sweep

# Accepts documented options of sbatch and, like sbatch, runs each task through a shell script in the folder where it was
# called. The tasks of an array run in random order. Dependencies are met, since each job ends before the next begins.
SBATCH = """#!{python}
import argparse, json, os, pathlib, random, subprocess

parser = argparse.ArgumentParser()
parser.add_argument("--parsable", action="store_true", required=True)
parser.add_argument("--job-name", required=True)
parser.add_argument("--array")
parser.add_argument("--dependency")
parser.add_argument("--wrap", required=True)
for option in ("--partition", "--time", "--cpus-per-task", "--chdir"):
    parser.add_argument(option)
words = parser.parse_args()

journal = pathlib.Path(__file__).with_name("jobs.json")
jobs = json.loads(journal.read_text()) if journal.exists() else []
number = 1000 + len(jobs)
if words.dependency:
    kind, after = words.dependency.split(":")
    assert kind == "afterany" and int(after) == number - 1, words.dependency
first, last = map(int, words.array.split("-")) if words.array else (None, None)
tasks = list(range(first, last + 1)) if words.array else [None]
generator = random.Random(int(os.environ["SHUFFLE_SEED"]))
generator.shuffle(tasks)
results = []
for task in tasks:
    variables = dict(os.environ, SLURM_JOB_ID=str(number))
    if task is not None:
        variables["SLURM_ARRAY_TASK_ID"] = str(task)
    done = subprocess.run(["sh", "-s"], input="#!/bin/sh\\n" + words.wrap + "\\n", env=variables, text=True,
                          cwd=words.chdir, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    results.append(dict(task=task, status=done.returncode, stdout=done.stdout, stderr=done.stderr))
jobs.append(dict(vars(words), number=number, results=results))
journal.write_text(json.dumps(jobs))
print(number)
"""


class Slurm:
    """A folder with an sbatch that comes first in PATH, and another folder to submit from."""

    def __init__(self, folder):
        self.bin, self.elsewhere = folder / "bin", folder / "elsewhere"
        self.bin.mkdir(parents=True)
        self.elsewhere.mkdir()
        self.write_sbatch(SBATCH.replace("{python}", sys.executable))

    def write_sbatch(self, text):
        (self.bin / "sbatch").write_text(text)
        (self.bin / "sbatch").chmod(0o755)

    def submit(self, script, seed=0, **changes):
        """Runs the script; returns its exit status, the submitted jobs, and its stderr."""
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-s"],
            input=script,
            cwd=self.elsewhere,
            env=environment(PATH=path, SHUFFLE_SEED=str(seed), **changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=240,
            encoding="utf-8",
        )
        journal = self.bin / "jobs.json"
        return done.returncode, json.loads(journal.read_text()) if journal.exists() else [], done.stderr


@pytest.fixture
def slurm(tmp_path_factory):
    return Slurm(tmp_path_factory.mktemp("a cluster's"))


def script_of(sweep, *settings):
    outcome = sweep("--emit", "slurm", settings=settings)
    assert outcome.status == 0 and outcome.stderr == ""
    assert not sweep.out.exists()
    subprocess.run(["bash", "-n"], input=outcome.stdout, check=True, encoding="utf-8")
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "--severity=warning", "-"], input=outcome.stdout, check=True, encoding="utf-8")
    return outcome.stdout


@pytest.fixture
def spaced(tmp_path):
    """A sweep in a folder whose name needs quoting in a shell."""
    folder = tmp_path / "it's a $HOME; \"folder\""
    folder.mkdir()
    return Sweep(folder)


def test_array_jobs_in_any_order_write_the_same_table_as_a_local_sweep(spaced, slurm, whole_sweep):
    seed = int(os.environ.get("HESSIAN_TEST_SEED", os.getpid()))
    print(f"HESSIAN_TEST_SEED={seed}")
    options = "--partition=cpu --time=2:00:00"
    status, jobs, said = slurm.submit(script_of(spaced), seed=seed, SBATCH_OPTIONS=options)
    assert status == 0, said
    # The grid, two rounds of bisection for two models and two seeds, and the table.
    assert [job["array"] for job in jobs] == ["0-11", "0-3", "0-3", None]
    assert [job["dependency"] for job in jobs] == [None, "afterany:1000", "afterany:1001", "afterany:1002"]
    assert len({job["job_name"] for job in jobs}) == 4
    assert {(job["partition"], job["time"]) for job in jobs} == {("cpu", "2:00:00")}
    for job in jobs:
        assert all(result["status"] == 0 for result in job["results"]), job
    assert sorted(result["task"] for result in jobs[0]["results"]) == list(range(12))

    (table,) = jobs[3]["results"]
    assert table["stdout"] == whole_sweep.text
    assert table["stderr"] == ""
    merged = spaced("--merge", "--json")
    assert (merged.status, merged.stdout, merged.stderr) == (0, whole_sweep.outcome.stdout, "")
    file = sweep_runs.SweepFile(spaced.out / "sweep.h5")
    assert file.attributes["finished"] == 1
    assert file.rows() == sweep_runs.SweepFile(whole_sweep.out / "sweep.h5").rows()


# Rates 0.5 and 8, far below and far above the edge of stability.
SMALL = [*ONE_MODEL, *ONE_SEED, "sweep.lr.per_octave=0.25"]


def test_settings_reach_every_task_and_a_second_submission_repeats_nothing(sweep, slurm):
    script = script_of(sweep, *SMALL, *NO_BISECTION, "steps=13", 'out="other sweep"')
    status, jobs, said = slurm.submit(script)
    assert status == 0, said
    assert [job["array"] for job in jobs] == ["0-1", None]
    sweep.out = sweep.folder / "other sweep"
    finished = sweep.finished_runs()
    assert finished.keys() == {sweep.cell(SIMPLEGPT, lr, 0) / "run.h5" for lr in (0.5, 8.0)}
    rows = sweep_runs.SweepFile(sweep.out / "sweep.h5").rows()
    assert [(row["lr"], row["status"]) for row in rows] == [(0.5, "stable"), (8.0, "diverged")]
    outcome = sweep("--merge", "--json", settings=[*SMALL, *NO_BISECTION, "steps=13", 'out="other sweep"'])
    assert outcome.table["runs"][0]["step"] == 13

    status, jobs, said = slurm.submit(script)
    assert status == 0, said
    assert [result["status"] for result in jobs[2]["results"]] == [0, 0]
    assert sweep.finished_runs() == finished


def test_a_relative_output_folder_is_resolved_where_the_script_was_made_in_any_spelling(sweep, slurm):
    script = script_of(sweep, *SMALL, *NO_BISECTION, "sweep.lr.to=0.5", 'out = "other"')
    status, _, said = slurm.submit(script)
    assert status == 0, said
    assert list(slurm.elsewhere.iterdir()) == []
    assert (sweep.folder / "other" / "sweep.h5").exists()


def test_relative_paths_in_the_configuration_are_resolved_where_the_script_was_made(sweep, slurm):
    (sweep.folder / "notes.txt").write_text("In the beginning was the word, and the word was with the notes.\n" * 200)
    script = script_of(sweep, *SMALL, *NO_BISECTION, "sweep.lr.to=0.5", "data.source=notes.txt")
    _, jobs, _ = slurm.submit(script)
    assert [(result["status"], result["stderr"]) for job in jobs for result in job["results"] if result["status"]] == []
    assert sweep.finished_runs().keys() == {sweep.cell(SIMPLEGPT, 0.5, 0) / "run.h5"}


def test_a_round_that_is_not_needed_ends_at_once(sweep):
    # One rate, which is stable, leaves no bracket to narrow.
    settings = [*ONE_MODEL, *ONE_SEED, "sweep.lr.to=0.5"]
    assert sweep("--task", "0:0", settings=settings).status == 0
    before = sorted(sweep.out.rglob("*"))
    for task in ("1:0", "2:0"):
        outcome = sweep("--task", task, settings=settings)
        assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "this round of bisection is not needed\n", "")
    assert sorted(sweep.out.rglob("*")) == before
    # Repeating the task runs nothing either.
    finished = sweep.finished_runs()
    assert len(finished) == 1
    assert "finished before" in sweep("--task", "0:0", settings=settings).stdout
    assert sweep.finished_runs() == finished


def test_a_merge_before_the_end_reports_the_missing_runs(sweep):
    settings = [*SMALL, *NO_BISECTION]
    assert sweep("--task", "0:1", settings=settings).status == 0
    outcome = sweep("--merge", "--json", settings=settings)
    assert outcome.status == 1
    assert [run["status"] for run in outcome.table["runs"]] == ["pending", "diverged"]
    (warning,) = outcome.warnings()
    assert warning.startswith(SIMPLEGPT) and "1 run" in warning
    assert sweep_runs.SweepFile(sweep.out / "sweep.h5").attributes["finished"] == 0
    # A local sweep runs the remaining cells.
    outcome = sweep("--resume", "--json", settings=settings)
    assert outcome.status == 0, outcome.stderr
    assert len(outcome.ended()) == 1


def test_the_script_ends_with_the_first_job_that_slurm_refuses(sweep, slurm):
    slurm.write_sbatch("#!/bin/sh\necho called >> calls.txt\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
    status, _, said = slurm.submit(script_of(sweep))
    assert status != 0
    assert said == "sbatch: error: Invalid account\n"
    assert (slurm.elsewhere / "calls.txt").read_text() == "called\n"


def test_the_script_names_the_program_and_the_configuration_by_absolute_paths(sweep):
    script = script_of(sweep)
    assert program("hessian-sweep") in script
    assert str(sweep.folder / "sweep.toml") in script
    assert script.startswith("#!/usr/bin/env bash\n")
