"""The output of hessian-train: the result, --json, progress with and without a terminal, help, the keys."""

import re

import pytest

import train_runs
from programs import program

# "[######                  ] 93/400, loss 3.1234, 45.6k tokens/s, 1 s left"
BAR = re.compile(r"\[(?P<bar>#* *)\] (?P<step>\d+)/(?P<steps>\d+), (?P<rest>.*)")
NUMBERS = re.compile(r"loss (\d+\.\d{4}), (\d+(?:\.\d+[kM])?) tokens/s, (\d+ s|\d+ min \d\d s) left")
LINE = re.compile(r"step (\d+) of (\d+), (.*)")


def test_stdout_holds_only_the_result(train):
    outcome = train.done({})
    run = outcome.run
    loss, validation = run.datasets["/train/loss"][-1], run.datasets["/train/val_loss"][-1]
    first, run_file, checkpoint = outcome.stdout.splitlines()
    assert first.startswith(f"finished at step 12; loss {loss:.4f}, validation {validation:.4f} nats; ")
    assert re.fullmatch(r".* nats; \d+(\.\d+[kM])? tokens/s", first)
    assert run_file == "run file run/run.h5"
    assert checkpoint == "checkpoint run/checkpoint-00000012.safetensors"


def test_without_a_terminal_progress_is_plain_lines(train):
    outcome = train.done({})
    lines = outcome.stderr.splitlines()
    assert outcome.stderr.endswith("\n") and "\r" not in outcome.stderr and "\x1b" not in outcome.stderr
    step, steps, rest = LINE.fullmatch(lines[-1]).groups()
    assert (step, steps) == ("12", "12")
    assert NUMBERS.fullmatch(rest).group(1) == f"{outcome.run.datasets['/train/loss'][-1]:.4f}"
    # One line every ten seconds, and one at the end.
    assert len(lines) < 5


def test_on_a_terminal_there_is_a_bar_with_loss_speed_and_time_left(train):
    outcome = train.start({"steps": 500, "schedule.warmup": 10, "checkpoint.every": 0}, terminal=True).end()
    assert outcome.status == 0
    assert outcome.stdout.startswith("finished at step 500; ")
    # Each bar replaces the last one, and the line is empty at the end.
    parts = outcome.stderr.split("\r\x1b[K")
    assert parts[0] == "" and parts[-1] == ""
    bars = [BAR.fullmatch(part) for part in parts[1:-1]]
    assert len(bars) >= 3 and all(bars), parts
    losses = outcome.run.datasets["/train/loss"]
    for bar in bars:
        step = int(bar["step"])
        assert bar["steps"] == "500" and len(bar["bar"]) == 24
        assert bar["bar"].count("#") == 24 * step // 500
        assert NUMBERS.fullmatch(bar["rest"]).group(1) == f"{losses[step - 1]:.4f}"
    steps = [int(bar["step"]) for bar in bars]
    assert steps == sorted(set(steps)) and steps[-1] == 500
    assert NUMBERS.fullmatch(bars[-1]["rest"]).group(3) == "0 s"


def test_json_has_the_numbers_of_the_file(train):
    outcome = train.done({}, "--json")
    report, run = outcome.report, outcome.run
    assert report["loss"] == run.datasets["/train/loss"][-1]
    assert report["validation_loss"] == run.datasets["/train/val_loss"][-1]
    for key, value in {
        **{"run_file": "run/run.h5", "checkpoint": "run/checkpoint-00000012.safetensors", "step": 12},
        **{"resumed_from": 0, "interrupted": False, "diverged": False},
    }.items():
        assert report[key] == value, key
    tokens, seconds = run.datasets["/train/tokens"][-1], run.datasets["/train/step_seconds"].sum()
    assert report["tokens_per_second"] == pytest.approx(tokens / seconds, rel=1e-6)


def test_json_has_null_for_a_missing_number(train):
    report = train.done({"validation.every": 0}, "--json").report
    assert report["validation_loss"] is None


def test_a_report_of_a_run_with_probes_lists_them(train):
    changes = {"probe.every": 6, "probe.sequences": 3}
    outcome = train.done(changes)
    rows = [line.split() for line in outcome.stdout.splitlines()]
    assert [row[0] for row in rows if row and row[0] in ("0", "6", "12")] == ["0", "6", "12"]
    # The median of layer 0's norms before training, to three digits.
    norms = sorted(outcome.run["residual/spectral_norm"][0, 0])
    assert float(next(row for row in rows if row[0] == "0")[1]) == pytest.approx(norms[1], rel=1e-2)
    assert train.done(changes, "--json").report["step"] == 12


def test_a_result_that_cannot_be_printed_is_an_error(train):
    command = train.command({})
    outcome = train.execute(["sh", "-c", '"$0" "$@" >/dev/full', *command])
    assert outcome.status == 1
    assert "hessian-train: stdout: the result cannot be printed: " in outcome.stderr
    assert outcome.run.attributes["finished"] == 1


def test_help_names_every_option_and_keys_every_key(train):
    help_text = train.execute([program("hessian-train"), "--help"])
    assert help_text.status == 0 and help_text.stderr == ""
    for option in ("--set", "--resume", "--overwrite", "--json", "--keys", "CONFIG.toml"):
        assert option in help_text.stdout
    keys = train.execute([program("hessian-train"), "--keys"])
    assert keys.status == 0 and keys.stderr == ""
    for line in keys.stdout.splitlines():
        assert re.fullmatch(r"  [a-z0-9_.]+ +\S.*\[.+\]", line), line
    for key in train_runs.SMALL:
        assert f"  {key} " in keys.stdout
