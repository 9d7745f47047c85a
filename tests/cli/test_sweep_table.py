"""A complete sweep: its runs, and its reports in sweep.h5 and on stdout and stderr."""

import statistics

import h5py
import numpy
import pytest

from sweep_runs import (
    ENDED,
    FACTOR,
    GRID,
    MODELS,
    ONE_MODEL,
    PRENORM,
    SEEDS,
    SIMPLEGPT,
    STEPS,
    SweepFile,
    diverged_at,
    only,
)


@pytest.fixture(scope="module")
def file(whole_sweep):
    return SweepFile(whole_sweep.out / "sweep.h5")


def rates_of(rows, model):
    return sorted({row["lr"] for row in rows if row["model"] == model})


def runs_with(rows, model, lr):
    return [row for row in rows if row["model"] == model and row["lr"] == lr]


def stable_rates(rows, model):
    return [lr for lr in rates_of(rows, model) if all(row["status"] == "stable" for row in runs_with(rows, model, lr))]


def test_a_sweep_runs_the_grid_and_the_rates_of_bisection_with_every_seed(file):
    rows = file.rows()
    for model in MODELS:
        rates = rates_of(rows, model)
        assert set(GRID) <= set(rates)
        for lr in rates:
            assert [row["seed"] for row in runs_with(rows, model, lr)] == SEEDS
        # Bisection: each new rate is the geometric mean of two known rates.
        known = list(GRID)
        assert len(rates) == len(GRID) + 2
        new = [lr for lr in rates if lr not in GRID]
        while new:
            means = [numpy.sqrt(a * b) for a, b in zip(sorted(known), sorted(known)[1:])]
            found = [lr for lr in new if numpy.isclose(means, lr, rtol=1e-12).any()]
            assert found, (model, rates)
            known += found
            new = [lr for lr in new if lr not in found]
    assert [(row["model"], row["lr"], row["seed"]) for row in rows] == [
        (model, lr, seed) for model in MODELS for lr in rates_of(rows, model) for seed in SEEDS
    ]


def test_the_bracket_ends_within_the_factor(file):
    rows = file.rows()
    for summary in file.summaries():
        low, high = summary["largest_stable_lr"], summary["smallest_unstable_lr"]
        assert 1 < high / low <= FACTOR * (1 + 1e-9)
        assert low == max(stable_rates(rows, summary["model"]))
        assert high == min(lr for lr in rates_of(rows, summary["model"]) if lr > low)


def test_every_status_and_loss_agrees_with_the_run_file(whole_sweep, file):
    statuses = set()
    for row in file.rows():
        path = whole_sweep.out / row["run_file"]
        assert path == whole_sweep.cell(row["model"], row["lr"], row["seed"]) / "run.h5"
        with h5py.File(path, "r") as run:
            assert run.attrs["finished"] == 1
            losses, norms = run["/train/loss"][:], run["/train/grad_norm"][:]
            assert run["/train/lr"][:].max() == pytest.approx(row["lr"], rel=1e-12)
            assert run.attrs["seed"] == row["seed"]
            place = diverged_at(losses, norms)
            assert row["diverged_at"] == place
            assert row["status"] == ("stable" if place == -1 else "diverged")
            assert len(losses) == STEPS if place == -1 else len(losses) <= STEPS
            assert row["initial_loss"] == losses[0]
            if run["/train/val_step"].shape[0] and run["/train/val_step"][-1] == len(losses):
                assert row["final_loss"] == run["/train/val_loss"][-1]
            else:  # weights that are not finite are not validated
                assert not (numpy.isfinite(losses[-1]) and numpy.isfinite(norms[-1]))
        statuses.add(row["status"])
    assert statuses == {"stable", "diverged"}


def test_the_summary_follows_from_the_runs(file):
    rows = file.rows()
    summaries = file.summaries()
    assert [summary["model"] for summary in summaries] == MODELS
    for summary in summaries:
        model = summary["model"]
        means = {
            lr: statistics.mean(row["final_loss"] for row in runs_with(rows, model, lr)) for lr in stable_rates(rows, model)
        }
        assert summary["best_loss"] == pytest.approx(min(means.values()), rel=1e-12)
        assert summary["best_lr"] == min(means, key=means.get)
        # Over the grid only; a loss above the initial one, or of a run that diverged, counts as the initial one.
        clipped = [
            statistics.mean(
                row["initial_loss"]
                if row["status"] == "diverged" or numpy.isnan(row["final_loss"])
                else min(row["final_loss"], row["initial_loss"])
                for row in runs_with(rows, model, lr)
            )
            for lr in GRID
        ]
        assert summary["lr_sensitivity"] == pytest.approx(statistics.mean(clipped) - min(clipped), rel=1e-12)
        for name in ("activation_rate", "sharpness_rate", "preconditioned_rate"):
            assert numpy.isnan(summary[name])  # the runs had no probes


def test_every_dataset_of_a_sweep_file_has_a_unit_and_a_name(file):
    runs = {"model", "lr", "seed", "status", "final_loss", "initial_loss", "diverged_at", "run_file"}
    models = {
        *("model", "largest_stable_lr", "smallest_unstable_lr", "best_loss", "best_lr", "lr_sensitivity"),
        *("activation_rate", "sharpness_rate", "preconditioned_rate"),
    }
    assert set(file.datasets) == {f"/sweep/{name}" for name in runs} | {f"/sweep/summary/{name}" for name in models}
    nats = {"final_loss", "initial_loss", "summary/best_loss", "summary/lr_sensitivity"}
    for path, unit in file.units.items():
        name = path.removeprefix("/sweep/")
        assert unit == ("nats" if name in nats else "steps" if name == "diverged_at" else "1"), path
        assert len(file.long_names[path]) > 3, path
    assert file.attributes["format"] == "hessian-run"
    assert file.attributes["program"] == "hessian-sweep"
    assert file.attributes["version"] and file.attributes["libtorch"] and "cuda" in file.attributes
    assert file.attributes["finished"] == 1
    assert "--json" in file.attributes["command_line"]
    assert "factor = 1.4" in file.attributes["config"]


def none_for_nan(value):
    return None if isinstance(value, float) and numpy.isnan(value) else value


def test_json_has_the_numbers_of_the_sweep_file(whole_sweep, file):
    table = whole_sweep.outcome.table
    assert table["models"] == [
        {name: none_for_nan(value) for name, value in summary.items()} for summary in file.summaries()
    ]
    names = ("model", "lr", "seed", "status", "final_loss", "diverged_at")
    rows = [{name: none_for_nan(row[name]) for name in names} for row in file.rows()]
    assert [{name: run[name] for name in names} for run in table["runs"]] == rows
    twin, own = (next(entry for entry in table["models"] if entry["model"] == model) for model in (PRENORM, SIMPLEGPT))
    (ratio,) = table["ratios"]
    assert (ratio["model"], ratio["baseline"]) == (SIMPLEGPT, PRENORM)
    stable, unstable = "largest_stable_lr", "smallest_unstable_lr"
    assert ratio["ratio"] == pytest.approx(own[stable] / twin[stable], rel=1e-12)
    assert ratio["low"] == pytest.approx(own[stable] / twin[unstable], rel=1e-12)
    assert ratio["high"] == pytest.approx(own[unstable] / twin[stable], rel=1e-12)


def test_the_text_has_the_numbers_of_the_json(whole_sweep):
    table = whole_sweep.outcome.table
    lines = whole_sweep.text.splitlines()
    for line, model in zip(lines[1:], table["models"]):
        assert line.split() == [
            *(model["model"], f"{model['largest_stable_lr']:.3e}", f"{model['smallest_unstable_lr']:.3e}"),
            *(f"{model['best_loss']:.4f}", f"{model['best_lr']:.3e}", f"{model['lr_sensitivity']:.4f}"),
            *("-", "-", "-"),
        ]
    (ratio,) = table["ratios"]
    assert lines[3] == (
        f"largest stable lr of {SIMPLEGPT} / {PRENORM}: {ratio['ratio']:.2f} "
        f"(the brackets allow {ratio['low']:.2f} to {ratio['high']:.2f})"
    )
    for model in MODELS:
        start = lines.index(model) + 2
        for line, lr in zip(lines[start:], rates_of(table["runs"], model)):
            runs = runs_with(table["runs"], model, lr)
            losses = [run["final_loss"] for run in runs if run["status"] == "stable"]
            words = [f"{lr:.3e}", str(len(losses)), str(sum(run["status"] == "diverged" for run in runs))]
            if losses:
                words += [f"{statistics.mean(losses):.4f}", f"{min(losses):.4f}", "..", f"{max(losses):.4f}"]
            assert line.split() == words


def test_without_a_terminal_every_run_is_reported_in_one_line_when_it_ends(whole_sweep):
    lines = whole_sweep.outcome.stderr.splitlines()
    runs = {(run["model"], f"{run['lr']:.3e}", run["seed"]): run for run in whole_sweep.outcome.table["runs"]}
    assert len(lines) == len(runs)
    for place, line in enumerate(lines, start=1):
        found = ENDED.fullmatch(line)
        assert found, line
        run = runs.pop((found["model"], found["lr"], int(found["seed"])))
        assert int(found["step"]) == run["step"]
        assert found["loss"] == ("-" if run["final_loss"] is None else f"{run['final_loss']:.4f}")
        assert found["status"].split(":")[0] == run["status"]
        if run["status"] == "diverged":
            assert str(run["diverged_at"]) in found["status"]
        assert int(found["done"]) == place <= int(found["wanted"])
    assert runs == {}


def test_two_runs_at_a_time_give_the_same_table_as_one(sweep, whole_sweep):
    # Every run has one thread, so that its numbers do not depend on other runs at the same time.
    running = sweep.start("--json", settings=["sweep.jobs=2", *ONE_MODEL])
    most = 0
    while running.process.poll() is None:
        most = max(most, len(sweep.children()))
    outcome = running.end()
    assert outcome.status == 0, outcome.stderr
    assert most == 2
    assert outcome.table == only(whole_sweep.outcome.table, [SIMPLEGPT])
