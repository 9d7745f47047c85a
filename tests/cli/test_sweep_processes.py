"""hessian-sweep in several processes, which share its runs."""

import signal
import time

from job_runs import Job
from sweep_runs import ENDED, MODELS, SweepFile, kill


def job_of(sweep, size, *options):
    return Job(sweep.command(*options), size, sweep.folder)


def assert_whole(sweep, whole_sweep):
    found, expected = SweepFile(sweep.out / "sweep.h5"), SweepFile(whole_sweep.out / "sweep.h5")
    assert found.attributes["finished"] == 1
    assert found.rows() == expected.rows()
    # Compared as text, since rates from curvature are NaN without probes and NaN differs from itself.
    assert str(found.summaries()) == str(expected.summaries())


def test_three_processes_write_the_same_table_as_one(sweep, whole_sweep):
    job = job_of(sweep, 3, "--json")
    seen = [set(), set(), set()]
    while job.processes[0].poll() is None:
        for rank, process in enumerate(job.processes):
            seen[rank] |= children_of(process.pid)
        time.sleep(0.01)
    assert job.end() == [0, 0, 0], [job.said(rank) for rank in range(3)]
    assert_whole(sweep, whole_sweep)
    assert job.said(0, "stdout") == whole_sweep.outcome.stdout
    assert all(seen), "each process has runs of its own"
    runs = SweepFile(sweep.out / "sweep.h5").rows()
    # The first process reports every run once; the others report nothing.
    assert sorted(job.said(0).splitlines()) == sorted(set(job.said(0).splitlines()))
    assert len(ENDED.findall(job.said(0))) == len(runs)
    assert [job.said(rank) + job.said(rank, "stdout") for rank in (1, 2)] == ["", ""]


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return set(children.read().split())
    except OSError:  # it has ended in the meantime
        return set()


def test_a_killed_process_ends_the_sweep_and_another_number_of_processes_resumes_it(sweep, whole_sweep):
    job = job_of(sweep, 2)
    job.wait_until(lambda: len(ENDED.findall(job.said(0))) >= 2)
    before = children_of(job.processes[1].pid)
    job.wait_until(lambda: children_of(job.processes[1].pid) - before)
    # Kills its run as well, which must still be running: a finished run would not be started again.
    job.send(signal.SIGSTOP, 1)
    for child in children_of(job.processes[1].pid):
        kill(int(child))
    job.send(signal.SIGKILL, 1)
    start = time.monotonic()
    assert job.end() == [1, -signal.SIGKILL]
    assert time.monotonic() - start < 60
    assert "process 1 of 2 is lost" in job.said(0).splitlines()[-1]
    sweep.wait_for_no_children()
    finished = sweep.finished_runs()
    assert finished
    resumed = job_of(sweep, 3, "--resume")
    assert resumed.end() == [0, 0, 0], resumed.said(0)
    assert {path: mark for path, mark in sweep.finished_runs().items() if path in finished} == finished
    assert_whole(sweep, whole_sweep)


def test_a_run_that_fails_in_one_process_is_reported_by_the_first(sweep):
    job = job_of(sweep, 2)
    killed = set()
    folder = sweep.cell(MODELS[0], 0.5, 1)
    while job.processes[0].poll() is None:
        for number, place in sweep.children().items():
            if place == folder and number not in killed and kill(number):
                killed.add(number)
        time.sleep(0.002)
    assert job.end() == [1, 1]
    (line,) = [line for line in job.said(0).splitlines() if "failed" in line and "ended by signal 9" in line]
    assert line.startswith(f"{MODELS[0]}, lr 5.000e-01, seed 1: ")
    assert len(killed) == 2  # the same process started it a second time


def test_an_interrupted_process_stops_all_and_the_sweep_can_be_resumed(sweep, whole_sweep):
    job = job_of(sweep, 2)
    job.wait_until(lambda: ENDED.search(job.said(0)) is not None)
    job.send(signal.SIGTERM, 1)
    assert job.end() == [1, 1]
    assert not sweep.children()
    assert sweep("--resume").status == 0
    assert_whole(sweep, whole_sweep)
