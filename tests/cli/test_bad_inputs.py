"""Unusable checkpoints and data: exit status 1, one line that begins with the file, and no run file."""

import json
import re
import zipfile

import numpy
import pytest

import safetensors_file
import tiny_models
from programs import FIXTURES


def test_an_absent_checkpoint_is_refused(probe):
    assert probe.fails(1, "--model", "nowhere.pt") == "nowhere.pt: no such file"


def test_a_folder_without_config_json_is_refused_with_the_accepted_kinds(probe):
    (probe.folder / "empty").mkdir()
    line = probe.fails(1, "--model", "empty")
    assert line.startswith("empty: is a folder without config.json, params.json or .metadata; accepted are a ")
    assert "a nanoGPT ckpt.pt, " in line and "a Hugging Face folder, " in line and "and new:NAME" in line


@pytest.mark.parametrize("content", [b"", b"x", b"not a checkpoint at all\n" * 20, bytes(range(256))])
def test_a_file_that_is_not_a_checkpoint_is_refused(probe, content):
    (probe.folder / "model").write_bytes(content)
    assert probe.fails(1, "--model", "model").startswith("model: ")


def cuts(size):
    return sorted({1, 4, 8, 9, 100, *(size * part // 8 for part in range(1, 8)), size - 100, size - 22, size - 1})


def test_a_nanogpt_checkpoint_truncated_at_any_length_is_refused(probe, nanogpt):
    whole = nanogpt.read_bytes()
    for length in cuts(len(whole)):
        (probe.folder / "cut.pt").write_bytes(whole[:length])
        assert probe.fails(1, "--model", "cut.pt").startswith("cut.pt: "), length


def test_a_safetensors_file_truncated_at_any_length_is_refused(probe, llama, tokens):
    whole = llama.read_bytes()
    for length in cuts(len(whole)):
        (probe.folder / "cut.safetensors").write_bytes(whole[:length])
        line = probe.fails(1, "--model", "cut.safetensors", "--data", tokens)
        assert line.startswith("cut.safetensors: "), length


def rewrite_pickle(source, target, change):
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(zipfile.ZipInfo(name), change(data) if name.endswith("data.pkl") else data)


def test_a_corrupted_pickle_is_refused_without_a_crash(probe, nanogpt):
    generator = numpy.random.default_rng(1)
    refused = 0
    for _ in range(20):
        place = generator.random()
        value = int(generator.integers(256))

        def change(data):
            index = int(place * len(data))
            return data[:index] + bytes([value]) + data[index + 1 :]

        rewrite_pickle(nanogpt, probe.folder / "bad.pt", change)
        outcome = probe(
            "--model", "bad.pt", "--sequences", 1, "--seq-len", 4, "--layer", 3, "--overwrite", out="bad.h5"
        )
        # The changed byte may belong to something that is not read, such as the learning rate.
        assert outcome.status in (0, 1), (place, value, outcome.stderr)
        if outcome.status == 1:
            line = outcome.error_line()
            assert line.startswith("bad.pt: ") and all(character >= " " for character in line), (place, value, line)
            refused += 1
    assert refused > 3


@pytest.mark.parametrize("key", ["config", "model_args", "model", "iter_num"])
def test_a_command_in_a_pickle_is_not_executed(probe, make_checkpoint, key):
    marker = probe.folder / "marker"
    make_checkpoint(probe.folder / "hostile.pt", "--vocab", 256, "--command", f"touch {marker}", "--command-key", key)
    outcome = probe("--model", "hostile.pt", "--sequences", 1, "--seq-len", 4, "--layer", 2)
    assert not marker.exists()
    if outcome.status != 0:
        assert outcome.status == 1
        assert outcome.error_line().startswith("hostile.pt: ")
    assert not marker.exists()


def test_a_tensor_missing_from_a_nanogpt_checkpoint_is_named(probe, make_checkpoint):
    make_checkpoint(probe.folder / "ckpt.pt", "--vocab", 256, "--drop", "transformer.h.1.mlp.c_fc.weight")
    line = probe.fails(1, "--model", "ckpt.pt")
    assert line.startswith("ckpt.pt: ") and "h.1.mlp.c_fc.weight" in line


def test_an_untied_head_in_a_nanogpt_checkpoint_is_refused(probe, make_checkpoint):
    make_checkpoint(probe.folder / "ckpt.pt", "--vocab", 256, "--untied-head")
    line = probe.fails(1, "--model", "ckpt.pt")
    assert line == "ckpt.pt: tensor 'lm_head.weight' differs from the token embedding, to which it should be tied"


def change_tensor(probe, change):
    config = tiny_models.configuration()
    tensors = tiny_models.draw(config)
    change(tensors)
    return tiny_models.write(probe.folder / "model.safetensors", config, tensors)


NAME = "layers.1.attention.wq.weight"


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda tensors: tensors.pop(NAME), [NAME]),
        (lambda tensors: tensors.update({NAME: numpy.zeros((12, 16), "float32")}), [NAME, "[12, 16]", "[16, 16]"]),
        (lambda tensors: tensors.update({NAME: numpy.full((16, 16), numpy.nan, "float32")}), [NAME, "non-finite"]),
        (lambda tensors: tensors.update({NAME: numpy.full((16, 16), numpy.inf, "float32")}), [NAME, "non-finite"]),
        (lambda tensors: tensors.update({"layers.7.extra": numpy.zeros(3, "float32")}), ["layers.7.extra"]),
    ],
    ids=["absent", "of another shape", "NaN", "infinite", "too many"],
)
def test_a_wrong_tensor_is_named(probe, tokens, change, words):
    change_tensor(probe, change)
    line = probe.fails(1, "--model", "model.safetensors", "--data", tokens)
    assert line.startswith("model.safetensors: ")
    assert all(word in line for word in words), line


@pytest.mark.parametrize("options", [(), ("--trace",), ("--target", "parameters", "--top", "1")], ids=["norms", "trace", "parameters"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_norm_whose_squares_overflow_is_named_instead_of_hiding_the_curvature_before_it(probe, tokens, dtype, options):
    # The output of attention reaches 1e30, which float32 can hold, but not its square. float64 can.
    config = tiny_models.configuration()
    tensors = tiny_models.draw(config)
    tensors["layers.0.attention.wo.weight"] = tensors["layers.0.attention.wo.weight"] * numpy.float32(1e30)
    tiny_models.write(probe.folder / "model.safetensors", config, tensors)
    given = ("--model", "model.safetensors", "--data", tokens, *options)
    line = probe.fails(1, *given, "--dtype", dtype)
    assert line.startswith("model.safetensors, sequence 0, layer 0: the squares of the input of RMSNorm 'layers.0.ffn_norm.weight'")
    assert re.search(r"entries reach \d\.\de\+(29|30|31)", line), line
    assert f"overflow in {dtype}" in line and line.endswith("; give --dtype float64")
    if not options:
        run = probe.run(*given, "--dtype", "float64", "--layer", 0)
        assert (run["residual/spectral_norm"] > 0).all()


@pytest.mark.parametrize(
    "metadata, words",
    [
        ({}, ['has no __metadata__["config"]', "accepted are"]),
        ({"config": "{"}, ["is not a JSON object"]),
        (
            {"config": json.dumps({**tiny_models.configuration(), "dim": "wide"})},
            ["'dim' is \"wide\", expected an integer"],
        ),
        (
            {"config": json.dumps({**tiny_models.configuration(), "norm": "no"})},
            ["'no' is no norm placement; known are prenorm"],
        ),
        ({"config": json.dumps({**tiny_models.configuration(), "n_heads": 5})}, ["n_heads 5 does not divide dim 16"]),
    ],
)
def test_a_wrong_architecture_is_explained(probe, tokens, metadata, words):
    tensors = tiny_models.draw(tiny_models.configuration())
    safetensors_file.write(probe.folder / "model.safetensors", tensors, metadata)
    line = probe.fails(1, "--model", "model.safetensors", "--data", tokens)
    assert line.startswith("model.safetensors: ")
    assert all(word in line for word in words), line


def write_rows(path, tokens, targets=None):
    tokens = numpy.asarray(tokens)
    safetensors_file.write(path, {"tokens": tokens, "targets": tokens if targets is None else numpy.asarray(targets)})


@pytest.mark.parametrize("bad", [31, 1000, -1])
def test_a_token_outside_the_vocabulary_is_named_with_its_position(probe, llama, bad):
    write_rows(probe.folder / "rows.safetensors", [[1, 2, 3], [4, bad, 5]])
    line = probe.fails(1, "--model", llama, "--data", "rows.safetensors")
    assert line == f"rows.safetensors: 'tokens' [1, 1] is {bad}, but the model has a vocabulary of 31 (ids 0 to 30)"


def test_a_token_of_a_token_file_outside_the_vocabulary_is_named(probe, llama):
    (probe.folder / "tokens.bin").write_bytes(numpy.array([1, 2, 31, 3], "<u2").tobytes())
    line = probe.fails(1, "--model", llama, "--data", "tokens.bin", "--sequences", 1, "--seq-len", 3)
    assert line == "tokens.bin: token 2 is 31, but the model has a vocabulary of 31 (ids 0 to 30)"


def test_text_needs_a_vocabulary_of_256(probe, llama, text_file):
    for name, data in (("builtin", "builtin"), ("notes.txt", "notes.txt")):
        line = probe.fails(1, "--model", llama, "--data", data)
        assert line.startswith(
            f"{name}: is text, and without a tokenizer its bytes are the tokens, a vocabulary of 256; but the model has 31. "
        )


def test_data_too_short_for_one_window_is_refused(probe, nanogpt):
    (probe.folder / "short.txt").write_text("short")
    line = probe.fails(1, "--model", nanogpt, "--data", "short.txt", "--seq-len", 5)
    assert line == "short.txt: has 5 tokens, but one window takes 6 (a sequence of 5, and the token after it)"


def test_data_too_short_for_the_requested_windows_is_refused(probe, nanogpt):
    (probe.folder / "short.txt").write_text("short text")
    line = probe.fails(1, "--model", nanogpt, "--data", "short.txt", "--seq-len", 5, "--sequences", 6)
    assert line == "short.txt: has 10 tokens, which hold 5 different windows of 6, fewer than the 6 sequences asked for"


@pytest.mark.parametrize(
    "options, message",
    [
        (("--sequences", 3), "has 2 sequences, but 3 are asked for"),
        (("--seq-len", 7), "has 6 tokens in a sequence, but 7 are asked for"),
    ],
)
def test_more_rows_than_a_safetensors_file_holds_are_refused(probe, llama, tokens, options, message):
    assert probe.fails(1, "--model", llama, "--data", tokens, *options) == f"{tokens}: {message}"


def test_rows_longer_than_the_models_positions_are_refused(probe, llama):
    write_rows(probe.folder / "rows.safetensors", numpy.zeros((1, 33), "int64"))
    line = probe.fails(1, "--model", llama, "--data", "rows.safetensors")
    assert (
        line
        == f"rows.safetensors: sequences of 33 tokens are longer than the 32 positions of {llama}; give --seq-len 32"
    )


def test_a_safetensors_file_without_tokens_is_refused(probe, llama):
    line = probe.fails(1, "--model", llama, "--data", llama)
    assert line == f"{llama}: has no tensor 'tokens'; token data is 'tokens' and 'targets', [B, T] int64"


def test_targets_of_another_shape_than_the_tokens_are_refused(probe, llama):
    write_rows(probe.folder / "rows.safetensors", [[1, 2, 3]], [[1, 2]])
    line = probe.fails(1, "--model", llama, "--data", "rows.safetensors")
    assert line == "rows.safetensors: tensor 'targets' is [1, 2], expected [1, 3] as 'tokens' is"


@pytest.mark.parametrize(
    "content, place",
    [
        (b"fine so far \xff and on", "byte 12 is 0xff"),
        (b"\xc3", "byte 0 is 0xc3"),
        (b"ab\xed\xa0\x80", "byte 2 is 0xed"),
        (b"a\xc0\xaf", "byte 1 is 0xc0"),
    ],
)
def test_text_that_is_not_utf8_is_refused_with_the_position(probe, nanogpt, content, place):
    (probe.folder / "notes.txt").write_bytes(content)
    line = probe.fails(1, "--model", nanogpt, "--data", "notes.txt")
    assert line == f"notes.txt: is not UTF-8 text ({place}); convert it to UTF-8, for instance with iconv"


def test_a_token_file_of_odd_length_is_refused(probe, nanogpt):
    (probe.folder / "tokens.bin").write_bytes(b"abc")
    assert probe.fails(1, "--model", nanogpt, "--data", "tokens.bin").startswith("tokens.bin: has 3 bytes")


def test_absent_data_is_refused(probe, nanogpt):
    assert probe.fails(1, "--model", nanogpt, "--data", "nowhere.txt") == "nowhere.txt: no such file"


def test_an_absent_builtin_text_says_what_to_do(probe, nanogpt, tmp_path_factory):
    folder = tmp_path_factory.mktemp("without text")
    line = probe.fails(1, "--model", nanogpt, environment_changes={"HESSIAN_DATA_DIR": str(folder)})
    assert line.startswith("builtin: ") and str(folder) in line
    assert "--data" in line


def test_a_missing_shard_is_named(probe):
    source = FIXTURES / "huggingface" / "llama_gqa"
    target = probe.folder / "model"
    target.mkdir()
    shards = sorted(source.glob("model-*.safetensors"))
    for path in [source / "config.json", source / "model.safetensors.index.json", *shards[:-1]]:
        (target / path.name).write_bytes(path.read_bytes())
    line = probe.fails(1, "--model", "model", "--data", source / "expected.safetensors")
    assert line.startswith("model") and shards[-1].name in line
