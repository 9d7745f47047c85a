"""The run file of hessian-probe, compared with the tables of docs/file-format.md."""

import ast
import datetime
import json
import math

import numpy
import pytest

import safetensors_file
from probe_runs import OF_CHECKS, OF_ROWS, OF_SEQUENCES, SITES

try:
    import tomllib
except ImportError:  # Python before 3.11
    tomllib = None

UNITS = {
    "/probe/step": "steps",
    "/probe/loss": "nats",
    "/probe/token_position": "tokens",
    "spectral_norm": "nats",
    "lambda_max": "nats",
    "lambda_min": "nats",
    "norm_upper": "nats",
    "lambda_max_upper": "nats",
    "lambda_min_lower": "nats",
    "residual_norm": "nats",
    "iterations": "products",
    "converged": "1",
    "rms": "1",
    "abs_max": "1",
    "abs_mean": "1",
    "feature_outlier": "1",
    "asymmetry": "nats",
    "check_relative_difference": "1",
    "check_precision_difference": "1",
    "/plan/weights_streamed": "1",
    "/plan/memory_bytes": "bytes",
    "/plan/seconds": "s",
    "/plan/elapsed_seconds": "s",
}
TYPES = {"iterations": "<i4", "converged": "|u1", "/probe/step": "<i8", "/probe/token_position": "<i8"}
TYPES.update({"/plan/weights_streamed": "|u1", "/plan/memory_bytes": "<i8"})


def parse_toml(text):
    if tomllib:
        return tomllib.loads(text)
    # Parses one table of plain values, which is enough for a probe's configuration.
    table = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("["):
            current = table.setdefault(line.strip("[] "), {})
        else:
            key, value = line.split("=", 1)
            words = {"true": "True", "false": "False"}
            current[key.strip()] = ast.literal_eval(words.get(value.strip(), value.strip()))
    return table


def expected_datasets(layers, sequences, check, token, both):
    """Returns the shape of each dataset by its path."""
    datasets = {"/probe/step": (1,), "/probe/loss": (1, sequences)}
    datasets.update({f"/plan/{name}": (1,) for name in ("weights_streamed", "memory_bytes", "seconds", "elapsed_seconds")})
    if token:
        datasets["/probe/token_position"] = (sequences,)
    for site in SITES:
        rows = layers + 1 if site == "residual" else layers
        datasets[f"/probe/layer/{site}"] = (rows,)
        for name in OF_SEQUENCES + (("lambda_max_upper", "lambda_min_lower") if both else ()):
            datasets[f"/probe/{site}/{name}"] = (1, rows, sequences)
        for name in OF_ROWS + (OF_CHECKS if check else ()):
            datasets[f"/probe/{site}/{name}"] = (1, rows)
    return datasets


@pytest.mark.parametrize(
    "options",
    [(), ("--ends", "both", "--check", "--unit", "token", "--confidence", 0.99, "--certify", 0.02)],
    ids=["plain", "everything"],
)
def test_holds_exactly_the_datasets_of_the_format(probe, nanogpt, options):
    run = probe.run("--model", nanogpt, "--site", "all", "--sequences", 3, "--seq-len", 8, *options)
    everything = len(options) > 0
    expected = expected_datasets(3, 3, check=everything, token=everything, both=everything)
    assert {path: values.shape for path, values in run.datasets.items()} == expected
    for path, values in run.datasets.items():
        name = path if path in UNITS else path.split("/")[-1]
        integer = path.startswith("/probe/layer/")
        assert values.dtype == numpy.dtype("<i8" if integer else TYPES.get(name, "<f8")), path
        attributes = run.dataset_attributes[path]
        assert attributes["units"] == ("1" if integer else UNITS[name]), path
        assert isinstance(attributes["long_name"], str) and len(attributes["long_name"]) > 4, path
        if everything or not name.startswith("lambda_"):
            assert numpy.isfinite(values).all(), path
        if name in ("norm_upper", "lambda_max_upper", "lambda_min_lower"):
            confidence, certify = (0.99, 0.02) if everything else (0.999, 0.01)
            assert (attributes["confidence"], attributes["certify"]) == (confidence, certify), path
    for site in SITES:
        # Of the dominant end alone, one eigenvalue is known: its magnitude is the norm.
        known = numpy.fmax(abs(run[f"{site}/lambda_max"]), abs(run[f"{site}/lambda_min"]))
        assert (known == run[f"{site}/spectral_norm"]).all()
        assert (run[f"{site}/norm_upper"] >= run[f"{site}/spectral_norm"]).all()
    assert run["step"].tolist() == [7]


def test_root_attributes_describe_the_run(probe, nanogpt):
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    run = probe.run(
        "--model", nanogpt, "--layer", "0,2-3", "--sequences", 2, "--seq-len", 8, "--seed", 11, "--tol", "0.01"
    )
    after = datetime.datetime.now(datetime.timezone.utc)
    attributes = run.attributes
    assert set(attributes) == {
        *("format", "format_version", "program", "command_line", "git_commit", "created", "seed", "device", "dtype"),
        *("version", "libtorch", "cuda", "config", "model", "finished", "peak_memory_bytes"),
    }
    assert (attributes["format"], attributes["format_version"], attributes["program"]) == (
        "hessian-run",
        1,
        "hessian-probe",
    )
    assert attributes["finished"] == 1
    assert attributes["peak_memory_bytes"] > 0
    assert attributes["command_line"].endswith(
        f"--model {nanogpt} --layer 0,2-3 --sequences 2 --seq-len 8 --seed 11 --tol 0.01 --overwrite --out run.h5"
    )
    assert attributes["git_commit"]
    created = datetime.datetime.strptime(attributes["created"], "%Y-%m-%dT%H:%M:%SZ").replace(
        tzinfo=datetime.timezone.utc
    )
    assert before <= created <= after
    assert attributes["seed"] == 11 and attributes["seed"].dtype == numpy.uint64
    assert attributes["device"].startswith(("cpu", "cuda"))
    assert attributes["dtype"] == "float32"

    model = json.loads(attributes["model"])
    assert (model["family"], model["norm"], model["n_layers"], model["vocab_size"]) == ("gpt2", "prenorm", 3, 256)
    assert (model["dim"], model["max_seq_len"], model["tied_head"]) == (16, 64, True)

    config = parse_toml(attributes["config"])["probe"]
    for key, value in {
        **{"model": str(nanogpt), "layers": "0,2-3", "sites": ["residual"], "data": "builtin", "sequences": 2},
        **{"seq_len": 8, "unit": "sequence", "method": "lanczos", "engine": "tape", "tolerance": 0.01, "max_iterations": 200},
        **{"dtype": "float32", "seed": 11, "check": False},
    }.items():
        assert config[key] == value, key


def test_the_command_line_is_quoted_for_a_shell(probe, nanogpt):
    folder = probe.folder / "a folder's"
    folder.mkdir()
    run = probe.run("--model", nanogpt, "--sequences", 1, "--seq-len", 4, out="a folder's/run.h5")
    assert run.attributes["command_line"].endswith("--out 'a folder'\\''s/run.h5'")


@pytest.mark.parametrize("data", ["builtin", "notes.txt"])
def test_a_fresh_model_has_the_loss_of_a_uniform_guess(probe, nanogpt, text_file, data):
    run = probe.run("--model", nanogpt, "--data", data, "--layer", 3)
    assert run["loss"].shape == (1, 8)
    # Weights of standard deviation 0.02 give logits of about 0.1, so the loss is ln 256 to within a few hundredths.
    assert run["loss"] == pytest.approx(math.log(256), abs=0.1)


def test_windows_are_as_long_as_the_model_allows_up_to_128_tokens(probe, nanogpt, make_checkpoint):
    def seq_len(checkpoint):
        run = probe.run("--model", checkpoint, "--sequences", 1, "--layer", 3)
        return parse_toml(run.attributes["config"])["probe"]["seq_len"]

    assert seq_len(nanogpt) == 64
    longer = make_checkpoint(probe.folder / "longer.pt", "--vocab", 256, "--layers", 3, "--block-size", 160)
    assert seq_len(longer) == 128


def test_activation_scales_of_the_embedding_are_computed_from_its_rows(probe, llama, tokens):
    table = safetensors_file.read(llama)[0]["tok_embeddings.weight"].astype("float64")
    x = table[safetensors_file.read(tokens)[0]["tokens"]].reshape(-1, table.shape[1])
    run = probe.run("--model", llama, "--data", tokens, "--layer", 0)
    rms = (x**2).mean() ** 0.5
    # Both sides sum float32 numbers in float64.
    assert run["residual/rms"][0, 0] == pytest.approx(rms, rel=1e-12)
    assert run["residual/abs_max"][0, 0] == pytest.approx(abs(x).max(), rel=1e-12)
    assert run["residual/abs_mean"][0, 0] == pytest.approx(abs(x).mean(), rel=1e-12)
    assert run["residual/feature_outlier"][0, 0] == pytest.approx((x**2).mean(axis=0).max() ** 0.5 / rms, rel=1e-12)


def test_spectral_norm_is_the_larger_end_of_the_spectrum(probe, llama, tokens):
    run = probe.run("--model", llama, "--data", tokens, "--site", "all", "--ends", "both")
    for site in SITES:
        ends = numpy.maximum(abs(run[f"{site}/lambda_max"]), abs(run[f"{site}/lambda_min"]))
        assert (run[f"{site}/spectral_norm"] == ends).all()
        assert (run[f"{site}/converged"] == 1).all()
        assert (run[f"{site}/residual_norm"] <= 1e-3 * run[f"{site}/spectral_norm"] * 1.0001).all()
        assert (run[f"{site}/iterations"] > 0).all()
