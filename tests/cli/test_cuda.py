"""The programs on a CUDA device compared with the CPU; skipped without a device. scripts/test_cuda.sh runs them."""

import signal

import numpy
import pytest

import tiny_models
from probe_runs import SITES

SMALL_RUN = {"model.dim": 64, "model.n_heads": 2, "steps": 30, "optimizer.lr": 3e-3, "divergence.plateau_drop": 0}


@pytest.fixture(autouse=True)
def cuda(probe, llama, tokens):
    """Skips the tests if the program reports that there is no device, and for no other reason."""
    outcome = probe("--model", llama, "--data", tokens, "--layer", 0, "--device", "cuda", "--overwrite")
    if outcome.status == 1 and "CUDA cannot be used" in outcome.stderr:
        pytest.skip("no CUDA device here")
    assert outcome.status == 0, outcome.stderr
    assert outcome.run.attributes["device"].startswith("cuda:0")


@pytest.mark.parametrize("family, placement", tiny_models.MODELS)
def test_probes_on_the_device_and_on_the_cpu_agree(probe, tmp_path, tokens, family, placement):
    config = tiny_models.configuration(family, placement)
    model = tiny_models.write(tmp_path / "model.safetensors", config)
    options = ("--model", model, "--data", tokens, "--site", "all", "--dtype", "float64", "--tol", 1e-6, "--ends", "both")
    host = probe.run(*options, "--device", "cpu", out="host.h5")
    device = probe.run(*options, "--device", "cuda", out="device.h5")
    for site in SITES:
        for name in ("spectral_norm", "lambda_max", "lambda_min", "rms"):
            # An isolated eigenvalue has an error of the order of the residual squared; the residual, 1e-6, always bounds it.
            numpy.testing.assert_allclose(device[f"{site}/{name}"], host[f"{site}/{name}"], rtol=1e-5, err_msg=(site, name))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_probe_on_the_device_checks_its_products(probe, llama, tokens, dtype):
    outcome = probe(
        *("--model", llama, "--data", tokens, "--device", "cuda", "--dtype", dtype, "--tol", 1e-2, "--check"), "--overwrite"
    )
    assert outcome.status == 0, outcome.stderr


def test_auto_selects_the_device(probe, llama, tokens):
    run = probe.run("--model", llama, "--data", tokens, "--layer", 0, "--device", "auto")
    assert run.attributes["device"].startswith("cuda:0")


@pytest.mark.parametrize("placement", ["prenorm", "simplegpt"])
def test_training_on_the_device_learns_in_float32_and_bfloat16(train, placement):
    model = {**SMALL_RUN, "model.name": f"new:llama2-20M-{placement}", "log.update_every": 0}
    host = train.done(model).run.datasets["/train/loss"]
    for dtype in ("float32", "bfloat16"):
        device = train.done({**model, "device": "cuda", "dtype": dtype}).run.datasets["/train/loss"]
        assert device[0] == pytest.approx(host[0], rel=0.02)
        assert device[-1] < 0.9 * device[0]


def test_a_run_on_the_device_resumes_on_the_cpu(train):
    whole = {**SMALL_RUN, "dtype": "float64", "steps": 150, "checkpoint.every": 20, "optimizer.eps": 1e-6}
    expected = train.done(whole).run.datasets["/train/loss"]
    (train.folder / "run").rename(train.folder / "on_the_cpu")
    running = train.start({**whole, "device": "cuda"})
    running.wait_for_checkpoint()
    interrupted = running.end(signal.SIGINT)
    assert interrupted.run.attributes["device"].startswith("cuda:0")
    resumed = train.done({**whole, "device": "cpu"}, "--resume", "--json")
    assert 20 <= resumed.report["resumed_from"] < 150
    # Differences of 1e-16 grow during training.
    numpy.testing.assert_allclose(resumed.run.datasets["/train/loss"], expected, rtol=1e-4)
