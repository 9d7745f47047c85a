"""Text as the data of probes and training runs: tokenizers of models, caches, token files of several types."""

import gzip
import json
import os
import shutil

import numpy
import pytest

import programs
import safetensors_file
import tiny_models
import train_runs
from programs import FIXTURES, program

TOKENIZERS = FIXTURES / "tokenizers"
TEXT = "".join(f"{number} bottles of beer on the wall, {number} bottles of beer.\n" for number in range(60))


@pytest.fixture
def folder(tmp_path):
    """A folder with a model whose tokenizer is that of the fixture gpt2, with 1001 tokens."""
    model = tmp_path / "model"
    model.mkdir()
    tiny_models.write(model / "model.safetensors", tiny_models.configuration(vocab_size=1001))
    shutil.copy(TOKENIZERS / "gpt2" / "tokenizer.json", model)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def run_probe(probe, folder):
    """Runs hessian-probe on the model and returns its losses."""

    def run(*arguments, model="model/model.safetensors", sequences=2):
        run_file = probe.run("--model", model, "--sequences", sequences, "--seq-len", 8, "--layer", 1, *arguments)
        return run_file["loss"].ravel().tolist()

    return run


def encoded(folder, path, tokenizer=TOKENIZERS / "gpt2"):
    command = [program("hessian-tokens"), "--tokenizer", str(tokenizer), "--json", str(path)]
    status, stdout, stderr = programs.execute(command, folder)
    assert status == 0, stderr
    return json.loads(stdout)["ids"]


def caches(folder):
    return sorted(path.name for path in folder.glob("*.tokens-*.safetensors"))


def test_text_is_read_with_the_tokenizer_in_the_folder_of_the_model(folder, run_probe):
    losses = run_probe("--data", "text.txt")
    (folder / "tokens.bin").write_bytes(numpy.array(encoded(folder, "text.txt"), "<u2").tobytes())
    assert run_probe("--data", "tokens.bin") == losses


def test_the_tokenizer_option_takes_precedence(folder, run_probe):
    losses = run_probe("--data", "text.txt")
    assert run_probe("--data", "text.txt", "--tokenizer", TOKENIZERS / "smollm") != losses
    (folder / "model" / "tokenizer.json").unlink()
    assert run_probe("--data", "text.txt", "--tokenizer", TOKENIZERS / "gpt2") == losses


def test_the_tokens_of_a_text_are_stored_next_to_it(folder, run_probe):
    losses = run_probe("--data", "text.txt")
    (name,) = caches(folder)
    tensors, metadata = safetensors_file.read(folder / name)
    assert tensors["ids"].tolist() == encoded(folder, "text.txt")
    # The stored ids are used: others give other losses.
    tensors = {"ids": numpy.flip(tensors["ids"]).astype("<i4")}
    safetensors_file.write(folder / name, tensors, metadata)
    assert run_probe("--data", "text.txt") != losses
    # Ids of another text are not.
    (folder / "text.txt").write_text(TEXT + "The end.\n")
    run_probe("--data", "text.txt")
    assert caches(folder) == [name]
    assert safetensors_file.read(folder / name)[0]["ids"].tolist() == encoded(folder, "text.txt")
    run_probe("--data", "text.txt", "--tokenizer", TOKENIZERS / "qwen2")
    assert len(caches(folder)) == 2


def test_a_damaged_cache_is_replaced(folder, run_probe):
    losses = run_probe("--data", "text.txt")
    (name,) = caches(folder)
    (folder / name).write_bytes(b"damaged")
    assert run_probe("--data", "text.txt") == losses
    assert safetensors_file.read(folder / name)[0]["ids"].tolist() == encoded(folder, "text.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_works_without_a_cache(folder, run_probe):
    texts = folder / "texts"
    texts.mkdir()
    (texts / "text.txt").write_text(TEXT)
    texts.chmod(0o500)
    assert run_probe("--data", "texts/text.txt") == run_probe("--data", "text.txt")
    assert not caches(texts)


def test_text_may_be_compressed_in_several_files_or_in_a_folder(folder, run_probe):
    texts = folder / "texts"
    texts.mkdir()
    (texts / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    losses = run_probe("--data", "texts")
    assert losses == run_probe("--data", "text.txt")
    lines = "".join(json.dumps({"text": line}) + "\n" for line in TEXT.splitlines())
    (texts / "b.jsonl").write_text(lines)
    whole = run_probe("--data", "texts")
    assert whole == run_probe("--data", "texts/a.txt.gz,texts/b.jsonl") != losses
    ids = encoded(folder, "texts/a.txt.gz") + [1000] + encoded(folder, "texts/b.jsonl")
    (folder / "tokens.bin").write_bytes(numpy.array(ids, "<u2").tobytes())
    assert run_probe("--data", "tokens.bin") == whole


def test_bos_begins_every_window(folder, probe, run_probe):
    losses = run_probe("--data", "text.txt", "--bos", "--seed", 3)
    assert losses != run_probe("--data", "text.txt", "--seed", 3)
    # One token less of the text is needed per window.
    ids = encoded(folder, "text.txt")[:8]
    (folder / "short.bin").write_bytes(numpy.array(ids, "<u2").tobytes())
    (one,) = run_probe("--data", "short.bin", "--bos", sequences=1)
    rows = {"tokens": numpy.array([[1000, *ids[:-1]]]), "targets": numpy.array([ids])}
    safetensors_file.write(folder / "rows.safetensors", rows)
    assert run_probe("--data", "rows.safetensors", sequences=1) == pytest.approx([one])
    refused = {"out": "refused.h5"}
    line = probe.fails(1, "--model", "model/model.safetensors", "--data", "rows.safetensors", "--bos", **refused)
    assert line == "rows.safetensors: holds whole sequences, before which --bos cannot put a token"
    without = ("--data", "short.bin", "--bos", "--tokenizer", "bytes")
    line = probe.fails(1, "--model", "model/model.safetensors", *without, **refused)
    assert line == "--bos needs a tokenizer, which knows the beginning token; give --tokenizer"


def test_a_tokenizer_of_another_model_is_refused(folder, probe):
    line = probe.fails(1, "--model", "model/model.safetensors", "--data", "text.txt", "--tokenizer", TOKENIZERS / "llama3")
    assert line == (
        f"{TOKENIZERS / 'llama3' / 'tokenizer.json'}: has ids up to 1208, but the model has a vocabulary of 1001 (ids 0 to "
        "1000); give its own tokenizer with --tokenizer, or bytes for a token per byte"
    )


def test_token_files_of_every_type_are_read(folder, probe, run_probe):
    ids = encoded(folder, "text.txt")
    types = {"uint16": "<u2", "uint32": "<u4", "int32": "<i4", "int64": "<i8"}
    losses = run_probe("--data", "text.txt")
    for name, code in types.items():
        (folder / "t.bin").write_bytes(numpy.array(ids, code).tobytes())
        assert run_probe("--data", "t.bin", "--token-type", name) == losses
    line = probe.fails(1, "--model", "model/model.safetensors", "--data", "t.bin", out="refused.h5")
    assert line.startswith("t.bin: looks like int64")
    command = [program("hessian-tokens"), "--tokenizer", TOKENIZERS / "gpt2", "text.txt", "--out", "own.bin"]
    assert programs.execute(list(map(str, command)), folder)[0] == 0
    assert run_probe("--data", "own.bin") == losses
    line = probe.fails(2, "--model", "model/model.safetensors", "--data", "t.bin", "--token-type", "float", out="refused.h5")
    assert "--token-type" in line and "uint8, uint16, uint32, int32, int64" in line


def test_a_checkpoint_carries_its_tokenizer_along(folder, train, probe):
    settings = {"data.source": "text.txt", "data.tokenizer": str(TOKENIZERS / "gpt2"), "model.vocab_size": 1001}
    outcome = train(settings)
    assert outcome.status == 0, outcome.stderr
    assert (folder / "run" / "tokenizer.json").read_bytes() == (TOKENIZERS / "gpt2" / "tokenizer.json").read_bytes()
    checkpoint = outcome.folder / outcome.checkpoints()[-1]
    shutil.rmtree(folder / "model")
    probe.run("--model", checkpoint, "--data", "text.txt", "--sequences", 2, "--seq-len", 8, "--layer", 1)
    line = train({**settings, "model.vocab_size": 256, "out": "other"}).error_line()
    assert "has ids up to 1000, but the model has a vocabulary of 256" in line
    assert line.endswith("give its own tokenizer with data.tokenizer, or bytes for a token per byte")


GPT2 = {"data.source": "text.txt", "data.tokenizer": str(TOKENIZERS / "gpt2"), "model.vocab_size": 1100}
SMOLLM = {**GPT2, "data.tokenizer": str(TOKENIZERS / "smollm")}
BYTES = {**GPT2, "data.tokenizer": "bytes"}
SHORT = ("--sequences", 2, "--seq-len", 8, "--layer", 1)


@pytest.fixture
def probe_run(probe):
    """Probes a run on text.txt and returns its losses."""

    def run(*arguments, model="run"):
        return probe.run("--model", model, "--data", "text.txt", *SHORT, *arguments)["loss"].ravel().tolist()

    return run


def test_a_tokenizer_of_any_name_is_found_again(folder, train, probe_run):
    shutil.copy(TOKENIZERS / "gpt2" / "tokenizer.json", folder / "words.json")
    outcome = train.done({**GPT2, "data.tokenizer": "words.json"})
    assert (outcome.folder / "tokenizer.json").read_bytes() == (folder / "words.json").read_bytes()
    assert not (outcome.folder / "words.json").exists()
    # The newest checkpoint of a folder is measured.
    assert probe_run() == probe_run(model=outcome.folder / outcome.checkpoints()[-1])
    assert probe_run() != probe_run(model=outcome.folder / outcome.checkpoints()[0])


def test_a_run_that_is_replaced_takes_its_tokenizer_along(folder, train, probe_run):
    train.done(GPT2)
    shutil.copy(TOKENIZERS / "sp_bpe" / "tokenizer.model", folder)
    outcome = train.done({**GPT2, "data.tokenizer": "tokenizer.model"})
    assert sorted(path.name for path in outcome.folder.glob("tokenizer*")) == ["tokenizer.model"]
    probe_run()
    outcome = train.done(BYTES)
    assert not list(outcome.folder.glob("tokenizer*"))
    assert probe_run() == probe_run("--tokenizer", "bytes")


def test_files_that_no_run_has_made_stay_where_they_are(folder, train, probe_run):
    (folder / "run").mkdir()
    own = folder / "run" / "tokenizer.json"
    shutil.copy(TOKENIZERS / "gpt2" / "tokenizer.json", own)
    contents = own.read_bytes()
    line = train(SMOLLM, "--overwrite").error_line()
    assert line == (
        "run/tokenizer.json: belongs to another tokenizer, and no run put it there; move it away, or choose another 'out'"
    )
    # A run on bytes does not need the file, and its checkpoints are probed on bytes nevertheless.
    train.done(BYTES)
    assert probe_run() == probe_run("--tokenizer", "bytes") != probe_run("--tokenizer", own)
    # A run with an equal tokenizer uses it, but it remains the user's.
    train.done(GPT2)
    probe_run()
    train.done(BYTES)
    assert own.read_bytes() == contents


def test_a_checkpoint_is_not_probed_with_another_tokenizer(folder, train, probe):
    outcome = train.done(GPT2)
    newest = f"run/{outcome.checkpoints()[-1]}"
    shutil.copy(TOKENIZERS / "smollm" / "tokenizer.json", outcome.folder)
    line = probe.fails(1, "--model", "run", "--data", "text.txt", *SHORT, out="refused.h5")
    assert line == f"run/tokenizer.json: is not the tokenizer that {newest} was trained with; give that one with --tokenizer"
    (outcome.folder / "tokenizer.json").unlink()
    line = probe.fails(1, "--model", "run", "--data", "text.txt", *SHORT, out="refused.h5")
    assert line == f"{newest}: was trained with a tokenizer that is not in its folder; give it with --tokenizer"
    probe.run("--model", "run", "--data", "text.txt", *SHORT, "--tokenizer", TOKENIZERS / "gpt2")
    # Tokens need no tokenizer.
    (folder / "t.bin").write_bytes(numpy.arange(500).astype("<u2").tobytes())
    probe.run("--model", "run", "--data", "t.bin", *SHORT)


def test_the_record_of_the_data_is_in_run_file_and_checkpoint(folder, train):
    outcome = train.done(GPT2)
    record = json.loads(outcome.run.attributes["data"])
    assert set(record) == {"source", "tokenizer", "files"} and set(record["files"]) == {"tokenizer.json"}
    tensors, metadata = outcome.checkpoint(12)
    assert metadata["data"] == outcome.run.attributes["data"]
    assert json.loads(train.done(BYTES).run.attributes["data"])["tokenizer"] == "bytes"


@pytest.mark.parametrize("changed", ["text.txt", "words.json", "t.bin"])
def test_a_run_is_not_resumed_on_other_data(folder, train, changed):
    shutil.copy(TOKENIZERS / "gpt2" / "tokenizer.json", folder / "words.json")
    (folder / "t.bin").write_bytes(numpy.arange(900).astype("<u2").tobytes())
    settings = {**GPT2, "data.tokenizer": "words.json"}
    if changed == "t.bin":
        settings = {"data.source": "t.bin", "model.vocab_size": 1001}
    outcome = train.done(settings)
    (folder / "run" / outcome.checkpoints()[-1]).unlink()
    train_runs.mark_unfinished(folder / "run" / "run.h5")
    original = (folder / changed).read_bytes()
    copies = {path: path.read_bytes() for path in (folder / "run").glob("tokenizer*")}
    if changed == "words.json":
        shutil.copy(TOKENIZERS / "smollm" / "tokenizer.json", folder / changed)
    else:
        (folder / changed).write_bytes(original[:-2] + original[:2])
    line = train(settings, "--resume").error_line()
    what = "the tokenizer has changed" if changed == "words.json" else "has changed"
    assert line == f"{changed}: {what} since the run in run was started; restore it, or start again with --overwrite"
    assert all(path.read_bytes() == contents for path, contents in copies.items())
    (folder / changed).write_bytes(original)
    if changed == "words.json":
        # If it has been moved away, the copy in the run's folder is used.
        (folder / changed).unlink()
    resumed = train.done(settings, "--resume", "--json").report
    assert resumed["resumed_from"] == 10 and resumed["step"] == 12


def test_messages_name_the_keys_of_the_configuration(folder, train):
    line = train.fails(1, {"data.source": "text.txt", "data.token_type": "uint16"})
    assert line == "text.txt: is text; data.token_type is for token files without a header"
    line = train.fails(1, {"data.source": "text.txt", "model.vocab_size": 128})
    assert "Give data.tokenizer, or its own tokens with data.source:" in line
    line = train.fails(1, {"data.source": "text.txt,run.toml,builtin"})
    assert line == "text.txt,run.toml,builtin: a list may hold texts only, not builtin"
    (folder / "t.bin").write_bytes(numpy.arange(900).astype("<u4").tobytes())
    line = train.fails(1, {"data.source": "t.bin", "model.vocab_size": 1001})
    assert line.endswith("give data.token_type uint32, or data.token_type uint16 if they are right")
    wide = {"data.source": "t.bin", "data.token_type": "uint32", "model.vocab_size": 1001}
    line = train.fails(1, {**wide, "data.tokenizer": "no"})
    assert line == "no: no such file"


def test_a_tokenizer_is_copied_next_to_checkpoints_of_tokens(folder, train, probe_run):
    (folder / "t.bin").write_bytes(numpy.arange(900).astype("<u2").tobytes())
    outcome = train.done({**GPT2, "data.source": "t.bin"})
    assert (outcome.folder / "tokenizer.json").exists()
    probe_run()
