"""Every kind of --model and --data, compared with reference values computed by other programs."""

import json
import struct

import numpy
import pytest

import safetensors_file
import tiny_models
from programs import FIXTURES

DENSE = sorted(path.name for path in (FIXTURES / "dense").iterdir())
REFERENCES = sorted(
    [f"reference/{path.name}" for path in (FIXTURES / "reference").iterdir()]
    + [f"huggingface/{path.parent.name}" for path in (FIXTURES / "huggingface").glob("*/config.json")]
    + ["nanogpt"]
)


def model_of(folder):
    names = {"reference": "model.safetensors", "dense": "model.safetensors", "huggingface": ".", "fixtures": "ckpt.pt"}
    return folder / names[folder.parent.name]


@pytest.mark.parametrize("name", DENSE)
def test_agrees_with_the_eigenvalues_of_the_dense_hessian(probe, name):
    folder = FIXTURES / "dense" / name
    expected = safetensors_file.read(folder / "expected.safetensors")[0]
    data = folder / "expected.safetensors"
    run = probe.run("--model", model_of(folder), "--data", data, "--dtype", "float64", "--tol", "1e-9", "--ends", "both")
    assert run["loss"].mean() == pytest.approx(expected["loss"][0], rel=1e-12)
    assert run["layer/residual"].tolist() == [0, 1, 2]
    for layer in range(3):
        # The fixture has the Hessian of the mean over both sequences; that of each sequence is twice as large.
        eigenvalues = 2 * expected[f"eigenvalues.{layer}"]
        # The error of an eigenvalue is at most the residual norm, 1e-9 of the spectral norm.
        assert run["residual/lambda_max"][0, layer] == pytest.approx(eigenvalues.max(axis=1), rel=1e-7)
        assert run["residual/lambda_min"][0, layer] == pytest.approx(eigenvalues.min(axis=1), rel=1e-7)
        assert run["residual/spectral_norm"][0, layer] == pytest.approx(abs(eigenvalues).max(axis=1), rel=1e-7)
        # Every certified bound holds, and lies within 1 % of the norm.
        norms = abs(eigenvalues).max(axis=1)
        assert (run["residual/norm_upper"][0, layer] >= norms).all()
        assert (run["residual/norm_upper"][0, layer] <= 1.0101 * norms).all()
        assert (run["residual/lambda_max_upper"][0, layer] >= eigenvalues.max(axis=1)).all()
        assert (run["residual/lambda_min_lower"][0, layer] <= eigenvalues.min(axis=1)).all()


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_reference_losses_and_products(probe, name):
    folder = FIXTURES / name
    expected = safetensors_file.read(folder / "expected.safetensors")[0]
    data = folder / "expected.safetensors"
    run = probe.run("--model", model_of(folder), "--data", data, "--dtype", "float64", "--tol", "1e-4", "--ends", "both")
    # The other programs computed their norms in float32.
    assert run["loss"].mean() == pytest.approx(expected["loss"][0], rel=1e-6)
    sequences = len(expected["tokens"])
    for layer in range(sum(name.startswith("v.") for name in expected)):
        v = expected[f"v.{layer}"].reshape(sequences, -1)
        product = sequences * expected[f"hvp.{layer}"].reshape(sequences, -1)
        length = numpy.linalg.norm(v, axis=1)
        quotient = (v * product).sum(axis=1) / length**2
        slack = 1e-3 * run["residual/spectral_norm"][0, layer]
        # Every product bounds the spectrum: its Rayleigh quotient lies inside, and its length is at most the spectral norm.
        assert (run["residual/lambda_min"][0, layer] - slack <= quotient).all()
        assert (quotient <= run["residual/lambda_max"][0, layer] + slack).all()
        stretch = numpy.linalg.norm(product, axis=1) / length
        assert (stretch <= run["residual/spectral_norm"][0, layer] + slack).all()
        # The bound is significant, although the Hessian's rank is far below its size and the direction is random.
        assert (stretch > 1e-3 * run["residual/spectral_norm"][0, layer]).all()


def test_a_folder_may_end_in_a_slash(probe):
    folder = FIXTURES / "huggingface" / "llama_gqa"
    data = folder / "expected.safetensors"
    whole = probe.run("--model", folder, "--data", data, "--layer", 0)
    again = probe.run("--model", str(folder) + "/", "--data", data, "--layer", 0)
    assert (whole["residual/spectral_norm"] == again["residual/spectral_norm"]).all()


def test_a_fresh_model_is_made_by_name(probe, text_file):
    outcome = probe(
        *("--model", "new:llama2-20M-simplegpt", "--vocab-size", 256, "--data", text_file, "--layer", 4),
        *("--sequences", 1, "--seq-len", 8, "--max-iter", 60),
    )
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout.startswith("fresh llama2-20M-simplegpt, step 0, 1 sequences of 8 tokens")
    # The residual of fresh SimpleNorm models grows as sqrt(1 + 2 l), whatever the weights.
    assert outcome.run["residual/rms"][0, 0] == pytest.approx(3, rel=0.1)


def test_reads_the_training_step_of_its_own_checkpoints(probe, tokens):
    config = tiny_models.configuration()
    path = probe.folder / "model.safetensors"
    tensors = tiny_models.draw(config)
    safetensors_file.write(path, tensors, {"config": json.dumps(config), "step": "1200"})
    assert probe.run("--model", path, "--data", tokens, "--layer", 2)["step"].tolist() == [1200]


def write_nanogpt_bin(path, ids):
    path.write_bytes(numpy.asarray(ids, "<u2").tobytes())


def write_llmc_bin(path, ids, magic=20240520, version=1, kind="<u2"):
    header = struct.pack("<256i", magic, version, len(ids), *[0] * 253)
    path.write_bytes(header + numpy.asarray(ids, kind).tobytes())


def write_llmc_bin32(path, ids):
    write_llmc_bin(path, ids, 20240801, 7, "<u4")


@pytest.mark.parametrize("write", [write_nanogpt_bin, write_llmc_bin, write_llmc_bin32])
def test_a_token_file_gives_the_losses_of_the_same_tokens_as_rows(probe, llama, write):
    ids = numpy.random.default_rng(5).integers(0, 31, 8)
    write(probe.folder / "tokens.bin", ids)
    rows = {"tokens": ids[None, :-1], "targets": ids[None, 1:]}
    safetensors_file.write(probe.folder / "rows.safetensors", rows)
    # Eight tokens hold exactly one window of seven.
    drawn = probe.run("--model", llama, "--data", "tokens.bin", "--sequences", 1, "--seq-len", 7)
    given = probe.run("--model", llama, "--data", "rows.safetensors")
    assert drawn["loss"].shape == (1, 1)
    assert (drawn["loss"] == given["loss"]).all()
    assert (drawn["residual/lambda_max"] == given["residual/lambda_max"]).all()


def test_text_is_read_as_bytes(probe, nanogpt):
    text = "naïve — text"
    (probe.folder / "notes.txt").write_text(text, encoding="utf-8")
    ids = numpy.frombuffer(text.encode(), "u1").astype("<i8")
    safetensors_file.write(probe.folder / "rows.safetensors", {"tokens": ids[None, :-1], "targets": ids[None, 1:]})
    drawn = probe.run("--model", nanogpt, "--data", "notes.txt", "--sequences", 1, "--seq-len", len(ids) - 1)
    given = probe.run("--model", nanogpt, "--data", "rows.safetensors")
    assert (drawn["loss"] == given["loss"]).all()


def test_the_first_rows_and_tokens_of_a_safetensors_file_are_used(probe, llama, tokens):
    whole = safetensors_file.read(tokens)[0]
    part = {name: whole[name][:1, :4] for name in ("tokens", "targets")}
    safetensors_file.write(probe.folder / "part.safetensors", part)
    cut = probe.run("--model", llama, "--data", tokens, "--sequences", 1, "--seq-len", 4, "--ends", "both")
    given = probe.run("--model", llama, "--data", "part.safetensors", "--ends", "both")
    assert (cut["loss"] == given["loss"]).all()
    assert (cut["residual/lambda_min"] == given["residual/lambda_min"]).all()


@pytest.mark.parametrize("options", [("--prefix", "_orig_mod."), ("--no-bias",), ("--compress",), ("--protocol", 4)])
def test_reads_every_form_of_nanogpt_checkpoint(probe, make_checkpoint, text_file, options):
    path = make_checkpoint(probe.folder / "ckpt.pt", "--vocab", 256, *options)
    if options == ("--compress",):
        assert "compress" in probe.fails(1, "--model", path, "--data", text_file, "--sequences", 1)
    else:
        run = probe.run("--model", path, "--data", text_file, "--sequences", 1, "--layer", 2)
        assert run["loss"] == pytest.approx(numpy.log(256), abs=0.15)
