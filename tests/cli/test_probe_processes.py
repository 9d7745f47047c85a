"""hessian-probe in several processes: the same numbers as in one, and a clear error when a process is lost."""

import json
import signal
import time

import numpy
import pytest

import job_runs
from job_runs import Job
from probe_runs import Probe, RunFile

# Two sequences: 2 processes take one each, 4 also divide the layers, and 3 divide only the layers.
@pytest.mark.parametrize(("processes", "unit"), [(2, "sequence"), (3, "token"), (4, "sequence"), (4, "token")])
def test_several_processes_find_the_same_numbers_as_one(llama, tokens, tmp_path, processes, unit):
    command = Probe(tmp_path).command(
        ("--model", llama, "--data", tokens, "--layer", "all", "--site", "residual,ffn_in", "--unit", unit, "--check")
        + ("--dtype", "float64", "--tol", 1e-6),
        out=None,
    )
    job_runs.done([*command, "--out", "one.h5"], 1, tmp_path)
    said = job_runs.done([*command, "--out", "all.h5", "--json"], processes, tmp_path)
    one, found = RunFile(tmp_path / "one.h5").datasets, RunFile(tmp_path / "all.h5").datasets
    assert found.keys() == one.keys()
    for path, values in one.items():
        if path.startswith("/plan/"):
            continue  # each process plans its own share
        # The start vectors are the same, but rounding depends on the other problems of a batch.
        numpy.testing.assert_allclose(found[path], values, rtol=1e-5, atol=1e-9, err_msg=path)
    assert len(json.loads(said)["rows"]) == 5
    for rank in range(1, processes):
        assert (tmp_path / f"stdout-{rank}.txt").read_text() + (tmp_path / f"stderr-{rank}.txt").read_text() == ""


def test_a_killed_process_ends_the_probe_with_a_message(tmp_path):
    endless = ("--model", "new:llama2-20M-prenorm", "--vocab-size", 256, "--tol", 1e-14, "--max-iter", 100000)
    job = Job(Probe(tmp_path).command(endless), 2, tmp_path)
    job.wait_until((tmp_path / "run.h5").exists)
    job.send(signal.SIGKILL, 1)
    start = time.monotonic()
    assert job.processes[0].wait(timeout=60) == 1
    assert time.monotonic() - start < 60
    assert "process 1 of 2 is lost" in job.said(0)
    job.end()
    assert RunFile(tmp_path / "run.h5").attributes["finished"] == 0
