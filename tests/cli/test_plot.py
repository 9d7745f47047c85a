"""The drawings of hessian-plot: figures and their numbers, formats, selections, overlays, and unfinished runs."""

import re
import signal
import subprocess
import time
import xml.etree.ElementTree

import h5py
import numpy
import pytest

import plot_runs
import train_runs
from probe_runs import RunFile
from programs import environment

# The runs' models, labelled by their parameters: dim 16, 2 layers, 256 words.
LABELS = ("llama2-16K-prenorm", "llama2-16K-simplegpt")
PROBED = {"probe.every": 6, "probe.sequences": 2, "probe.sharpness": True, "validation.every": 4}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Two runs with probes and different norm placements, each in its own folder."""
    train = train_runs.Train(tmp_path_factory.mktemp("trained"))
    for placement in ("prenorm", "simplegpt"):
        train.done({**PROBED, "out": placement, "model.name": f"new:llama2-20M-{placement}"})
    return {placement: train.folder / placement / "run.h5" for placement in ("prenorm", "simplegpt")}


def test_draws_every_figure_of_a_training_run(plot, trained):
    outcome = plot.done(trained["prenorm"])
    figures = {
        "loss", "grad-norm", "learning-rate", "sharpness", "preconditioned-sharpness", "spectral-norm-residual",
        "spectral-norm-over-training-residual", "rms-residual", "abs-max-residual", "abs-mean-residual",
        "feature-outlier-residual", "rms-over-training-residual",
    }  # fmt: skip
    assert {name.removesuffix(".svg") for name in outcome.names()} == figures
    assert sorted(outcome.stdout.splitlines()) == [f"plots/{name}" for name in outcome.names()]
    for name in outcome.names():
        assert xml.etree.ElementTree.parse(outcome.out / name).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_numbers_are_those_of_the_file(plot, trained):
    outcome = plot.done(trained["simplegpt"], "--csv", "--format", "none")
    run = RunFile(trained["simplegpt"])
    x, y, _, _ = outcome.curve("loss", "training")
    assert (x == run.datasets["/train/step"]).all() and (y == run.datasets["/train/loss"]).all()
    x, y, _, _ = outcome.curve("loss", "validation")
    assert (x == run.datasets["/train/val_step"]).all() and (y == run.datasets["/train/val_loss"]).all()
    norms = run["residual/spectral_norm"]
    for probe, step in enumerate(run["step"]):
        x, y, low, high = outcome.curve("spectral-norm-residual", f"step {step}")
        assert (x == run["layer/residual"]).all()
        assert y == pytest.approx(numpy.median(norms[probe], axis=1))
        assert (low == norms[probe].min(axis=1)).all() and (high == norms[probe].max(axis=1)).all()
    cells = numpy.array(outcome.table("spectral-norm-over-training-residual"), dtype=float)
    assert cells[:, 2] == pytest.approx(numpy.median(norms, axis=2).T.ravel())
    for name in ("rms", "abs_max", "abs_mean", "feature_outlier"):
        _, y, _, _ = outcome.curve(name.replace("_", "-") + "-residual", f"step {run['step'][-1]}")
        assert (y == run[f"residual/{name}"][-1]).all()
    _, y, _, _ = outcome.curve("sharpness", "measured")
    assert (y == run["sharpness/lambda_max"]).all()
    # The learning rate of the update after each probe, and for the last probe that of the update before it.
    steps = numpy.minimum(run["step"], train_runs.SMALL["steps"] - 1)
    _, y, _, _ = outcome.curve("sharpness", "measured, threshold")
    assert y == pytest.approx(2 / run.datasets["/train/lr"][steps])
    _, y, _, _ = outcome.curve("preconditioned-sharpness", "measured, threshold")
    assert y == pytest.approx((2 + 2 * 0.9) / (1 - 0.9) / run.datasets["/train/lr"][steps])


def test_a_sweep_shows_the_runs_that_diverged(plot, whole_sweep):
    outcome = plot.done(whole_sweep.out / "sweep.h5", "--csv", "--format", "none")
    with h5py.File(whole_sweep.out / "sweep.h5", "r") as file:
        sweep = {name: file[f"/sweep/{name}"][:] for name in ("model", "lr", "status", "final_loss")}
        stable_lr = dict(zip(file["/sweep/summary/model"].asstr()[:], file["/sweep/summary/largest_stable_lr"][:]))
    for model in stable_lr:
        of_model = sweep["model"] == model.encode()
        stable = of_model & (sweep["status"] == b"stable")
        x, y, _, _ = outcome.curve("lr-sweep", model)
        assert sorted(x) == sorted(set(sweep["lr"][stable]))
        for rate, loss in zip(x, y):
            assert loss == pytest.approx(numpy.median(sweep["final_loss"][stable & (sweep["lr"] == rate)]))
        x, y, _, _ = outcome.curve("lr-sweep", f"{model}, diverged")
        diverged = of_model & (sweep["status"] == b"diverged")
        assert sorted(x) == sorted(set(sweep["lr"][diverged]))
        for rate, loss in zip(x, y):
            ended = sweep["final_loss"][diverged & (sweep["lr"] == rate)]
            assert loss == pytest.approx(numpy.median(ended[numpy.isfinite(ended)])), "CSV has the data, not the height of a cross"
        x, _, _, _ = outcome.curve("lr-sweep", f"largest stable rate of {model}")
        assert x == [stable_lr[model]]


def test_several_runs_are_overlaid_and_labelled_by_their_differences(plot, trained):
    outcome = plot.done(trained["prenorm"], trained["simplegpt"], "--csv")
    assert {row[0] for row in outcome.table("grad-norm")} == set(LABELS)
    # Upper bounds are drawn where they are visibly above the norms.
    curves = {row[0].removesuffix(", upper bound") for row in outcome.table("spectral-norm-residual")}
    assert curves == {f"{label}, step 12" for label in LABELS}
    assert "spectral-norm-over-training-residual-1.svg" in outcome.names()
    svg = (outcome.out / "grad-norm.svg").read_text()
    assert LABELS[1] in svg


def test_draws_the_selected_figures_in_every_format(plot, trained):
    outcome = plot.done(trained["prenorm"], "--format", "svg,png,pdf", "--select", "loss,rms-*")
    assert outcome.names() == sorted(
        f"{figure}.{ending}"
        for figure in ("loss", "rms-residual", "rms-over-training-residual")
        for ending in ("svg", "png", "pdf")
    )
    assert (outcome.out / "loss.png").read_bytes().startswith(b"\x89PNG")
    pdf = (outcome.out / "loss.pdf").read_bytes()
    width, height = map(float, re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", pdf).groups())
    assert (width, height) == (pytest.approx(3.4 * 72, abs=2), pytest.approx(2.5 * 72, abs=2)), "a column of a page"


def test_lists_the_contents_of_a_file_without_drawing(plot, trained):
    outcome = plot.done("--list", trained["prenorm"], out=None)
    first, *lines = outcome.stdout.splitlines()
    assert first.startswith(f"{trained['prenorm']}: hessian-train, finished, {LABELS[0]}, dim 16, 2 layers")
    run = RunFile(trained["prenorm"])
    listed = {line.split()[0]: line for line in lines if line.startswith("  /")}
    assert listed.keys() == run.datasets.keys()
    for path, line in listed.items():
        shape = ", ".join(map(str, run.datasets[path].shape))
        assert f"[{shape}]" in line
        assert run.dataset_attributes[path]["long_name"] in line
    assert lines[-1].startswith("  figures: loss, grad-norm, learning-rate, sharpness")
    assert list(plot.folder.iterdir()) == []


def test_draws_densities_with_their_ritz_values(plot, tmp_path):
    grid = numpy.linspace(-1, 3, 201)
    density = numpy.exp(-((grid / 0.1) ** 2)) + 1e-3 * numpy.exp(-(((grid - 2.5) / 0.1) ** 2))
    run = plot_runs.write_run(
        tmp_path / "run.h5",
        {
            "/density/hessian/grid": grid,
            "/density/hessian/density": density,
            "/density/hessian/ritz_values": [-0.2, 0.1, 2.5],
        },
    )
    outcome = plot.done(run, "--csv")
    assert outcome.names() == ["density-hessian.csv", "density-hessian.svg"]
    x, y, _, _ = outcome.curve("density-hessian", "run.h5")
    assert (x == grid).all() and (y == density).all()
    x, _, _, _ = outcome.curve("density-hessian", "Ritz values")
    assert list(x) == [-0.2, 0.1, 2.5]


def test_marks_and_reports_estimates_that_did_not_converge(plot, tmp_path):
    norms = numpy.arange(1.0, 7.0).reshape(1, 3, 2)
    converged = numpy.ones((1, 3, 2), dtype=numpy.uint8)
    converged[0, 1, 0] = 0
    run = plot_runs.write_run(tmp_path / "run.h5", plot_runs.probe_datasets(norms, converged))
    outcome = plot.done(run, "--csv", "--select", "spectral-norm-*")
    x, y, _, _ = outcome.curve("spectral-norm-residual", "step 0, not converged")
    assert list(x) == [1] and list(y) == [3.5]
    assert len(outcome.warnings()) == 1 and "1 of 6 estimates" in outcome.warnings()[0]


def test_a_million_steps_are_reduced_without_losing_a_spike(plot, tmp_path):
    steps = 1_000_000
    loss = 5 - 4 * numpy.arange(steps) / steps + numpy.random.default_rng(1).normal(size=steps)
    run = plot_runs.write_run(
        tmp_path / "run.h5",
        {
            "/train/step": numpy.arange(1, steps + 1),
            "/train/loss": loss,
            "/train/lr": numpy.full(steps, 0.1),
            "/train/grad_norm": numpy.ones(steps),
        },
    )
    outcome = plot.done(run, "--csv")
    x, y, low, high = outcome.curve("loss", "training")
    assert len(x) <= 1000
    assert low.min() == loss.min() and high.max() == loss.max(), "no spike is lost"
    assert y == pytest.approx(5 - 4 * x / steps, abs=0.2)
    assert (outcome.out / "loss.svg").stat().st_size < 500_000


def test_follows_a_run_until_it_is_finished(plot, train):
    running = train.start({**PROBED, "steps": 400, "probe.every": 100, "checkpoint.every": 0, "probe.sharpness": False})
    running.wait_until(lambda: (train.folder / "run" / "run.h5").exists())
    watching = subprocess.Popen(
        plot.command(train.folder / "run" / "run.h5", "--watch", "0.05", "--select", "loss", "--csv"),
        cwd=plot.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    table = plot.folder / "plots" / "loss.csv"
    early = None
    while running.process.poll() is None:
        if early is None and table.exists():
            early = len(table.read_text().splitlines())
        time.sleep(0.005)
    running.end()
    stdout, stderr = watching.communicate(timeout=60)
    assert watching.returncode == 0, stderr
    assert early is not None and early < 400, "it drew before the run had ended"
    assert len([line for line in table.read_text().splitlines() if line.startswith("training,")]) == 400
    assert stdout.splitlines() == ["plots/loss.svg", "plots/loss.csv"]


def test_an_interrupted_watch_keeps_its_drawings(plot, tmp_path):
    run = plot_runs.write_run(tmp_path / "run.h5", plot_runs.probe_datasets(numpy.ones((1, 2, 1))), finished=numpy.int32(0))
    watching = subprocess.Popen(
        plot.command(run, "--watch", "30"), cwd=plot.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not (plot.folder / "plots" / "spectral-norm-residual.svg").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.5)
    watching.send_signal(signal.SIGINT)
    stdout, stderr = watching.communicate(timeout=20)
    assert watching.returncode == 0, stderr
    assert b"spectral-norm-residual.svg" in stdout
