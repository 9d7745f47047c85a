"""Certified norms of trained models, against solutions in float64 with a tight tolerance."""

import pytest

# Larger learning rates and more steps than the other tests use, so that the spectra have outliers.
TRAINED = {"steps": 150, "model.dim": 32, "optimizer.lr": 0.01, "data.batch_size": 8, "checkpoint.every": 150}


@pytest.mark.parametrize("placement", ["prenorm", "simplegpt"])
def test_no_certified_norm_of_a_trained_model_is_too_low(train, probe, placement):
    train.done({**TRAINED, "model.name": f"new:llama2-20M-{placement}"})
    options = ("--model", "run/checkpoint-00000150.safetensors", "--sequences", 8, "--seq-len", 16, "--site", "residual,ffn_in")
    exact = probe.run(*options, "--dtype", "float64", "--ends", "both", "--tol", 1e-10, "--certify", 1e-6, "--max-iter", 1000)
    # The same sequences and start vectors, stopped at different moments.
    checked = 0
    for more in ((), ("--tol", 0.1, "--certify", 0.05), ("--ends", "both"), ("--dtype", "float64", "--confidence", 0.5)):
        run = probe.run(*options, *more)
        width = 0.05 if 0.05 in more else 0.01
        for site in ("residual", "ffn_in"):
            norms, true = run[f"{site}/spectral_norm"], exact[f"{site}/spectral_norm"]
            # The run in float64 checks that in float32, whose rounding is far below its certificate.
            assert (exact[f"{site}/converged"] == 1).all()
            assert (run[f"{site}/converged"] == 1).all(), more
            assert (norms <= true * (1 + 1e-4)).all(), more
            assert (norms >= (1 - width) * true).all(), more
            assert (run[f"{site}/norm_upper"] >= true * (1 - 1e-5)).all(), more
            checked += norms.size
    assert checked == 4 * 8 * (3 + 2)
