"""Compares the time of tokenising the built-in text by the `tokenizers` library with ours: same tokenizer, same text, one thread.

Usage: tokenize_text.py BIN [--rounds N]

BIN is the folder of this project's programs. Ours is hessian-tokens, whose time includes starting, reading the tokenizer and writing the
token file; that of the library is encode_batch_fast() alone, which leaves positions out. The two run in turn, so that a slow moment of the
machine affects both, and the ratio is that of the medians. Both must give the same ids.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402  (reads the variables)

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "tokenizers"
NAMES = ("gpt2", "llama3", "qwen2", "smollm", "llama2", "metaspace", "gemma")


def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def compare(name, folder, text, program, rounds):
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    contents = text.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "tokens.bin"
        command = [program, "--tokenizer", folder, text, "--out", out, "--overwrite", "--threads", "1"]

        def ours():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        def theirs():
            library.encode_batch_fast([contents], add_special_tokens=False)

        printed = subprocess.run([program, "--tokenizer", folder, "--json", text], check=True, capture_output=True).stdout
        equal = json.loads(printed)["ids"] == library.encode(contents, add_special_tokens=False).ids
        times = [(seconds(theirs), seconds(ours)) for _ in range(rounds)]
    their_time, our_time = (statistics.median(column) for column in zip(*times))
    print(
        f"{name:12} tokenizers {their_time:7.3f} s   hessian-tokens {our_time:7.3f} s   ratio {their_time / our_time:5.1f}"
        f"   {'same ids' if equal else 'DIFFERENT IDS'}",
        flush=True,
    )
    return equal


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    program = options.bin / "hessian-tokens"
    text = ROOT / "data" / "kjv.txt"
    with tempfile.TemporaryDirectory() as folder:
        trained = pathlib.Path(folder)
        subprocess.run([program, "--train-bpe", "8192", text, "--out", trained / "tokenizer.json"], check=True)
        folders = {"trained 8192": trained, **{name: FIXTURES / name for name in NAMES}}
        equal = [compare(name, folder, text, program, options.rounds) for name, folder in folders.items()]
    raise SystemExit(0 if all(equal) else 1)


if __name__ == "__main__":
    main()
