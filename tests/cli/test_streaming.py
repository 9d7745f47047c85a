"""Models that do not fit in --memory: weights are loaded layer by layer, and the numbers stay the same."""

import json
import os
import re
import subprocess

import pytest

import safetensors_file
import tiny_models
from probe_runs import OF_ROWS, OF_SEQUENCES
from programs import environment

MIB = 1 << 20
LAYERS = 24


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model of 24 layers, 48 MiB in bfloat16, and tokens for it."""
    folder = tmp_path_factory.mktemp("large")
    config = tiny_models.configuration(dim=256, ffn_hidden_dim=1024, n_layers=LAYERS, n_heads=4, n_kv_heads=4)
    tensors = {name: safetensors_file.as_bfloat16(tensor) for name, tensor in tiny_models.draw(config).items()}
    path = tiny_models.write(folder / "model.safetensors", config, tensors)
    assert path.stat().st_size > 45 * MIB
    tiny_models.write_tokens(folder / "tokens.safetensors", config["vocab_size"], sequences=3, length=8)
    return path


def arguments(model, *more):
    tokens = model.parent / "tokens.safetensors"
    return ("--model", model, "--data", tokens, "--layer", f"{LAYERS - 4},{LAYERS}", "--max-iter", 8, "--ends", "both", *more)


def run_and_measure(probe, *options, out="run.h5"):
    """Runs hessian-probe; returns its output and the peak resident memory of its process in bytes."""
    command = probe.command(options, out)
    with subprocess.Popen(
        command, cwd=probe.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        stdout, stderr = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, stderr
    return stdout, stderr, usage.ru_maxrss * 1024


def test_a_model_larger_than_memory_is_streamed_with_the_same_numbers(probe, large, llama, tokens):
    kept = probe.run(*arguments(large, "--memory", "1GiB"), out="kept.h5")
    assert kept.datasets["/plan/weights_streamed"].tolist() == [0]
    stdout, stderr, resident = run_and_measure(probe, *arguments(large, "--memory", "24MiB", "--json"))
    report = json.loads(stdout)
    run = probe.read("run.h5")

    # One thread and the same operations in the same order give identical numbers.
    for name in OF_SEQUENCES + OF_ROWS:
        assert (run[f"residual/{name}"] == kept[f"residual/{name}"]).all(), name
    assert (run["loss"] == kept["loss"]).all()
    assert (run["residual/spectral_norm"] > 0).all()

    plan, time, warning = stderr.splitlines()
    assert "estimates did not converge" in warning
    assert re.fullmatch(
        r"hessian-probe: residual: 2 layers and 3 sequences at once, layers recomputed for each product, "
        r"weights streamed; [\d.]+ MiB planned of 24 MiB allowed",
        plan,
    ), plan
    assert re.fullmatch(
        r"hessian-probe: time: about [\d.]+ s with 10 products per eigenproblem, [\d.]+ s with the maximum of 10",
        time,
    ), time
    assert report["weights_streamed"] is True
    assert report["plan"] == [line.removeprefix("hessian-probe: ") for line in (plan, time)]
    assert report["peak_memory_bytes"] <= 1.1 * report["planned_bytes"] <= 1.1 * 24 * MIB
    assert report["peak_memory_bytes"] > 8 * MIB  # two layers in float32
    assert run.datasets["/plan/weights_streamed"].tolist() == [1]
    assert run.datasets["/plan/memory_bytes"].tolist() == [report["planned_bytes"]]
    assert run.datasets["/plan/seconds"].tolist() == [report["planned_seconds"]]
    assert run.datasets["/plan/elapsed_seconds"].tolist() == [report["seconds"]]
    assert run.attributes["peak_memory_bytes"] == report["peak_memory_bytes"]
    # The machine may be busy with other work.
    assert 0.05 * report["planned_seconds"] < report["seconds"] < 20 * report["planned_seconds"]

    _, _, resident_of_tiny = run_and_measure(
        probe, "--model", llama, "--data", tokens, "--max-iter", 8, out="tiny.h5"
    )
    grown = resident - resident_of_tiny
    assert grown < 40 * MIB, f"{grown / MIB:.0f} MiB for 48 MiB of weights, which are 96 MiB in float32"


def test_streamed_bfloat16_weights_give_the_same_numbers(probe, large):
    options = arguments(large, "--dtype", "bfloat16")
    kept = probe.run(*options, "--memory", "1GiB")
    streamed = probe.run(*options, "--memory", "20MiB")
    assert streamed.datasets["/plan/weights_streamed"].tolist() == [1]
    for name in ("spectral_norm", "lambda_max", "lambda_min"):
        assert (streamed[f"residual/{name}"] == kept[f"residual/{name}"]).all(), name


def test_a_limit_too_small_for_one_layer_is_refused_with_one_that_works(probe, large):
    line = probe.fails(1, *arguments(large, "--memory", "6MiB"))
    match = re.fullmatch(
        r"one sequence of 8 tokens needs [\d.]+ MiB, 6\.0 MiB are allowed; "
        r"give --memory ([\d.]+)MiB or a smaller --seq-len",
        line,
    )
    assert match, line
    outcome = probe(*arguments(large, "--memory", f"{match[1]}MiB"))
    assert outcome.status == 0, outcome.stderr
    assert "weights streamed" in outcome.stderr
    assert float(match[1]) < 24


def test_a_check_that_needs_all_weights_is_refused_with_the_reason(probe, large):
    line = probe.fails(1, *arguments(large, "--memory", "24MiB", "--check"))
    assert "24 MiB are allowed" in line and line.endswith("or leave out --check, which holds all weights"), line


def test_a_nanogpt_checkpoint_is_streamed_too(probe, make_checkpoint):
    path = make_checkpoint(probe.folder / "ckpt.pt", "--vocab", 256, "--dim", 64, "--layers", 16, "--block-size", 16)
    options = ("--model", path, "--sequences", 2, "--seq-len", 4, "--layer", 15, "--dtype", "float64", "--ends", "both")
    kept = probe.run(*options, "--memory", "1GiB")
    in_float64 = 2 * path.stat().st_size
    streamed = probe.run(*options, "--memory", int(0.7 * in_float64))
    assert kept.datasets["/plan/weights_streamed"] == [0] and streamed.datasets["/plan/weights_streamed"] == [1]
    for name in ("loss", "residual/spectral_norm", "residual/lambda_min"):
        assert (streamed[name] == kept[name]).all(), name
