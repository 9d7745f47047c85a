"""hessian-tokens: token files, ids as JSON, texts from ids, and trained tokenizers."""

import json
import re
import struct

import numpy
import pytest

import programs
from programs import FIXTURES, program

TOKENIZERS = FIXTURES / "tokenizers"
TEXT = "In the beginning God created the heaven and the earth.\nAnd the earth was without form, and void;\n"


class Outcome(programs.Outcome):
    name = "hessian-tokens"


class Tokens:
    """hessian-tokens in a temporary working folder."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *arguments):
        return Outcome(*programs.execute([program("hessian-tokens"), *map(str, arguments)], self.folder))

    def prints(self, *arguments):
        outcome = self(*arguments)
        assert (outcome.status, outcome.stderr) == (0, ""), outcome.stderr
        return outcome.stdout

    def fails(self, status, *arguments):
        outcome = self(*arguments)
        assert outcome.status == status, (outcome.status, outcome.stderr)
        return outcome.error_line()

    def ids(self, tokenizer, path):
        return json.loads(self.prints("--tokenizer", tokenizer, "--json", path))["ids"]


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return Tokens(tmp_path)


def read_own(path):
    """Returns the numbers of a token file of this project, by the description of its header."""
    data = path.read_bytes()
    magic, version, width, count, vocab = struct.unpack("<8sIIQQ", data[:32])
    assert (magic, version) == (b"HESSTOKS", 1)
    numbers = numpy.frombuffer(data[32:], {2: "<u2", 4: "<u4"}[width]).tolist()
    assert len(numbers) == count
    return numbers, width, vocab


@pytest.mark.parametrize("name", sorted(path.name for path in TOKENIZERS.iterdir() if path.is_dir()))
def test_json_has_the_ids_of_the_whole_file(tokens, name):
    cases = [case for case in json.loads((TOKENIZERS / name / "cases.json").read_text()) if case["text"]]
    for case in cases[::20]:
        (tokens.folder / "case.txt").write_bytes(case["text"].encode())
        assert tokens.ids(TOKENIZERS / name, "case.txt") == case["ids"]


def test_a_token_file_says_how_wide_its_tokens_are(tokens):
    stdout = tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "text.txt", "--out", "t.bin")
    numbers, width, vocab = read_own(tokens.folder / "t.bin")
    assert (numbers, width, vocab) == (tokens.ids(TOKENIZERS / "gpt2", "text.txt"), 2, 1001)
    assert stdout == f"t.bin: {len(numbers)} tokens of 1001 in the vocabulary, uint16\n"
    assert tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "--decode", "t.bin") == TEXT


def test_a_large_vocabulary_needs_wide_tokens(tokens):
    vocab = json.loads((TOKENIZERS / "gpt2" / "tokenizer.json").read_text())
    vocab["model"]["vocab"]["far"] = 70000
    (tokens.folder / "tokenizer.json").write_text(json.dumps(vocab))
    tokens.prints("--tokenizer", ".", "text.txt", "--out", "t.bin")
    assert read_own(tokens.folder / "t.bin")[1:] == (4, 70001)
    line = tokens.fails(1, "--tokenizer", ".", "text.txt", "--out", "bare.bin", "--bare")
    assert line == (
        "bare.bin: a bare file has uint16 tokens, which are too narrow for a vocabulary of 70001; write a header"
    )


def test_a_bare_file_is_that_of_nanogpt(tokens):
    tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "text.txt", "--out", "t.bin", "--bare")
    numbers = numpy.fromfile(tokens.folder / "t.bin", "<u2").tolist()
    assert numbers == tokens.ids(TOKENIZERS / "gpt2", "text.txt")
    assert tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "--decode", "t.bin") == TEXT


def test_documents_are_separated_by_the_end_of_text(tokens):
    folder = tokens.folder / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    (folder / "b.jsonl").write_text('{"text": "two"}\n{"text": "three"}\n')
    tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "texts", "--out", "t.bin")
    numbers, _, _ = read_own(tokens.folder / "t.bin")
    text = tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "--decode", "t.bin")
    assert text == "one<|endoftext|>two<|endoftext|>three"
    assert numbers.count(1000) == 2


def test_a_trained_tokenizer_has_the_size_that_is_asked_for(tokens):
    tokens.prints("--train-bpe", 280, "text.txt", "--out", "tokenizer.json")
    trained = json.loads((tokens.folder / "tokenizer.json").read_text())
    assert len(trained["model"]["vocab"]) == 279 and trained["added_tokens"][0]["id"] == 279
    ids = tokens.ids("tokenizer.json", "text.txt")
    assert max(ids) < 279 and len(ids) < len(TEXT)
    tokens.prints("--tokenizer", ".", "text.txt", "--out", "t.bin")
    assert tokens.prints("--tokenizer", ".", "--decode", "t.bin") == TEXT


def test_a_text_without_enough_words_makes_a_smaller_tokenizer(tokens):
    outcome = tokens("--train-bpe", 5000, "text.txt", "--out", ".")
    assert outcome.status == 0
    (warning,) = outcome.warnings()
    assert re.fullmatch(
        r"\./tokenizer\.json: \d+ tokens instead of 5000: every word of the text is one token", warning
    ), warning


def test_existing_files_are_kept(tokens):
    (tokens.folder / "t.bin").write_text("old")
    arguments = ("--tokenizer", TOKENIZERS / "gpt2", "text.txt", "--out", "t.bin")
    assert tokens.fails(1, *arguments).startswith("t.bin: already exists")
    tokens.prints(*arguments, "--overwrite")
    assert read_own(tokens.folder / "t.bin")[1] == 2


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["text.txt"], "--tokenizer is required, unless --train-bpe makes one"),
        (["--tokenizer", "T", "text.txt"], "--out is required: the file to write"),
        (["--tokenizer", "T", "--json", "--decode", "text.txt"], "--json, --decode and --train-bpe exclude each other"),
        (
            ["--tokenizer", "T", "--train-bpe", "300", "text.txt"],
            "--train-bpe makes a tokenizer; --tokenizer is for texts that an existing one encodes",
        ),
        (
            ["--tokenizer", "T", "--json", "text.txt", "--out", "x"],
            "--json prints ids; --out is for token files, texts and tokenizers",
        ),
    ],
)
def test_contradictions_are_refused(tokens, arguments, line):
    assert tokens.fails(2, *arguments) == line


def test_bad_input_is_named_in_one_line(tokens):
    gpt2 = TOKENIZERS / "gpt2"
    (tokens.folder / "bad.txt").write_bytes(b"two\xfftwo")
    line = tokens.fails(1, "--tokenizer", gpt2, "--json", "bad.txt")
    assert line == "bad.txt: is not UTF-8 text (byte 3 is 0xff); give tokens as a .bin or a .safetensors"
    (tokens.folder / "empty.txt").touch()
    assert tokens.fails(1, "--tokenizer", gpt2, "--json", "empty.txt") == "empty.txt: is empty"
    assert tokens.fails(1, "--tokenizer", gpt2, "--json", "missing.txt") == "missing.txt: no such file"
    line = tokens.fails(1, "--tokenizer", ".", "--json", "text.txt")
    assert line == ".: has no tokenizer (tokenizer.json, tokenizer.model, vocab.json with merges.txt, or meta.pkl)"
    (tokens.folder / "ids.json").write_text('{"ids": [1, 2000]}')
    line = tokens.fails(1, "--tokenizer", gpt2, "--decode", "ids.json")
    assert line == "ids.json: token 1 is 2000, but the tokenizer has a vocabulary of 1001 (ids 0 to 1000)"
    line = tokens.fails(1, "--train-bpe", 256, "text.txt", "--out", "tokenizer.json")
    assert line.startswith("a byte-level tokenizer has 257 tokens")
