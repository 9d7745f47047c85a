"""The effects of the options: layers, sites, units, methods, precisions, seeds, memory, and the check of the products."""

import re

import numpy
import pytest

import tiny_models
from probe_runs import SITES
from test_run_file import parse_toml

SPECTRUM = ("spectral_norm", "lambda_max", "lambda_min")


@pytest.mark.parametrize(
    "layers, expected",
    [
        ("all", [0, 1, 2, 3]),
        ("2", [2]),
        ("3,0", [0, 3]),
        ("1-3", [1, 2, 3]),
        ("0,2-3", [0, 2, 3]),
        ("1,1-2,2", [1, 2]),
    ],
)
def test_layers_are_selected_by_numbers_and_ranges(probe, nanogpt, layers, expected):
    run = probe.run("--model", nanogpt, "--sequences", 1, "--seq-len", 4, "--layer", layers)
    assert run["layer/residual"].tolist() == expected
    assert run["residual/spectral_norm"].shape == (1, len(expected), 1)


@pytest.mark.parametrize(
    "layers",
    ["4", "0-4", "2-1", "-1", "1-", "-", ",", "1,", ",1", "1,,2", "", "x", "1.5", "0, 1", "99999999999999999999"],
)
def test_layers_that_the_model_does_not_have_are_refused(probe, nanogpt, layers):
    line = probe.fails(2, "--model", nanogpt, "--sequences", 1, "--seq-len", 4, "--layer", layers)
    assert line == f"--layer '{layers}': expected all, or numbers and ranges from 0 to 3 such as 0,3,5-7"


def test_a_layer_has_the_same_numbers_whatever_else_is_probed(probe, llama, tokens):
    # Layers probed together share matrix products, which may change the order of their sums. The more norms a run has, the
    # more products each takes, so that their bounds hold together: numbers agree up to the tolerance.
    options = ("--model", llama, "--data", tokens, "--dtype", "float64", "--ends", "both", "--tol", 1e-9)
    together = probe.run(*options, "--site", "all")
    for site in SITES:
        alone = probe.run(*options, "--site", site, "--layer", 1)
        assert (alone[f"{site}/converged"] == 1).all() and (together[f"{site}/converged"] == 1).all()
        for name in SPECTRUM:
            one, same = alone[f"{site}/{name}"][:, 0], together[f"{site}/{name}"][:, 1]
            assert one == pytest.approx(same, rel=1e-8), (site, name)
        assert (alone[f"{site}/iterations"][:, 0] <= together[f"{site}/iterations"][:, 1]).all()
        assert (alone[f"{site}/rms"][:, 0] == together[f"{site}/rms"][:, 1]).all()


def test_the_residual_has_one_row_more_than_the_other_sites(probe, llama, tokens):
    run = probe.run("--model", llama, "--data", tokens, "--site", "residual,ffn_in")
    assert run["layer/residual"].tolist() == [0, 1, 2]
    assert run["layer/ffn_in"].tolist() == [0, 1]
    assert sorted(path.split("/")[3] for path in run.datasets if path.startswith("/probe/layer/")) == [
        "ffn_in",
        "residual",
    ]


def test_the_option_for_sites_may_be_repeated(probe, llama, tokens):
    run = probe.run("--model", llama, "--data", tokens, "--site", "attn_in", "--site", "ffn_in")
    groups = {path.split("/")[2] for path in run.datasets if path.startswith("/probe/")}
    assert groups == {"step", "loss", "layer", "attn_in", "ffn_in"}


def test_a_site_that_no_selected_layer_has_is_refused(probe, llama, tokens):
    line = probe.fails(2, "--model", llama, "--data", tokens, "--layer", 2, "--site", "attn_in")
    assert line == "--layer '2' has no layer with the site attn_in; layers 0 to 1 have it"


def test_units_token_and_sequence_agree_for_sequences_of_one_token(probe, llama):
    tiny_models.write_tokens(probe.folder / "ones.safetensors", 31, sequences=3, length=1)
    options = ("--model", llama, "--data", "ones.safetensors", "--dtype", "float64", "--ends", "both")
    sequence = probe.run(*options)
    token = probe.run(*options, "--unit", "token")
    assert token["token_position"].tolist() == [0, 0, 0]
    for name in SPECTRUM:
        assert token[f"residual/{name}"] == pytest.approx(sequence[f"residual/{name}"], rel=1e-9, abs=1e-12)


def test_the_spectrum_of_a_token_lies_within_that_of_its_sequence(probe, nanogpt):
    options = (
        "--model",
        nanogpt,
        "--sequences",
        6,
        "--seq-len",
        12,
        "--dtype",
        "float64",
        "--tol",
        "1e-8",
        "--site",
        "residual,ffn_in",
        "--ends",
        "both",
    )
    sequence = probe.run(*options)
    token = probe.run(*options, "--unit", "token")
    positions = token["token_position"]
    assert positions.shape == (6,) and (0 <= positions).all() and (positions < 12).all()
    assert len(set(positions.tolist())) > 1
    for site in ("residual", "ffn_in"):
        # Cauchy's interlacing theorem; the slack is the tolerance of both.
        slack = 1e-7 * sequence[f"{site}/spectral_norm"]
        assert (token[f"{site}/lambda_max"] <= sequence[f"{site}/lambda_max"] + slack).all()
        assert (token[f"{site}/lambda_min"] >= sequence[f"{site}/lambda_min"] - slack).all()
        assert (token[f"{site}/spectral_norm"] > 0).all()
        assert (token[f"{site}/spectral_norm"] < 0.999 * sequence[f"{site}/spectral_norm"]).any()


@pytest.mark.parametrize("method", ["power", "spectra"])
def test_methods_agree(probe, llama, tokens, method):
    options = ("--model", llama, "--data", tokens, "--dtype", "float64", "--tol", "1e-6", "--max-iter", 20000)
    options += ("--ends", "both")
    lanczos = probe.run(*options)
    other = probe.run(*options, "--method", method)
    assert (other["residual/converged"] == 1).all()
    for name in SPECTRUM:
        # Both have errors below 1e-6 of the spectral norm, so the relative error of the smaller end is larger.
        error = abs(other[f"residual/{name}"] - lanczos[f"residual/{name}"])
        assert (error <= 1e-5 * lanczos["residual/spectral_norm"]).all(), name


@pytest.mark.parametrize("method", ["lanczos", "power", "spectra"])
def test_the_dominant_end_is_enough_for_the_spectral_norm(probe, llama, tokens, method):
    options = ("--model", llama, "--data", tokens, "--dtype", "float64", "--tol", "1e-6", "--max-iter", 20000)
    both = probe.run(*options, "--ends", "both")
    outcome = probe(*options, "--method", method, "--overwrite")
    assert outcome.status == 0, outcome.stderr
    one = outcome.run
    assert parse_toml(one.attributes["config"])["probe"]["ends"] == "dominant"
    assert one["residual/spectral_norm"] == pytest.approx(both["residual/spectral_norm"], rel=1e-5)
    assert (one["residual/converged"] == 1).all()
    upper, lower = (one[f"residual/{name}"] for name in ("lambda_max", "lambda_min"))
    assert (numpy.isnan(upper) != numpy.isnan(lower)).all()
    assert (numpy.where(numpy.isnan(lower), upper, -lower) == one["residual/spectral_norm"]).all()
    assert "lambda_min" not in outcome.stdout
    bounds = [row.split()[3] for row in outcome.stdout.splitlines()[2:5]]
    uppers = one["residual/norm_upper"][0]
    if method == "lanczos":
        assert bounds == [f"{numpy.median(row):.4e}" for row in uppers]
        assert (uppers >= both["residual/spectral_norm"][0]).all()
    else:
        assert bounds == ["-", "-", "-"] and numpy.isnan(uppers).all()
        assert "The norms are not certified: this method gives no upper bounds.\n" in outcome.stdout


def test_engines_agree(probe, llama, tokens):
    options = ("--model", llama, "--data", tokens, "--site", "all", "--dtype", "float64", "--tol", "1e-8", "--check")
    options += ("--ends", "both")
    tape = probe.run(*options, "--engine", "tape")
    autograd = probe.run(*options, "--engine", "autograd")
    assert parse_toml(tape.attributes["config"])["probe"]["engine"] == "tape"
    assert parse_toml(autograd.attributes["config"])["probe"]["engine"] == "autograd"
    for site in SITES:
        for name in SPECTRUM:
            assert tape[f"{site}/{name}"] == pytest.approx(autograd[f"{site}/{name}"], rel=1e-7, abs=1e-12), (site, name)
        assert (tape[f"{site}/check_relative_difference"] < 1e-6).all()


def test_in_bfloat16_the_tape_rounds_only_products_and_autograd_everything(probe, llama, tokens):
    options = ("--model", llama, "--data", tokens, "--tol", "1e-2")
    exact = probe.run(*options, "--dtype", "float64")["residual/spectral_norm"]
    errors = {}
    for engine in ("tape", "autograd"):
        run = probe.run(*options, "--dtype", "bfloat16", "--engine", engine)
        assert parse_toml(run.attributes["config"])["probe"]["engine"] == engine
        errors[engine] = abs(run["residual/spectral_norm"] / exact - 1).mean()
    assert errors["tape"] < 0.05
    assert errors["tape"] < 1.5 * errors["autograd"] + 0.01


def test_precisions_agree_within_their_rounding(probe, llama, tokens):
    runs = {
        dtype: probe.run("--model", llama, "--data", tokens, "--dtype", dtype, "--tol", "1e-5")
        for dtype in ("float32", "float64")
    }
    runs["bfloat16"] = probe.run("--model", llama, "--data", tokens, "--dtype", "bfloat16", "--tol", "1e-2")
    for dtype, losses, curvature in (("float32", 1e-5, 1e-4), ("bfloat16", 3e-2, 0.2)):
        assert runs[dtype].attributes["dtype"] == dtype
        assert runs[dtype]["loss"] == pytest.approx(runs["float64"]["loss"], rel=losses)
        assert runs[dtype]["residual/spectral_norm"] == pytest.approx(
            runs["float64"]["residual/spectral_norm"], rel=curvature
        )
        assert (runs[dtype]["loss"] != runs["float64"]["loss"]).all()


def numbers(run):
    return {path: values.tobytes() for path, values in run.datasets.items() if path.startswith("/probe/")}


def test_a_seed_repeats_its_numbers_and_another_seed_draws_other_windows(probe, nanogpt):
    options = ("--model", nanogpt, "--sequences", 3, "--seq-len", 8, "--unit", "token")
    first = probe.run(*options, "--seed", 3)
    assert numbers(first) == numbers(probe.run(*options, "--seed", 3))
    other = probe.run(*options, "--seed", 4)
    assert not (first["loss"] == other["loss"]).any()


def test_the_seed_draws_a_fresh_models_weights(probe, tokens):
    options = (
        "--model",
        "new:llama2-20M-prenorm",
        "--vocab-size",
        31,
        "--data",
        tokens,
        "--layer",
        4,
        "--sequences",
        1,
    )
    first = probe.run(*options, "--seed", 1)
    assert numbers(first) == numbers(probe.run(*options, "--seed", 1))
    assert first["residual/rms"] != probe.run(*options, "--seed", 2)["residual/rms"]


@pytest.mark.parametrize("unit", ["sequence", "token"])
def test_a_small_memory_limit_changes_the_order_of_work_but_not_the_numbers(probe, nanogpt, unit):
    options = (
        "--model",
        nanogpt,
        "--sequences",
        5,
        "--seq-len",
        12,
        "--dtype",
        "float64",
        "--tol",
        "1e-8",
        "--unit",
        unit,
        "--ends",
        "both",
    )
    plenty = probe.run(*options, "--memory", "1GiB")
    line = probe.fails(1, *options, "--memory", "1KiB", out="other.h5")
    match = re.fullmatch(
        r"one sequence of 12 tokens needs [\d.]+ [KM]iB, 1\.0 KiB are allowed; "
        r"give --memory ([\d.]+)([KM]iB) or a smaller --seq-len",
        line,
    )
    assert match, line
    amount, memory_unit = float(match[1]), match[2]
    peaks = []
    for factor in (1, 2.2):
        run = probe.run(*options, "--memory", f"{factor * amount}{memory_unit}")
        peaks.append(run.attributes["peak_memory_bytes"])
        assert (run["residual/converged"] == 1).all()
        for name in SPECTRUM:
            assert run[f"residual/{name}"] == pytest.approx(plenty[f"residual/{name}"], rel=1e-5)
        assert (run["loss"] == plenty["loss"]).all()
    assert peaks[0] < plenty.attributes["peak_memory_bytes"]


@pytest.mark.parametrize("family, placement", tiny_models.MODELS)
def test_products_agree_with_central_differences_everywhere(probe, family, placement):
    config = tiny_models.configuration(family, placement)
    tiny_models.write(probe.folder / "model.safetensors", config)
    tiny_models.write_tokens(probe.folder / "tokens.safetensors", config["vocab_size"], length=5)
    outcome = probe(
        "--model", "model.safetensors", "--data", "tokens.safetensors", "--site", "all", "--check", "--tol", "0.01"
    )
    assert outcome.status == 0, outcome.stderr
    run = outcome.run
    header = outcome.stdout.splitlines()[1]
    assert header.split()[-2:] == ["check", "precision"]
    for site in SITES:
        differences = run[f"{site}/check_relative_difference"]
        assert differences.shape == (1, 3 if site == "residual" else 2)
        # Central differences in float64 have errors of about 1e-8; a missing term in a product causes 1e-3 or more.
        assert (differences < 1e-6).all(), site
        assert (differences > 0).all(), site
        # In float32, products have errors of some 1e-6.
        narrow = run[f"{site}/check_precision_difference"]
        assert ((1e-9 < narrow) & (narrow < 1e-3)).all(), site
        printed = [line.split()[-2:] for line in outcome.stdout.splitlines()[2:] if line.split()[0] == site]
        expected = zip(differences[0], narrow[0])
        assert [[f"{number:.1e}" for number in numbers] for numbers in expected] == printed
