"""Sweeps that are interrupted, extended, or whose runs are killed: their files, and how they resume."""

import shutil
import signal
import time

import pytest

import programs
from sweep_runs import (
    FACTOR,
    GRID,
    NO_BISECTION,
    ONE_MODEL,
    ONE_SEED,
    SEEDS,
    SIMPLEGPT,
    SweepFile,
    kill,
    only,
)

# Rates 0.5 and 8, far below and far above the edge of stability.
SMALL = [*ONE_MODEL, *ONE_SEED, *NO_BISECTION, "sweep.lr.per_octave=0.25"]
# Runs whose files are removed, so that the sweep has to repeat them.
REMOVED = [(SIMPLEGPT, 0.5, 1), (SIMPLEGPT, 2.0, 0), (SIMPLEGPT, 2.0, 1), (SIMPLEGPT, 8.0, 0)]


def remove_runs(sweep):
    for cell in REMOVED:
        shutil.rmtree(sweep.cell(*cell))


def test_resuming_a_finished_sweep_runs_nothing(swept, whole_sweep):
    before = swept.finished_runs()
    assert len(before) == len(whole_sweep.outcome.table["runs"])
    outcome = swept("--resume", "--json")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout == whole_sweep.outcome.stdout
    assert swept.finished_runs() == before


def test_a_sweep_killed_at_any_moment_repeats_nothing_finished_and_ends_with_the_same_table(sweep, whole_sweep):
    generator = programs.random_generator()
    finished = {}
    counts = []
    for _ in range(5):
        running = sweep.start("--resume", settings=ONE_MODEL)
        time.sleep(generator.uniform(0, 2))
        running.end(signal.SIGKILL)
        sweep.wait_for_no_children()
        # The file is complete or does not exist, and lists as ended only runs that have finished.
        if (sweep.out / "sweep.h5").exists():
            ended = [row for row in SweepFile(sweep.out / "sweep.h5").rows() if row["status"] != "pending"]
            paths = {sweep.out / row["run_file"] for row in ended}
            assert paths <= sweep.finished_runs().keys()
        assert finished.items() <= sweep.finished_runs().items()
        finished = sweep.finished_runs()
        counts.append(len(finished))
    print("finished runs after each kill:", counts)
    outcome = sweep("--resume", "--json", settings=ONE_MODEL)
    assert outcome.status == 0, outcome.stderr
    assert finished.items() <= sweep.finished_runs().items()
    assert len(outcome.ended()) == len(outcome.table["runs"]) - len(finished)
    assert outcome.table == only(whole_sweep.outcome.table, [SIMPLEGPT])
    assert [path.name for path in sweep.out.rglob(".*")] == []  # no temporary files are left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_stops_its_runs_and_can_be_resumed(swept, whole_sweep, number):
    remove_runs(swept)
    before = swept.finished_runs()
    running = swept.start("--resume", "--json")
    running.wait_for_ended(1)
    outcome = running.end(number)
    assert outcome.status == 1
    assert swept.children() == {}
    after = swept.finished_runs()
    assert before.items() < after.items()

    statuses = {swept.out / row["run_file"]: row["status"] for row in SweepFile(swept.out / "sweep.h5").rows()}
    assert SweepFile(swept.out / "sweep.h5").attributes["finished"] == 0
    # The table lists the rates of the bisection only once the grid is complete again.
    assert {path for path, status in statuses.items() if status == "pending"} == statuses.keys() - after.keys()
    assert set(statuses.values()) == {"stable", "diverged", "pending"}
    assert [run["status"] for run in outcome.table["runs"]] == list(statuses.values())
    (warning,) = outcome.warnings()
    pending = list(statuses.values()).count("pending")
    assert SIMPLEGPT in warning and str(pending) in warning and "--resume" in warning

    outcome = swept("--resume", "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout == whole_sweep.outcome.stdout
    assert after.items() <= swept.finished_runs().items()


def test_a_killed_run_is_started_once_more(sweep, whole_sweep):
    running = sweep.start("--json", settings=SMALL)
    victim = sweep.cell(SIMPLEGPT, 0.5, 0)
    first, _ = sweep.wait_for_child(running, lambda folder: folder == victim)
    assert kill(first)
    second, _ = sweep.wait_for_child(running, lambda folder: folder == victim, after=[first])
    assert second != first
    outcome = running.end()
    assert outcome.status == 0, outcome.stderr
    assert [run["status"] for run in outcome.ended()][0] == "stable"
    wanted = [run for run in whole_sweep.outcome.table["runs"] if run["model"] == SIMPLEGPT and run["seed"] == 0]
    assert outcome.table["runs"] == [run for run in wanted if run["lr"] in (0.5, 8.0)]


def test_a_run_that_is_killed_twice_fails_until_the_sweep_is_resumed(sweep):
    running = sweep.start("--json", settings=SMALL)
    victim = sweep.cell(SIMPLEGPT, 0.5, 0)
    killed = []
    while child := sweep.wait_for_child(running, lambda folder: folder == victim, after=killed):
        killed.append(child[0])
        kill(child[0])
    outcome = running.end()
    assert len(killed) == 2
    assert outcome.status == 1
    failed, other = outcome.ended()
    assert failed["status"] == "failed: ended by signal 9"
    assert failed["loss"] == "-"
    assert other["status"].startswith("diverged: ")
    assert [run["status"] for run in outcome.table["runs"]] == ["failed", "diverged"]
    assert outcome.warnings()[0].startswith(f"{SIMPLEGPT}: 1 run")
    assert [row["status"] for row in SweepFile(sweep.out / "sweep.h5").rows()] == ["failed", "diverged"]

    outcome = sweep("--resume", "--json", settings=SMALL)
    assert outcome.status == 0, outcome.stderr
    assert [run["status"] for run in outcome.table["runs"]] == ["stable", "diverged"]


def failed_among_others(outcome, sweep, failed, others):
    """Asserts that every report of the sweep lists `failed` as failed cells and `others` as successful ones."""
    assert outcome.status == 1, outcome.stderr
    statuses = {(run["model"], run["lr"]): run["status"] for run in outcome.table["runs"]}
    assert {cell for cell, status in statuses.items() if status == "failed"} == failed
    assert {cell for cell, status in statuses.items() if status in ("stable", "diverged")} == others
    for run in outcome.ended():
        assert run["status"].startswith("failed: ") == ((run["model"], float(run["lr"])) in failed)
        assert (run["loss"] == "-") == run["status"].startswith("failed: ")
    model = next(iter(failed))[0]
    assert any(line.startswith(model) and "failed" in line and "log.txt" in line for line in outcome.warnings())
    rows = SweepFile(sweep.out / "sweep.h5").rows()
    assert {(row["model"], row["lr"]) for row in rows if row["status"] == "failed"} == failed


@pytest.mark.parametrize("obstacle", ["folder", "not HDF5"])
def test_a_run_whose_file_cannot_be_read_fails_and_the_others_continue(sweep, obstacle):
    place = sweep.cell(SIMPLEGPT, 0.5, 0) / "run.h5"
    if obstacle == "folder":
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True)
        place.write_text("a page that a proxy sent instead")
    outcome = sweep("--json", settings=SMALL)
    failed_among_others(outcome, sweep, {(SIMPLEGPT, 0.5)}, {(SIMPLEGPT, 8.0)})
    assert "run.h5" in outcome.ended()[0]["status"]


def test_a_model_that_cannot_be_loaded_fails_and_the_others_continue(sweep):
    settings = [*SMALL, "sweep.models=['absent.safetensors', 'new:llama2-20M-simplegpt']"]
    outcome = sweep("--json", settings=settings)
    failed_among_others(
        outcome, sweep, {("absent", 0.5), ("absent", 8.0)}, {(SIMPLEGPT, 0.5), (SIMPLEGPT, 8.0)}
    )
    assert "absent.safetensors: no such file" in outcome.ended()[0]["status"]
    log = (sweep.cell("absent", 0.5, 0) / "log.txt").read_text().splitlines()
    assert len(log) == 2 and len(set(log)) == 1  # it was started twice
    # Nothing is known about its rates, so there is no advice about them.
    assert [line for line in outcome.warnings() if line.startswith("absent") and "sweep.lr" in line] == []


def test_a_second_sweep_in_the_same_folder_is_refused_while_the_first_runs(swept, whole_sweep):
    remove_runs(swept)
    running = swept.start("--resume", "--json")
    swept.wait_for_child(running)
    running.process.send_signal(signal.SIGSTOP)  # so that it does not end in the meantime
    for word in ("--resume", "--overwrite"):
        outcome = swept(word)
        assert outcome.status == 1
        assert outcome.error_line().startswith("sweep: another hessian-sweep works on it")
    running.process.send_signal(signal.SIGCONT)
    first = running.end()
    assert first.status == 0, first.stderr
    assert first.stdout == whole_sweep.outcome.stdout


def test_seeds_rates_and_models_can_be_added_when_a_sweep_is_resumed(swept, whole_sweep):
    settings = [*ONE_MODEL, *NO_BISECTION]
    before = swept.finished_runs()

    def added(*changes):
        outcome = swept("--resume", "--json", settings=[*settings, *changes])
        assert outcome.status == 0, outcome.stderr
        assert before.items() <= swept.finished_runs().items()
        cells = [(run["model"], run["lr"], run["seed"]) for run in outcome.table["runs"]]
        new = [(run["model"], float(run["lr"]), int(run["seed"])) for run in outcome.ended()]
        assert set(new) <= set(cells) and len(set(cells)) == len(cells)
        return cells, new

    cells, new = added("sweep.seeds=[0, 1, 7]")
    assert cells == [(SIMPLEGPT, lr, seed) for lr in GRID for seed in [*SEEDS, 7]]
    assert new == [(SIMPLEGPT, lr, 7) for lr in GRID]
    cells, new = added("sweep.lr.from=0.125")
    assert cells == [(SIMPLEGPT, lr, seed) for lr in [0.125, *GRID] for seed in SEEDS]
    assert new == [(SIMPLEGPT, 0.125, seed) for seed in SEEDS]
    cells, new = added("sweep.models=['new:llama2-20M-sandwich', 'new:llama2-20M-simplegpt']", "sweep.lr.to=0.5")
    assert new == [("llama2-12K-sandwich", 0.5, seed) for seed in SEEDS]
    # The added runs stay on disk, but do not belong to the first configuration.
    outcome = swept("--resume", "--json")
    assert (outcome.status, outcome.stdout) == (0, whole_sweep.outcome.stdout)


def test_a_smaller_factor_narrows_the_brackets_of_a_resumed_sweep(swept, whole_sweep):
    outcome = swept("--resume", "--json", settings=[*ONE_MODEL, "sweep.factor=1.2"])
    assert outcome.status == 0, outcome.stderr
    (found,) = outcome.table["models"]
    (old,) = only(whole_sweep.outcome.table, [SIMPLEGPT])["models"]
    assert len(outcome.ended()) == len(SEEDS)  # one more round, from a ratio of sqrt(2)
    low, high = found["largest_stable_lr"], found["smallest_unstable_lr"]
    assert old["largest_stable_lr"] <= low < high <= old["smallest_unstable_lr"]
    assert high / low <= 1.2 < FACTOR
