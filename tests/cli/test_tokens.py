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
        (["--tokenizer", "T", "text.txt", "--out", "t.tokens"], "--out is the name of a token file, which ends in .bin"),
        (["--tokenizer", "T", "text.txt", "--out", "folder/"], "--out is the name of a token file, which ends in .bin"),
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
    assert line == "bad.txt: is not UTF-8 text (byte 3 is 0xff); convert it to UTF-8, for instance with iconv"
    (tokens.folder / "empty.txt").touch()
    assert tokens.fails(1, "--tokenizer", gpt2, "empty.txt", "--out", "t.bin") == "empty.txt: is empty"
    assert tokens.fails(1, "--tokenizer", gpt2, "--json", "missing.txt") == "missing.txt: no such file"
    line = tokens.fails(1, "--tokenizer", ".", "--json", "text.txt")
    assert line == ".: has no tokenizer (tokenizer.json, tokenizer.model, vocab.json with merges.txt, or meta.pkl)"
    (tokens.folder / "ids.json").write_text('{"ids": [1, 2000]}')
    line = tokens.fails(1, "--tokenizer", gpt2, "--decode", "ids.json")
    assert line == "ids.json: token 1 is 2000, but the tokenizer has a vocabulary of 1001 (ids 0 to 1000)"
    line = tokens.fails(1, "--train-bpe", 256, "text.txt", "--out", "tokenizer.json")
    assert line.startswith("a byte-level tokenizer has 257 tokens")
    (tokens.folder / "tokenizer.model").write_text("no tokenizer at all")
    line = tokens.fails(1, "--tokenizer", "tokenizer.model", "--json", "text.txt")
    assert line == "tokenizer.model: is not a tokenizer: neither a model of sentencepiece nor a list of tokens in base64"
    line = tokens.fails(1, "--tokenizer", gpt2, "--decode", "text.txt")
    assert line == "text.txt: is text; expected a token file, or ids as JSON"
    line = tokens.fails(1, "--train-bpe", 300, "text.txt", "--out", "newdir/")
    assert line == "newdir/tokenizer.json: folder 'newdir' does not exist; make it first or write elsewhere"
    (tokens.folder / "t.bin").write_bytes(bytes(40))
    line = tokens.fails(1, "--tokenizer", gpt2, "--json", "t.bin")
    assert line == "t.bin: is no text; --decode translates tokens to text"


def test_every_byte_of_a_text_is_printed(tokens):
    text = "one\0two\n\0"
    (tokens.folder / "nul.txt").write_text(text)
    gpt2 = TOKENIZERS / "gpt2"
    tokens.prints("--tokenizer", gpt2, "nul.txt", "--out", "t.bin")
    assert tokens.prints("--tokenizer", gpt2, "--decode", "t.bin") == text


def test_json_lines_are_decoded_again(tokens):
    folder = tokens.folder / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("one\n")
    (folder / "b.txt").touch()
    (folder / "c.txt").write_text("two\n")
    lines = tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "--json", "texts")
    assert len(lines.splitlines()) == 3 and json.loads(lines.splitlines()[1]) == {"ids": []}
    (tokens.folder / "ids.jsonl").write_text(lines)
    assert tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "--decode", "ids.jsonl") == "one\ntwo\n"


def test_bytes_are_tokens_too(tokens):
    (tokens.folder / "a.txt").write_text("é")
    assert tokens.ids("bytes", "a.txt") == [0xC3, 0xA9]
    tokens.prints("--tokenizer", "bytes", "text.txt", "a.txt", "--out", "t.bin")
    numbers, width, vocab = read_own(tokens.folder / "t.bin")
    assert (bytes(numbers), width, vocab) == (TEXT.encode() + b"\n\xc3\xa9", 2, 256)
    assert tokens.prints("--tokenizer", "bytes", "--decode", "t.bin") == TEXT + "\né"


def test_an_input_is_never_replaced(tokens):
    (tokens.folder / "a.bin").write_text(TEXT)
    (tokens.folder / "b.bin").symlink_to("text.txt")
    (tokens.folder / "tokenizer.json").write_bytes((TOKENIZERS / "gpt2" / "tokenizer.json").read_bytes())
    line = tokens.fails(1, "--tokenizer", ".", "text.txt", "--out", "b.bin", "--overwrite")
    assert line == "b.bin: is an input, too; give another --out"
    line = tokens.fails(1, "--train-bpe", 300, "text.txt", "--out", "text.txt", "--overwrite")
    assert line == "text.txt: is an input, too; give another --out"
    (tokens.folder / "ids.json").write_text('{"ids": [1, 2]}')
    for out in ("ids.json", "tokenizer.json"):
        line = tokens.fails(1, "--tokenizer", ".", "--decode", "ids.json", "--out", out, "--overwrite")
        assert line == f"{out}: is an input, too; give another --out"


def test_a_token_file_of_another_tokenizer_is_not_decoded(tokens):
    tokens.prints("--tokenizer", TOKENIZERS / "gpt2", "text.txt", "--out", "t.bin")
    line = tokens.fails(1, "--tokenizer", TOKENIZERS / "llama3", "--decode", "t.bin")
    assert line == "t.bin: has ids of a vocabulary of 1001 according to its header, but the tokenizer has 1209 tokens"


def test_a_text_without_tokens_is_no_token_file(tokens):
    stripping = json.loads((TOKENIZERS / "gpt2" / "tokenizer.json").read_text())
    stripping["normalizer"] = {"type": "Strip", "strip_left": True, "strip_right": True}
    (tokens.folder / "tokenizer.json").write_text(json.dumps(stripping))
    (tokens.folder / "blank.txt").write_text(" \n ")
    assert tokens.ids(".", "blank.txt") == []
    assert tokens.fails(1, "--tokenizer", ".", "blank.txt", "--out", "t.bin") == "blank.txt: its text has no tokens"
