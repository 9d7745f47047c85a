"""Wrong command lines: exit status 2, one line that names the option and the accepted values, and no file."""

import pytest

SEE_HELP = "; see hessian-probe --help"


@pytest.mark.parametrize(
    "arguments, out, message",
    [
        ([], None, "--model is required"),
        ([], "run.h5", "--model is required"),
        (["--model", "ckpt.pt"], None, "--out is required"),
        (["--model", "ckpt.pt", "--frobnicate"], "run.h5", "The following argument was not expected: --frobnicate"),
        (["--model", "ckpt.pt", "stray"], "run.h5", "The following argument was not expected: stray"),
        (["--model", "a.pt", "--model", "b.pt"], "run.h5", "--model: At Most 1 required but received 2"),
        (["--model"], None, "--model: 1 required TEXT missing"),
    ],
)
def test_a_missing_or_unknown_argument_is_named(probe, arguments, out, message):
    assert probe.fails(2, *arguments, out=out) == message + SEE_HELP


@pytest.mark.parametrize("word", ["0", "-1", "1.5", "many", "", "99999999999999999999"])
@pytest.mark.parametrize("option", ["--sequences", "--seq-len", "--max-iter", "--vocab-size"])
def test_counts_must_be_positive_whole_numbers(probe, option, word):
    line = probe.fails(2, "--model", "new:llama2-20M-prenorm", option, word)
    assert line == f"{option}: '{word}' is not a whole number from 1 on" + SEE_HELP


@pytest.mark.parametrize("word", ["-1", "1.5", "x", "18446744073709551616"])
def test_seeds_must_be_natural_numbers(probe, nanogpt, word):
    line = probe.fails(2, "--model", nanogpt, "--seed", word)
    assert line == f"--seed: '{word}' is not a whole number from 0 on" + SEE_HELP


@pytest.mark.parametrize("word", ["0", "-1e-3", "nan", "inf", "small", "", "1e-3x"])
def test_the_tolerance_must_be_a_positive_number(probe, nanogpt, word):
    line = probe.fails(2, "--model", nanogpt, "--tol", word)
    assert line == f"--tol: '{word}' is not a positive number" + SEE_HELP


@pytest.mark.parametrize(
    "option, word, accepted",
    [
        ("--unit", "block", "{sequence,token}"),
        ("--unit", "1", "{sequence,token}"),
        ("--method", "qr", "{lanczos,power,spectra}"),
        ("--engine", "jax", "{tape,autograd}"),
        ("--dtype", "float16", "{float32,float64,bfloat16}"),
    ],
)
def test_unknown_words_are_refused_with_the_accepted_ones(probe, nanogpt, option, word, accepted):
    assert probe.fails(2, "--model", nanogpt, option, word) == f"{option}: {word} not in {accepted}" + SEE_HELP


@pytest.mark.parametrize("word", ["8XB", "0", "-1GiB", "nan", "lots", ""])
def test_memory_must_be_an_amount(probe, nanogpt, word):
    line = probe.fails(2, "--model", nanogpt, "--memory", word)
    assert line == f"--memory: '{word}' is not an amount of memory; write it as 8GiB, 512MiB or 2GB" + SEE_HELP


@pytest.mark.parametrize("option", ["--model", "--data", "--out"])
def test_empty_words_are_refused(probe, option):
    arguments = {"--model": "x.pt", "--data": "x.txt", "--out": "x.h5", option: ""}
    line = probe.fails(2, *(word for pair in arguments.items() for word in pair), out=None)
    assert line.startswith(f"{option}: ")


@pytest.mark.parametrize("word", ["tpu", "cuda:", "cuda:x", ""])
def test_an_unknown_device_is_refused(probe, nanogpt, word):
    line = probe.fails(2, "--model", nanogpt, "--device", word)
    assert line == f"--device '{word}' is not a device; use auto, cpu, cuda or cuda:N"


@pytest.mark.parametrize("word", ["attention", "", "ffn_in,x"])
def test_an_unknown_site_is_refused(probe, nanogpt, word):
    line = probe.fails(2, "--model", nanogpt, "--site", word)
    assert line.startswith("--site '")
    assert line.endswith("is not a site; known are residual, attn_in, attn_proj_in, ffn_in, ffn_down_in, or all")


@pytest.mark.parametrize(
    "name, message",
    [
        ("new:", "a fresh model is new:FAMILY-SIZE or new:FAMILY-SIZE-PLACEMENT, as new:llama2-20M-simplegpt"),
        ("new:llama2", "a fresh model is new:FAMILY-SIZE or new:FAMILY-SIZE-PLACEMENT, as new:llama2-20M-simplegpt"),
        (
            "new:bert-20M-prenorm",
            "'bert' is no model family; known are gpt2, llama2, llama3, mistral, qwen2, qwen3, olmo2, pythia, gemma2, gemma3, "
            "phi3, smollm3",
        ),
        ("new:phi3-mini-128k", "'mini-128k' is no size of phi3; known are mini-4k, medium-4k"),
        ("new:gpt2-1M-prenorm", "'1M' is no size of gpt2; known are 10M, 124M, 350M, 774M, 1558M"),
        (
            "new:llama2-20M-norm",
            "'norm' is no norm placement; known are prenorm, preqknorm, simplegpt, postnorm, sandwich, reordered",
        ),
    ],
)
def test_an_unknown_model_name_is_refused_with_the_known_ones(probe, name, message):
    assert probe.fails(2, "--model", name) == f"{name}: {message}"


def test_a_vocabulary_size_is_refused_for_a_checkpoint(probe, nanogpt):
    line = probe.fails(2, "--model", nanogpt, "--vocab-size", 300)
    assert line == f"--vocab-size is for fresh models (new:...); {nanogpt} has its own"


def test_sequences_longer_than_the_models_positions_are_refused(probe, nanogpt):
    line = probe.fails(2, "--model", nanogpt, "--seq-len", 65)
    assert line == f"--seq-len 65 is longer than the 64 positions of {nanogpt}"


def test_a_cuda_device_is_refused_if_there_is_none(probe, nanogpt):
    outcome = probe("--model", nanogpt, "--device", "cuda", "--sequences", 1, "--seq-len", 4)
    if outcome.status == 0:
        pytest.skip("this machine has CUDA")
    assert outcome.status == 1 and not outcome.path.exists()
    line = outcome.error_line()
    assert line.startswith("--device cuda: CUDA cannot be used: ")
    assert line.endswith("; --device cpu works everywhere")
