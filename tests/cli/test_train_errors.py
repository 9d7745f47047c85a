"""Wrong command lines and configurations: one line that names the mistake, and no file left."""

import os

import pytest

import train_runs
from probe_runs import SITES
from programs import program

SEE_HELP = "; see hessian-train --help"
SCHEDULES = "linear, cosine, constant, wsd"


def fails(train, status, *arguments):
    """Runs a command that must fail and leave no file; returns its error line."""
    before = train_runs.contents(train.folder)
    outcome = train.execute([program("hessian-train"), *map(str, arguments)])
    assert outcome.status == status, outcome.stderr
    assert train_runs.contents(train.folder) == before
    return outcome.error_line()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "CONFIG.toml is required"),
        (["run.toml", "stray.toml"], "The following argument was not expected: stray.toml"),
        (["run.toml", "--frobnicate"], "The following argument was not expected: --frobnicate"),
        (["run.toml", "--resume", "--overwrite"], None),
        (["run.toml", "--set"], "--set: 1 required KEY=VALUE missing"),
    ],
)
def test_a_missing_or_unknown_argument_is_named(train, arguments, message):
    train.command({})
    line = fails(train, 2, *arguments)
    assert line.endswith(SEE_HELP)
    if message is None:
        assert "--resume" in line and "--overwrite" in line
    else:
        assert line == message + SEE_HELP


def test_a_configuration_that_does_not_exist_or_is_a_folder_is_refused(train):
    assert fails(train, 1, "none.toml") == "none.toml: no such file; expected a configuration in TOML"
    (train.folder / "folder.toml").mkdir()
    assert fails(train, 1, "folder.toml") == "folder.toml: cannot be read; expected a configuration in TOML"


@pytest.mark.parametrize(
    "text, message",
    [
        ("steps = 5\n[optimizer]\nlr = = 3\n", "run.toml: line 3, column 6: "),
        ("steps = 5\nsteps = 6\n", "run.toml: line 2, column "),
        ("[optimizer\n", "run.toml: line 1, column "),
        ("steps = 99999999999999999999\n", "run.toml: line 1, column "),
        ("\x00", "run.toml: line 1, column 1: "),
    ],
)
def test_text_that_is_not_toml_is_refused_with_its_line(train, text, message):
    assert train.fails(2, text).startswith(message)


@pytest.mark.parametrize(
    "key, nearest",
    [
        *[("stepz", "steps"), ("optimizer.lrr", "optimizer.lr"), ("optimiser.beta1", "optimizer.beta1")],
        *[("batch_size", "data.batch_size"), ("probe.site", "probe.sites"), ("lr", "optimizer.lr")],
        *[("optimizer.learning_rate", "optimizer.lr"), ("max-steps", "steps"), ("train.n_embd", "model.dim")],
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(train, key, nearest):
    message = f"there is no key '{key}'; did you mean '{nearest}'?"
    assert train.fails(2, {key: 3}) == f"run.toml: {message}"
    assert train.fails(2, {}, "--set", f"{key}=3") == f"--set: {message}"


def test_an_unknown_section_is_refused(train):
    assert train.fails(2, "[optimiser]\n").startswith("run.toml: there is no key 'optimiser'; did you mean 'optimizer.")
    assert train.fails(2, "optimizer = 3\n").startswith("run.toml: there is no key 'optimizer'; did you mean ")


@pytest.mark.parametrize(
    "toml, message",
    [
        ("steps = 'ten'", "steps is 'ten', expected a whole number"),
        ("steps = 10.0", "steps is 10.0, expected a whole number"),
        ("optimizer.lr = '1e-3'", "optimizer.lr is '1e-3', expected a number"),
        ("optimizer.name = 3", "optimizer.name is 3, expected a text"),
        ("divergence.stop = 1", "divergence.stop is 1, expected true or false"),
        ("probe.sites = 'residual'", "probe.sites is 'residual', expected a list, each entry a text"),
        ("probe.sites = [1]", "probe.sites is [ 1 ], expected a list, each entry a text"),
        # The message is one short line for any value.
        ("steps = '''\none\ntwo'''", None),
        (f"steps = [{'1111, ' * 200}]", None),
        ("[steps]\na = 1\nb = 2", None),
        (f"steps = '{'x' * 2000}'", None),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_expected_type(train, toml, message):
    line = train.fails(2, toml + "\n")
    assert line == f"run.toml: {message}" if message else line.endswith(", expected a whole number")


@pytest.mark.parametrize(
    "setting, message",
    [
        ("steps", "--set 'steps': expected KEY=VALUE, as in optimizer.lr=1e-3"),
        ("=3", "--set '=3': expected KEY=VALUE, as in optimizer.lr=1e-3"),
        ("steps=many", "--set: steps is 'many', expected a whole number"),
        ("steps=", "--set: steps is '', expected a whole number"),
    ],
)
def test_settings_are_checked_as_the_file_is(train, setting, message):
    assert train.fails(2, {}, "--set", setting) == message


def test_a_setting_with_an_unknown_key_is_refused(train):
    assert train.fails(2, {}, "--set", "a b=3").startswith("--set 'a b=3': ")


@pytest.mark.parametrize(
    "key, value, accepted, nearest",
    [
        ("optimizer.name", "adam", "adamw, sgd", "adamw"),
        ("schedule.name", "liner", SCHEDULES, "linear"),
        ("dtype", "bf16", "float32, bfloat16, float64", "bfloat16"),
        ("probe.sites", ["residual", "fnn_in"], "all, " + ", ".join(SITES), "ffn_in"),
    ],
)
def test_an_unknown_word_is_refused_with_the_known_ones_and_the_nearest(train, key, value, accepted, nearest):
    word = value if isinstance(value, str) else value[-1]
    line = train.fails(2, {key: value})
    assert line == f"run.toml: {key} is '{word}', expected one of {accepted}; did you mean '{nearest}'?"


@pytest.mark.parametrize(
    "key, value, expectation",
    [
        ("steps", -1, "a whole number of at least 1"),
        ("steps", 0, "a whole number of at least 1"),
        ("data.seq_len", 0, "a whole number of at least 1"),
        ("optimizer.lr", 0, "a positive number"),
        ("optimizer.beta1", 1, "a number of at least 0 and below 1"),
        ("optimizer.clip", -1, "0 or a positive number"),
        ("schedule.warmup", 12, "0 to 11, fewer than the 12 steps"),
        ("schedule.final_fraction", 1.5, "a number from 0 to 1"),
        ("validation.every", -1, "a whole number of at least 0"),
        ("checkpoint.keep", 0, "a whole number of at least 1"),
        ("probe.tolerance", 0, "a positive number"),
        ("divergence.smoothing", 4, "an odd positive number of steps"),
    ],
)
def test_numbers_out_of_range_are_refused_with_the_accepted_range(train, key, value, expectation):
    line = train.fails(2, {key: value})
    assert line.startswith(f"run.toml: {key} is {value}") and line.endswith(f", expected {expectation}")


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_learning_rate_must_be_a_number(train, value):
    assert train.fails(2, f"optimizer.lr = {value}\n") == f"run.toml: optimizer.lr is {value}, expected a positive number"


def test_a_decay_longer_than_the_steps_after_the_warm_up_is_refused(train):
    line = train.fails(2, {"schedule.name": "wsd", "schedule.decay": 10})
    assert line == "run.toml: schedule.decay is 10, expected 1 to 9, the steps after the warm-up"


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"model.name": "new:bert-20M-prenorm"}, ["model", "'bert' is no model family", "gpt2, llama2, llama3"]),
        ({"model.name": "new:llama2-1M-prenorm"}, ["model", "'1M' is no size of llama2"]),
        ({"model.n_heads": 3}, ["model"]),
        ({"model.dim": -4}, ["model.dim", "-4"]),
        ({"model.vocab_size": -1}, ["model.vocab_size", "-1"]),
        (
            {"model.name": "new:gpt2-10M-prenorm", "data.seq_len": 257},
            ["data.seq_len is 257, longer than the 256 positions of new:gpt2-10M-prenorm"],
        ),
    ],
)
def test_a_model_that_cannot_be_made_is_refused_with_the_wrong_key(train, changes, words):
    line = train.fails(2, changes)
    assert line.startswith("run.toml: ")
    for word in words:
        assert word in line


def test_sequences_longer_than_a_checkpoints_positions_are_refused(train, nanogpt):
    line = train.fails(2, {"model.name": str(nanogpt), "data.seq_len": 65})
    assert line == f"data.seq_len is 65, longer than the 64 positions of {nanogpt}"


@pytest.mark.parametrize("data", [None, b"", b"PK no zip"])
def test_a_model_that_cannot_be_read_is_named(train, data):
    if data is not None:
        (train.folder / "ckpt.pt").write_bytes(data)
    assert train.fails(1, {"model.name": "ckpt.pt"}).startswith("ckpt.pt: ")


def test_a_vocabulary_too_small_for_the_data_is_refused(train):
    assert train.fails(1, {"model.vocab_size": 100}).startswith("builtin: ")


@pytest.mark.parametrize("word", ["tpu", "cuda:x"])
def test_an_unknown_device_is_refused(train, word):
    assert train.fails(2, {"device": word}) == f"device '{word}' is not a device; use auto, cpu, cuda or cuda:N"


def test_a_cuda_device_is_refused_if_there_is_none(train):
    command = train.command({"device": "cuda"})
    outcome = train.execute(command)
    if outcome.status == 0:
        pytest.skip("this machine has CUDA")
    assert outcome.status == 1 and not outcome.folder.exists()
    assert outcome.error_line().startswith("device cuda: CUDA cannot be used: ")


@pytest.mark.parametrize("layers", ["3", "x", ""])
def test_layers_of_the_probe_must_be_layers_of_the_model(train, layers):
    line = train.fails(2, {"probe.every": 5, "probe.layers": layers})
    assert "probe.layers" in line and f"'{layers}'" in line and "0 to 2" in line


def test_a_probe_without_sites_is_refused(train):
    assert train.fails(2, {"probe.sites": []}) == "run.toml: probe.sites is [], expected at least one site"


@pytest.mark.parametrize("out", ["run.toml", "run.toml/deeper", "/proc/nowhere"])
def test_a_folder_that_cannot_be_made_is_named(train, out):
    line = train.fails(1, {"out": out})
    assert line.startswith(out.removesuffix("/deeper")), line
    assert "filesystem error" not in line


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_named(train):
    (train.folder / "run").mkdir(mode=0o500)
    assert train.fails(1, {}).startswith("run")


def test_a_folder_named_like_the_run_file_is_refused(train):
    (train.folder / "run" / "run.h5").mkdir(parents=True)
    assert train.fails(1, {}).startswith("run/run.h5: ")
    assert train.fails(1, {}, "--resume").startswith("run/run.h5: ")
    assert train.fails(1, {}, "--overwrite").startswith("run/run.h5: ")


def test_a_run_file_of_another_program_cannot_be_resumed(train, probe, llama, tokens):
    (train.folder / "run").mkdir()
    probe.run("--model", llama, "--data", tokens, out="run/run.h5")
    line = train.fails(1, {}, "--resume")
    assert line == "run/run.h5: holds no training run; it was written by hessian-probe"
    (train.folder / "run" / "run.h5").write_bytes(b"no HDF5")
    assert train.fails(1, {}, "--resume").startswith("run/run.h5: ")


def test_an_existing_run_survives_an_overwrite_that_fails_for_lack_of_data(train):
    train.done({})
    line = train.fails(1, {"data.source": "none.txt"}, "--overwrite")
    assert line.startswith("none.txt: ")
