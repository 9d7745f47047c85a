"""hessian-probe --describe prints what is known of a model, computes nothing and writes nothing."""

import json
import pickle
import shutil

import numpy
import pytest

import safetensors_file
import tiny_models
from programs import FIXTURES

FOLDERS = sorted(path.parent for path in (FIXTURES / "huggingface").glob("*/config.json"))


def lines_of(outcome):
    """Returns the table as a dictionary; further lines of a property are appended after a newline."""
    assert outcome.status == 0, outcome.stderr
    lines, last = {}, None
    for line in outcome.stdout.splitlines():
        name, value = line[:14].rstrip(), line[15:]
        assert line[14] == " " and value
        if name:
            assert name not in lines
            lines[name], last = value, name
        else:
            lines[last] += "\n" + value
    return lines


def describe(probe, model, *options):
    """Describes a model, which must leave no file behind; returns the table and the JSON."""
    before = sorted(probe.folder.iterdir())
    lines = lines_of(probe("--describe", model, *options, out=None))
    outcome = probe("--describe", model, *options, "--json", out=None)
    assert outcome.status == 0 and outcome.stderr == "", outcome.stderr
    assert sorted(probe.folder.iterdir()) == before
    return lines, outcome.report


def test_describes_an_own_checkpoint(probe, llama):
    lines, report = describe(probe, llama)
    config = tiny_models.configuration()
    assert lines["model"] == report["model"] == str(llama)
    assert lines["format"] == report["format"] == "llama2 prenorm checkpoint"
    assert lines["layers"] == "2" and lines["width"] == "16" and lines["vocabulary"] == "31"
    assert lines["attention"] == "4 heads of 4, 4 key/value heads; scores divided by sqrt(4)"
    assert lines["feed-forward"] == "24, SiLU with a gate (SwiGLU)"
    assert lines["stored"].startswith("float32, ")
    assert lines["tokenizer"].startswith("none: text needs --tokenizer")
    assert {key: report["config"][key] for key in config} == config
    count = sum(numpy.prod(shape) for shape in tiny_models.shapes_of(config).values())
    assert report["parameters"] == count and report["stored_parameters"] == {"float32": count}
    assert report["parameters_without_embeddings"] == count - 2 * 31 * 16
    assert report["memory"]["float64_weight_bytes"] == 8 * count


def test_describes_a_nanogpt_checkpoint(probe, nanogpt):
    lines, report = describe(probe, nanogpt)
    assert lines["format"] == "nanoGPT checkpoint, step 7"
    assert report["step"] == 7
    assert lines["norms"].startswith("LayerNorm") and lines["positions"] == "learned, 64"
    assert lines["output head"] == "tied to the embedding"
    assert lines["tokenizer"] == "none: a token per byte of text, unless --tokenizer names one"
    assert report["rope"] is None and report["tokenizer"] is None
    assert report["config"]["n_layers"] == 3


def test_describes_fresh_weights_of_any_size(probe):
    lines, report = describe(probe, "new:llama2-70B-simplegpt", "--vocab-size", 1000)
    assert lines["format"] == "fresh weights" and lines["vocabulary"] == "1000"
    assert report["label"] == "llama2-70B-simplegpt"
    assert report["parameters"] > 60e9 and report["stored_parameters"] == {}
    assert "streamed" not in lines["memory"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_describes_a_folder_of_hugging_face_without_reading_its_weights(probe, folder):
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    copy = shutil.copytree(folder, probe.folder / "model")
    sizes = {}
    for path in copy.glob("model*.safetensors"):
        tensors, metadata = safetensors_file.read(path)
        sizes.update({name: tensor.size for name, tensor in tensors.items()})
        safetensors_file.write(path, {name: tensor * numpy.float32("nan") for name, tensor in tensors.items()}, metadata)
    assert "non-finite" in probe.fails(1, "--model", copy)
    lines, report = describe(probe, copy)
    assert lines["format"] == "Hugging Face " + settings["architectures"][0]
    assert report["config"]["dim"] == settings.get("hidden_size", settings.get("n_embd"))
    assert report["config"]["vocab_size"] == settings["vocab_size"]
    if report["config"]["tied_head"]:
        sizes.pop("lm_head.weight", None)
    assert report["parameters"] == sum(sizes.values())


def test_names_the_tokenizer_in_the_folder(probe, llama, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    model = shutil.copy(llama, folder / "model.safetensors")
    letters = "abcdefg"
    meta = {"stoi": {letter: i for i, letter in enumerate(letters)}, "itos": dict(enumerate(letters))}
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(letters), **meta}))
    lines, report = describe(probe, model)
    assert report["tokenizer"]["path"] == str(folder / "meta.pkl")
    assert report["tokenizer"]["size"] == 7
    assert lines["tokenizer"].endswith(f", 7 tokens, {folder / 'meta.pkl'}")
    assert describe(probe, model, "--tokenizer", "bytes")[1]["tokenizer"] is None


def test_says_why_a_tokenizer_cannot_be_read(probe, llama, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    model = shutil.copy(llama, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    lines, report = describe(probe, model)
    assert lines["tokenizer"].startswith("cannot be read: ") and "tokenizer.json" in lines["tokenizer"]
    assert report["tokenizer"]["problem"] in lines["tokenizer"]
    # One that was asked for must be readable.
    assert "tokenizer.json" in probe.fails(1, "--describe", model, "--tokenizer", folder, out=None)


def test_takes_the_model_from_either_option(probe, llama):
    described = probe("--describe", llama, out=None)
    assert probe("--model", llama, "--describe", out=None).stdout == described.stdout
    # Options of a probe may stay on the command line; nothing is written.
    assert probe("--describe", llama, "--layer", "0").stdout == described.stdout
    assert not (probe.folder / "run.h5").exists()


def test_refuses_no_model_two_models_and_absent_ones(probe, llama):
    assert "--describe MODEL" in probe.fails(2, "--describe", out=None)
    assert "--model" in probe.fails(2, "--model", llama, "--describe", llama, out=None)
    assert "known are" in probe.fails(2, "--describe", "new:llama2-1X-prenorm", out=None)
    assert "absent.safetensors" in probe.fails(1, "--describe", "absent.safetensors", out=None)
    assert "--vocab-size" in probe.fails(2, "--describe", llama, "--vocab-size", 40, out=None)
    assert "--seq-len" in probe.fails(2, "--describe", llama, "--seq-len", 33, out=None)
    # Without --describe, both are required as before.
    assert "--out" in probe.fails(2, "--model", llama, out=None)
    assert "--model" in probe.fails(2)
