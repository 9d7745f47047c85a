"""An interrupted run that is resumed equals, bit by bit, one that was not interrupted."""

import signal
import time

import h5py
import numpy
import pytest

import programs
from probe_runs import RunFile
from train_runs import Train, assert_same_bytes, assert_same_run, contents, mark_unfinished

PROBE = {"probe.every": 40, "probe.sequences": 1, "probe.tolerance": 0.1, "probe.layers": "0,2"}
LONG = {
    **{"steps": 200, "data.accumulation": 2, "schedule.warmup": 20, "checkpoint.every": 10},
    **{"validation.every": 30, "log.update_every": 15},
}
RUNS = {
    "llama2": {**LONG, **PROBE, "probe.sites": ["residual", "ffn_in"], "probe.sharpness": True},
    "gpt2": {**LONG, **PROBE, "model.name": "new:gpt2-10M-prenorm", "schedule.name": "cosine"},
    # A text of a few windows, so that epochs begin and end between the kills.
    "llama3 with sgd": {
        **{**LONG, "model.name": "new:llama3-debugmodel-simplegpt", "model.n_kv_heads": 1, "schedule.name": "wsd"},
        **{"optimizer.name": "sgd", "optimizer.lr": 0.05, "data.source": "notes.txt"},
    },
    "bfloat16": {**LONG, "dtype": "bfloat16", "optimizer.decay": "matrices"},
}


def last_checkpoint(outcome):
    return outcome.folder / outcome.checkpoints()[-1]


@pytest.fixture
def apart(tmp_path):
    """hessian-train in another folder, for the undisturbed run."""
    folder = tmp_path / "unbroken"
    folder.mkdir()
    return Train(folder)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_at_random_moments_equals_the_undisturbed_run(train, apart, text_file, name):
    changes = RUNS[name]
    (apart.folder / "notes.txt").write_bytes(text_file.read_bytes())
    generator = programs.random_generator()

    start = time.monotonic()
    unbroken = apart.done(changes)
    seconds = time.monotonic() - start

    # The first kill hits a run that has a checkpoint and many steps left.
    running = train.start(changes)
    running.wait_for_checkpoint()
    time.sleep(generator.uniform(0, 0.15) * seconds)
    assert running.end(signal.SIGKILL).status == -signal.SIGKILL
    for _ in range(generator.randint(0, 2)):
        running = train.start(changes, "--resume")
        time.sleep(generator.uniform(0, 0.8) * seconds)
        outcome = running.end(signal.SIGKILL)
        assert outcome.status in (-signal.SIGKILL, 0), outcome.stderr
    rows_before = len(RunFile(train.folder / "run" / "run.h5").datasets["/train/step"])

    resumed = train.done(changes, "--resume", "--json")
    print(f"{rows_before} rows before the last start, from step {resumed.report['resumed_from']}")
    assert 0 < resumed.report["resumed_from"] <= rows_before
    assert_same_run(resumed.run, unbroken.run)
    assert resumed.run.datasets["/train/step"].tolist() == list(range(1, changes["steps"] + 1))
    if "probe.every" in changes:
        assert resumed.run["step"].tolist() == list(range(0, changes["steps"] + 1, 40))
        assert numpy.isfinite(resumed.run["residual/lambda_max"]).all()
    assert resumed.checkpoints() == unbroken.checkpoints()
    assert_same_bytes(last_checkpoint(resumed), last_checkpoint(unbroken))
    # The temporary files of killed processes are removed too.
    assert {path.name for path in resumed.folder.iterdir()} == {"run.h5", *resumed.checkpoints()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_its_step_and_resumes_from_it(train, apart, number):
    changes = {**LONG, "checkpoint.every": 70}
    unbroken = apart.done(changes)
    running = train.start(changes)
    # Interrupts it somewhere between two checkpoints.
    running.wait_for_checkpoint()
    interrupted = running.end(number)
    assert interrupted.status == 1
    run = interrupted.run
    rows = run.datasets["/train/step"]
    step = int(rows[-1])
    assert 70 <= step < 200
    assert rows.tolist() == list(range(1, step + 1))
    assert run.attributes["finished"] == 0
    first, *_ = interrupted.stdout.splitlines()
    assert first.startswith(f"interrupted at step {step}; loss {run.datasets['/train/loss'][-1]:.4f}")
    assert f"run/checkpoint-{step:08}.safetensors" in interrupted.stdout and "--resume" in interrupted.stdout
    assert interrupted.checkpoints()[-1] == f"checkpoint-{step:08}.safetensors"

    # The temporary file of a process that was killed while it saved a step that is not saved again.
    (train.folder / "run" / f".checkpoint-{step - 1:08}.safetensors.partial-999999-0").write_bytes(b"half")
    resumed = train.done(changes, "--resume", "--json")
    assert resumed.report["resumed_from"] == step
    assert_same_run(resumed.run, unbroken.run)
    assert_same_bytes(last_checkpoint(resumed), last_checkpoint(unbroken))
    assert {path.name for path in resumed.folder.iterdir()} == {"run.h5", *resumed.checkpoints()}


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_run_at_once(train, second):
    # One step takes minutes.
    running = train.start({"data.accumulation": 200_000})
    running.wait_until(lambda: (train.folder / "run" / "run.h5").exists())
    time.sleep(0.3)  # until that step has begun
    running.process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert running.process.poll() is None, "the first signal waits for the step"
    start = time.monotonic()
    running.process.send_signal(second)
    try:
        while running.process.poll() is None and time.monotonic() < start + 3:
            time.sleep(0.01)
        assert running.process.returncode == -second
    finally:
        running.end(signal.SIGKILL)


def test_a_run_interrupted_during_its_first_probe_has_that_probe_only_once(train, apart):
    # The first probe takes about a second, far longer than the delivery of a signal.
    changes = {"probe.every": 12, "probe.sites": ["all"], "probe.sequences": 6, "probe.tolerance": 1e-6}
    unbroken = apart.done(changes)
    running = train.start(changes)
    running.wait_until(lambda: (train.folder / "run" / "run.h5").exists())
    time.sleep(0.05)
    interrupted = running.end(signal.SIGINT)
    assert interrupted.status == 1
    assert interrupted.stdout.startswith("interrupted at step 0")
    resumed = train.done(changes, "--resume")
    assert resumed.run["step"].tolist() == [0, 12]
    assert_same_run(resumed.run, unbroken.run)


def test_resuming_a_finished_run_changes_nothing(train):
    first = train.done({"validation.every": 0}, "--json")
    before = contents(first.folder)
    again = train.done({"validation.every": 0}, "--resume")
    assert "finished before, at step 12" in again.stdout
    # No validation was requested, and none was made.
    assert "validation" not in again.stdout
    assert again.stderr == ""
    report = train.done({"validation.every": 0}, "--resume", "--json").report
    for key in ("step", "loss", "checkpoint", "run_file", "validation_loss"):
        assert report[key] == first.report[key], key
    assert contents(first.folder) == before


def test_resuming_a_finished_run_that_diverged_changes_nothing(train):
    changes = {"divergence.plateau_drop": 1, "steps": 6}
    first = train.done(changes)
    assert first.stdout.startswith("diverged: ")
    before = contents(first.folder)
    again = train.done(changes, "--resume")
    assert "diverged: " in again.stdout and "finished before" in again.stdout
    assert contents(first.folder) == before


def test_a_run_killed_after_its_last_checkpoint_is_finished_by_resume(train):
    first = train.done({}, "--json")
    whole = first.run
    mark_unfinished(first.folder / "run.h5")
    again = train.done({}, "--resume", "--json")
    assert again.run.attributes["finished"] == 1
    assert_same_run(again.run, whole)
    for key in ("step", "loss", "validation_loss", "checkpoint"):
        assert again.report[key] == first.report[key], key


def test_a_run_killed_after_it_diverged_is_not_continued(train):
    changes = {
        **{"optimizer.lr": 1, "optimizer.weight_decay": 0, "schedule.warmup": 0, "steps": 60},
        **{"validation.every": 0, "divergence.patience": 3, "divergence.smoothing": 1, "checkpoint.every": 1},
    }
    first = train.done(changes, "--json")
    assert first.report["divergence"] == "loss_rose" and first.report["step"] < 60
    whole = first.run
    mark_unfinished(first.folder / "run.h5")
    again = train.done(changes, "--resume", "--json")
    assert again.report["step"] == first.report["step"]
    assert_same_run(again.run, whole)


def test_resume_starts_a_run_if_there_is_none(train):
    outcome = train.done({}, "--resume", "--json")
    assert outcome.report["resumed_from"] == 0
    assert outcome.run.datasets["/train/step"].tolist() == list(range(1, 13))
    assert outcome.run.attributes["finished"] == 1


def test_resume_starts_again_if_there_is_no_checkpoint(train, apart):
    changes = {**LONG, "checkpoint.every": 0}
    running = train.start(changes)
    running.wait_until(lambda: (train.folder / "run" / "run.h5").exists())
    assert running.end(signal.SIGKILL).status == -signal.SIGKILL
    resumed = train.done(changes, "--resume", "--json")
    assert resumed.report["resumed_from"] == 0
    assert_same_run(resumed.run, apart.done(changes).run)


def test_resume_continues_from_the_checkpoint_before_a_damaged_one(train):
    first = train.done({}, "--json")
    whole = first.run
    mark_unfinished(first.folder / "run.h5")
    last = last_checkpoint(first)
    sound = last.read_bytes()
    last.write_bytes(sound[: len(sound) // 2])
    again = train({}, "--resume", "--json")
    assert again.status == 0
    warning, *_ = again.stderr.splitlines()
    assert warning.startswith("hessian-train: warning: run/checkpoint-00000012.safetensors: ")
    assert again.report["resumed_from"] == 10
    assert_same_run(again.run, whole)
    assert last.read_bytes() == sound


def test_resume_leaves_no_gap_if_the_run_file_lacks_steps_before_its_checkpoint(train):
    first = train.done({})
    whole = first.run
    with h5py.File(first.folder / "run.h5", "r+") as file:
        for name, dataset in file["train"].items():
            if name != "update_group":
                dataset.resize(0, axis=0)
    mark_unfinished(first.folder / "run.h5")
    again = train({}, "--resume")
    # The resumed run may refuse with a message or start again.
    if again.status:
        assert again.status == 1 and "run/run.h5" in again.error_line()
    else:
        assert_same_run(again.run, whole)


@pytest.mark.parametrize(
    "changes, key, before, now",
    [
        ({"optimizer.lr": 0.002}, "optimizer.lr", "0.001", "0.002"),
        ({"steps": 13}, "steps", "12", "13"),
        ({"data.source": "notes.txt"}, "data.source", "'builtin'", "'notes.txt'"),
        ({"probe.sites": ["ffn_in"]}, "probe.sites", "[ 'residual' ]", "[ 'ffn_in' ]"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_resume_with_another_configuration_names_the_key(train, text_file, changes, key, before, now, finished):
    outcome = train.done({})
    if not finished:
        mark_unfinished(outcome.folder / "run.h5")
    line = train.fails(2, changes, "--resume")
    assert line.startswith("run/")
    assert f"was made with {key} = {before}, the run is asked for {now}; " in line
    assert "--overwrite" in line


def test_resume_accepts_changes_of_settings_that_do_not_affect_the_numbers(train):
    outcome = train.done({})
    mark_unfinished(outcome.folder / "run.h5")
    outcome.folder.rename(train.folder / "moved")
    again = train.done({"out": "moved", "threads": 2, "checkpoint.keep": 1, "device": "auto"}, "--resume")
    assert again.run.attributes["finished"] == 1


def test_an_existing_run_is_refused_without_resume_or_overwrite(train):
    train.done({})
    line = train.fails(1, {})
    assert line == "run/run.h5: already exists; use --resume to continue it or --overwrite to replace it"


def test_overwrite_removes_the_old_checkpoints(train):
    assert train.done({}).checkpoints() == ["checkpoint-00000010.safetensors", "checkpoint-00000012.safetensors"]
    shorter = train.done({"steps": 4})
    assert shorter.checkpoints() == ["checkpoint-00000004.safetensors"]
    assert shorter.run.datasets["/train/step"].tolist() == [1, 2, 3, 4]


def test_checkpoints_without_a_run_file_are_not_removed_unless_requested(train):
    outcome = train.done({})
    (outcome.folder / "run.h5").unlink()
    before = contents(outcome.folder)
    assert "checkpoint" in train.fails(1, {})
    assert contents(outcome.folder) == before
