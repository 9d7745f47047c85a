"""hessian-train in several processes: the same run as in one, and a clear error when a process is lost."""

import os
import pathlib
import signal
import time

import numpy
import pytest

import job_runs
import safetensors_file
from job_runs import Job
from probe_runs import RunFile
from train_runs import TIMES, Train, assert_same_bytes, mark_unfinished

# The sequences and their order are the same. Only the order of sums differs, which costs a few roundings of float64.
TOLERANCE = 1e-9
EIGENVALUE_TOLERANCE = 1e-4  # residual norms are small differences and depend on the last product

PROBED = {
    **{"dtype": "float64", "data.batch_size": 4, "data.accumulation": 2, "steps": 8, "validation.sequences": 5},
    **{"probe.every": 4, "probe.sequences": 2, "probe.sites": ["residual", "ffn_in"], "probe.tolerance": 1e-3},
}
RUNS = {
    "adamw": {**PROBED, "probe.sharpness": True, "optimizer.decay": "matrices"},
    "sgd": {**PROBED, "optimizer.name": "sgd", "optimizer.lr": 0.05, "model.name": "new:gpt2-10M-prenorm"},
}
ENDLESS = {"steps": 100000, "data.batch_size": 6, "checkpoint.every": 10, "validation.every": 0}


@pytest.fixture
def alone(tmp_path):
    """hessian-train in another folder, for the run of one process."""
    folder = tmp_path / "alone"
    folder.mkdir()
    return Train(folder)


def assert_close(found, expected):
    assert found.datasets.keys() == expected.datasets.keys()
    for path, values in expected.datasets.items():
        if path in TIMES or path.endswith("iterations"):
            continue
        assert found.datasets[path].shape == values.shape, path
        if path.endswith("/asymmetry"):  # nothing but rounding errors
            norms = expected.datasets[path.replace("asymmetry", "spectral_norm")]
            assert (found.datasets[path] <= 1e-5 * norms).all() and (values <= 1e-5 * norms).all(), path
            continue
        if values.dtype.kind == "f":
            of_probe = path.startswith("/probe/") and path.rsplit("/", 1)[1] != "loss"
            scale = numpy.nanmax(numpy.abs(values)) if values.size else 0
            tolerance = EIGENVALUE_TOLERANCE if of_probe else TOLERANCE
            numpy.testing.assert_allclose(found.datasets[path], values, rtol=0, atol=tolerance * scale, err_msg=path)
        else:
            assert (found.datasets[path] == values).all(), path


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_write_the_same_run_as_one(train, alone, name, processes):
    one = alone.done(RUNS[name])
    said = job_runs.done(train.command(RUNS[name], "--json"), processes, train.folder)
    assert '"step": 8' in said
    assert_close(train_run(train), one.run)
    assert [path.name for path in sorted((train.folder / "run").glob("checkpoint-*"))] == one.checkpoints()
    for tensors in one.checkpoint(8)[0], one.checkpoint(5)[0]:
        assert tensors  # there is something to compare
    found, expected = checkpoint(train, 8), one.checkpoint(8)[0]
    assert found.keys() == expected.keys()
    for tensor, values in expected.items():
        scale = numpy.abs(values).max() if values.dtype.kind == "f" else 0
        numpy.testing.assert_allclose(found[tensor], values, rtol=0, atol=TOLERANCE * scale, err_msg=tensor)
    for rank in range(1, processes):
        assert job_said(train, rank) == ""


def train_run(train):
    return RunFile(train.folder / "run" / "run.h5")


def checkpoint(train, step):
    return safetensors_file.read(train.folder / "run" / f"checkpoint-{step:08}.safetensors")[0]


def job_said(train, rank):
    return "".join((train.folder / f"{stream}-{rank}.txt").read_text() for stream in ("stdout", "stderr"))


def test_two_processes_repeat_a_run_bit_by_bit(train, alone):
    for folder in train, alone:
        job_runs.done(folder.command(PROBED), 2, folder.folder)
    assert_same_bytes(*(f.folder / "run" / "checkpoint-00000008.safetensors" for f in (train, alone)))


def test_a_run_resumes_with_another_number_of_processes(train, alone):
    one = alone.done({**PROBED, "checkpoint.every": 3})
    changes = {**PROBED, "checkpoint.every": 3}
    job_runs.done(train.command(changes), 4, train.folder)
    (train.folder / "run" / "checkpoint-00000008.safetensors").unlink()  # as if it had been killed after step 6
    mark_unfinished(train.folder / "run" / "run.h5")
    job_runs.done(train.command(changes, "--resume"), 2, train.folder)
    assert_close(train_run(train), one.run)
    # A single process can resume the checkpoint of four as well.
    (train.folder / "run" / "checkpoint-00000008.safetensors").unlink()
    mark_unfinished(train.folder / "run" / "run.h5")
    resumed = train.done(changes, "--resume", "--json")
    assert resumed.report["resumed_from"] == 6
    assert_close(resumed.run, one.run)


def running_job(train, changes, size):
    job = Job(train.command(changes), size, train.folder)
    job.wait_until(lambda: any(train.folder.glob("run/checkpoint-*")))
    return job


@pytest.mark.parametrize("victim", [0, 2])
def test_a_killed_process_ends_the_job_with_a_message_and_the_run_resumes(train, victim):
    job = running_job(train, ENDLESS, 3)
    job.send(signal.SIGKILL, victim)
    start = time.monotonic()
    statuses = job.end()
    assert time.monotonic() - start < 60
    assert statuses == [-signal.SIGKILL if rank == victim else 1 for rank in range(3)]
    for rank in set(range(3)) - {victim}:
        (line,) = [line for line in job.said(rank).splitlines() if "step " not in line or "lost" in line]
        assert line.startswith("hessian-train: ") and "--resume" in line, line
        assert f"process {victim} of 3" in line and "lost" in line, line
    last = int(sorted(train.folder.glob("run/checkpoint-*"))[-1].stem.rsplit("-", 1)[1])
    resumed = Job(train.command(ENDLESS, "--resume"), 3, train.folder)
    resumed.wait_until(lambda: (train.folder / f"run/checkpoint-{last + 10:08}.safetensors").exists())
    for rank in range(3):
        resumed.send(signal.SIGTERM, rank)
    assert resumed.end() == [1, 1, 1]
    assert "--resume" in resumed.said(0, "stdout")
    steps = train_run(train).datasets["/train/step"]
    assert (steps == numpy.arange(1, len(steps) + 1)).all() and len(steps) > last


def test_a_process_that_hangs_ends_the_job_too(train):
    job = running_job(train, ENDLESS, 2)
    job.send(signal.SIGSTOP, 1)
    start = time.monotonic()
    assert job.processes[0].wait(timeout=60) == 1
    assert 15 < time.monotonic() - start < 60
    assert "process 1 of 2 is lost" in job.said(0)
    job.send(signal.SIGCONT, 1)
    assert job.end() == [1, 1]
    assert "lost" in job.said(1)


def test_a_process_that_fails_is_named_by_the_others(train):
    job = running_job(train, {**ENDLESS, "checkpoint.every": 20}, 2)
    # The folder of the next checkpoint no longer exists.
    os.rename(train.folder / "run", train.folder / "elsewhere")
    statuses = job.end()
    assert statuses == [1, 1]
    assert "run" in job.said(0).splitlines()[-1]
    assert "process 0 of 2" in job.said(1)


def test_one_interrupted_process_stops_the_job_at_a_checkpoint(train):
    job = running_job(train, ENDLESS, 2)
    job.send(signal.SIGINT, 1)
    assert job.end() == [1, 1]
    assert "--resume" in job.said(0, "stdout")
    steps = len(train_run(train).datasets["/train/step"])
    assert pathlib.Path(train.folder / f"run/checkpoint-{steps:08}.safetensors").exists()


def test_sequences_that_cannot_be_shared_equally_are_refused(train):
    job = Job(train.command({"data.batch_size": 2, "data.accumulation": 2}), 3, train.folder)
    assert job.end() == [2, 2, 2]
    assert job.said(0).count("\n") == 1
    assert "data.batch_size * data.accumulation is 4 sequences, expected a multiple of the 3 processes" in job.said(0)
    assert not (train.folder / "run").exists()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is '2', expected a whole number from 0 to 1"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, "WORLD_SIZE is 'two'"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "MASTER_ADDR is not set"),
    ],
)
def test_an_incomplete_environment_is_refused(train, monkeypatch, variables, words):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert words in train.fails(2, {})
