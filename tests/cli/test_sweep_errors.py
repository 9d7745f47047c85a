"""Sweeps that are refused: one line that names the mistake, and no file changes."""

import pytest

from sweep_runs import NO_BISECTION, ONE_MODEL, ONE_SEED, SIMPLEGPT, SweepFile


def fails(sweep, status, *arguments, settings=()):
    before = sorted((str(path), path.stat().st_mtime_ns) for path in sweep.folder.rglob("*"))
    outcome = sweep(*arguments, settings=settings)
    assert outcome.status == status, (outcome.status, outcome.stderr)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in sweep.folder.rglob("*")) == before
    return outcome.error_line()


@pytest.mark.parametrize(
    "setting, words",
    [
        ("sweep.lr.form=1", ["'sweep.lr.form'", "did you mean 'sweep.lr.from'?"]),
        ("optimiser.lr=1", ["'optimiser.lr'", "did you mean 'optimizer.lr'?"]),
        ("sweep.models=[]", ["sweep.models", "expected one or more"]),
        ("sweep.seeds=[]", ["sweep.seeds", "expected one or more"]),
        ("sweep.seeds=[1, 2, 1]", ["sweep.seeds", "different"]),
        ("sweep.models=['new:llama2-20M-prenorm', 'new:llama2-20M-prenorm']", ["sweep.models", "different"]),
        ("sweep.models=['a/ckpt.pt', 'b/ckpt.pt']", ["sweep.models", "folders"]),
        ("sweep.models=['new:llama2-20M-prenorms']", ["prenorms", "simplegpt"]),
        ("sweep.models=['']", ["sweep.models"]),
        ("sweep.models=['..']", ["sweep.models"]),
        ("sweep.seeds=[-1]", ["seed is -1", "at least 0"]),
        ("sweep.seeds=0", ["sweep.seeds is 0", "a list"]),
        ("sweep.lr.from=64", ["sweep.lr.to is 8", "sweep.lr.from"]),
        ("sweep.lr.from=0", ["sweep.lr.from is 0", "positive"]),
        ("sweep.lr.per_octave=0", ["sweep.lr.per_octave is 0", "positive"]),
        ("sweep.factor=1", ["sweep.factor is 1", "1.01"]),
        ("sweep.jobs=0", ["sweep.jobs is 0", "at least 1"]),
        ("steps=0", ["steps is 0", "at least 1"]),
        ("schedule.warmup=24", ["schedule.warmup is 24"]),
    ],
)
def test_invalid_values_are_refused_with_their_key(sweep, setting, words):
    line = fails(sweep, 2, settings=[setting])
    for word in words:
        assert word in line, line


def test_the_modes_of_the_program_exclude_each_other(sweep):
    for arguments in (
        ["--emit", "slurm", "--task", "0:0"],
        ["--merge", "--task", "0:0"],
        ["--emit", "slurm", "--merge"],
        ["--resume", "--overwrite"],
    ):
        assert "excludes" in fails(sweep, 2, *arguments)
    assert "slurm" in fails(sweep, 2, "--emit", "pbs")


@pytest.mark.parametrize("word", ["", "0", "0:", ":0", "0:0:0", "0:0x", "a:b", "0.5:0"])
def test_a_task_must_be_a_stage_and_an_index(sweep, word):
    assert "expected STAGE:INDEX" in fails(sweep, 2, "--task", word)


# Two models, three rates and two seeds; two rounds of bisection.
@pytest.mark.parametrize("word", ["0:12", "0:-1", "1:4", "2:4", "3:0", "-1:0"])
def test_tasks_that_do_not_exist_are_refused(sweep, word):
    stage, index = word.split(":")
    line = fails(sweep, 2, "--task", word)
    assert f"stage {stage}" in line and "s are 0 to " in line
    assert stage in ("3", "-1") or f"no task {index}" in line


def test_an_existing_configuration_is_required(sweep):
    assert "CONFIG.toml is required" in outcome_without_configuration(sweep).error_line()
    (sweep.folder / "sweep.toml").unlink()
    assert fails(sweep, 1).startswith("sweep.toml: no such file")


def outcome_without_configuration(sweep):
    command = sweep.command
    sweep.command = lambda *arguments, settings=(): command(*arguments, settings=settings)[:1]
    try:
        outcome = sweep()
    finally:
        sweep.command = command
    assert outcome.status == 2
    return outcome


def test_an_existing_sweep_is_neither_resumed_nor_replaced_unless_asked(swept):
    line = fails(swept, 1)
    assert line.startswith("sweep/sweep.h5: already exists") and "--resume" in line and "--overwrite" in line


def test_resuming_with_other_steps_is_refused_with_the_key_and_changes_nothing(swept, whole_sweep):
    outcome = swept("--resume", settings=["steps=25"])
    assert outcome.status == 2
    line = outcome.error_line()
    assert "steps = 24" in line and "25" in line and "run.h5" in line
    file = SweepFile(swept.out / "sweep.h5")
    assert file.rows() == SweepFile(whole_sweep.out / "sweep.h5").rows()
    assert file.attributes["finished"] == 1


def test_overwriting_replaces_every_run_of_the_sweep(swept):
    settings = [*ONE_MODEL, *ONE_SEED, *NO_BISECTION, "sweep.lr.to=0.5", "steps=5"]
    outcome = swept("--overwrite", "--json", settings=settings)
    assert outcome.status == 0, outcome.stderr
    assert [(run["lr"], run["step"]) for run in outcome.table["runs"]] == [(0.5, 5)]
    assert list((swept.out / SIMPLEGPT).rglob("run.h5")) == [swept.cell(SIMPLEGPT, 0.5, 0) / "run.h5"]


def test_overwriting_replaces_the_runs_of_tasks_that_were_never_merged(sweep):
    small = [*ONE_MODEL, *ONE_SEED, *NO_BISECTION, "sweep.lr.to=0.5"]
    assert sweep("--task", "0:0", settings=small).status == 0
    outcome = sweep("--overwrite", "--json", settings=[*small, "steps=5"])
    assert outcome.status == 0, outcome.stderr
    assert [run["step"] for run in outcome.table["runs"]] == [5]


def test_unusable_data_is_found_before_the_first_run(sweep):
    assert fails(sweep, 1, settings=["data.source=missing.txt"]) == "missing.txt: no such file"
    line = fails(sweep, 1, settings=["data.tokenizer=words", "data.source=sweep.toml"])
    assert line == "words: no such file"
