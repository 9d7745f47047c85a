"""The data, precision and initial weights of hessian-train, and its end when it diverges."""

import json

import numpy
import pytest

import safetensors_file
import tiny_models
from probe_runs import SITES
from train_runs import SMALL, contents

ARCHITECTURE = [key for key in SMALL if key.startswith("model.")]
# Removes the keys of the architecture, for a model from a checkpoint.
GIVEN = {key: None for key in ARCHITECTURE}


def losses(run):
    return run.datasets["/train/loss"]


def letters(count, seed=0):
    """Returns random letters without line ends, so that a text is split at the same place as a token file."""
    return numpy.random.default_rng(seed).choice(numpy.frombuffer(b"abcdefgh ", "u1"), count)


def write_rows(path, rows, seq_len=16, targets=7, held_out_targets=None):
    """Writes rows of random tokens that all have the same target."""
    tokens = numpy.random.default_rng(0).integers(0, 256, (rows, seq_len))
    wanted = numpy.full_like(tokens, targets)
    if held_out_targets is not None:
        wanted[-1] = held_out_targets
    safetensors_file.write(path, {"tokens": tokens, "targets": wanted})


def test_a_text_and_a_token_file_of_its_bytes_give_the_same_run(train):
    ids = letters(3000)
    (train.folder / "notes.txt").write_bytes(ids.tobytes())
    (train.folder / "notes.bin").write_bytes(ids.astype("<u2").tobytes())
    text = train.done({"data.source": "notes.txt"}).run
    tokens = train.done({"data.source": "notes.bin"}).run
    assert losses(text).tobytes() == losses(tokens).tobytes()
    assert text.datasets["/train/val_loss"].tobytes() == tokens.datasets["/train/val_loss"].tobytes()
    # The built-in text gives other losses.
    assert (losses(text) != losses(train.done({}).run)).all()


def test_learns_the_given_text(train):
    (train.folder / "ab.txt").write_text("ab" * 2000)
    changes = {"data.source": "ab.txt", "steps": 80, "optimizer.lr": 0.03, "data.seq_len": 8}
    run = train.done(changes).run
    # Each letter determines the next.
    assert losses(run)[-1] < 0.1
    assert run.datasets["/train/val_loss"][-1] < 0.1


def test_rows_of_a_safetensors_file_have_their_own_targets(train):
    write_rows(train.folder / "rows.safetensors", 12, targets=7, held_out_targets=9)
    changes = {"data.source": "rows.safetensors", "validation.sequences": 1, "steps": 80, "optimizer.lr": 0.03}
    run = train.done(changes).run
    assert losses(run)[-1] < 0.1
    # The held-out row has another target, which was never seen.
    assert run.datasets["/train/val_loss"][-1] > 5


def test_the_built_in_text_is_the_default(train):
    assert losses(train.done({}).run).tobytes() == losses(train.done({"data.source": "builtin"}).run).tobytes()


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("short.txt", b"only a few words", "short.txt: has 15 tokens to train on (its first nine tenths), but one window"),
        ("short.bin", bytes(2 * 16), "short.bin: has 15 tokens to train on (its first nine tenths), but one window"),
        ("odd.bin", bytes(2001), "odd.bin: "),
        ("empty.txt", b"", "empty.txt: "),
        ("latin1.txt", b"caf\xe9 " * 400, "latin1.txt: is not UTF-8 text (byte 3 is 0xe9)"),
        ("none.txt", None, "none.txt: "),
        ("rows.safetensors", b"no such thing", "rows.safetensors: "),
    ],
)
def test_unusable_data_ends_in_one_line_and_no_run(train, name, data, message):
    if data is not None:
        (train.folder / name).write_bytes(data)
    assert train.fails(1, {"data.source": name}).startswith(message)


def test_a_held_out_tenth_too_small_for_the_validation_is_refused(train):
    (train.folder / "short.txt").write_bytes(letters(300).tobytes())
    line = train.fails(1, {"data.source": "short.txt", "validation.sequences": 50})
    assert line.startswith("short.txt: ") and "50" in line
    write_rows(train.folder / "rows.safetensors", 12)
    line = train.fails(1, {"data.source": "rows.safetensors", "validation.sequences": 2})
    assert line == "rows.safetensors: holds out 1 of its 12 sequences, but 2 are asked for"


def test_a_token_outside_the_vocabulary_is_named_with_its_position(train):
    ids = letters(2000).astype("<u2")
    ids[1900] = 256
    (train.folder / "tokens.bin").write_bytes(ids.tobytes())
    changes = {"data.source": "tokens.bin", "steps": 4, "schedule.warmup": 0}
    line = train.fails(1, changes)
    assert line == "tokens.bin: token 1900 is 256, but the model has a vocabulary of 256 (ids 0 to 255)"
    # The whole file is read when it is opened, not only the windows that are drawn.
    ids[17] = 300
    (train.folder / "tokens.bin").write_bytes(ids.tobytes())
    line = train.fails(1, {**changes, "validation.every": 0})
    assert line == "tokens.bin: token 17 is 300, but the model has a vocabulary of 256 (ids 0 to 255)"


def test_longer_rows_are_cut_and_shorter_rows_are_refused(train):
    write_rows(train.folder / "rows.safetensors", 12, seq_len=24)
    changes = {"data.source": "rows.safetensors", "validation.sequences": 1}
    assert train.done(changes).run.datasets["/train/tokens"][0] == 32
    line = train.fails(1, {**changes, "out": "longer", "data.seq_len": 25})
    assert line.startswith("rows.safetensors: ")


@pytest.mark.parametrize(
    "name",
    [
        *["gpt2-10M-prenorm", "gpt2-10M-postnorm", "gpt2-10M-sandwich", "llama2-20M-preqknorm"],
        *["llama3-debugmodel-prenorm", "llama3-debugmodel-simplegpt", "llama3-1B", "mistral-7B-v0.1", "qwen2-0.5B"],
        *["qwen3-0.6B", "qwen3-0.6B-simplegpt", "olmo2-1B", "pythia-70m", "gemma2-2b", "gemma2-2b-prenorm"],
        *["gemma3-270m", "phi3-mini-4k", "smollm3-3B"],
    ],
)
def test_every_architecture_trains_and_can_be_probed_afterwards(train, probe, name):
    changes = {
        **{"model.name": f"new:{name}", "steps": 25, "optimizer.lr": 0.01, "data.batch_size": 4},
        **{"checkpoint.every": 25, "validation.every": 25, "validation.sequences": 16},
    }
    if name == "llama3-debugmodel-prenorm":
        changes["model.n_kv_heads"] = 1
    if name.startswith(("mistral", "gemma", "phi3")):
        changes["model.window"] = 5  # of 16 positions
    outcome = train.done(changes)
    assert outcome.run.datasets["/train/val_loss"][-1] < losses(outcome.run)[0] - 0.5
    # The checkpoint holds the whole architecture, and products with the trained weights agree with central differences.
    checkpoint = outcome.folder / "checkpoint-00000025.safetensors"
    run = probe.run("--model", checkpoint, "--sequences", 1, "--seq-len", 12, "--site", "all", "--tol", 0.01, "--check")
    for site in SITES:
        assert (run[f"{site}/check_relative_difference"] < 1e-6).all(), site
    label = json.loads(run.attributes["model"])["label"]
    family, *size = name.split("-")
    assert label.startswith(family + "-")
    placement = {"olmo2": "reordered", "gemma2": "sandwich", "gemma3": "sandwich"}.get(family, "prenorm")
    assert label.endswith("-" + (size[-1] if size[-1] in tiny_models.PLACEMENTS else placement))


def test_bfloat16_differs_a_little_from_float32_which_differs_less_from_float64(train):
    found = {}
    for dtype in ("bfloat16", "float32", "float64"):
        outcome = train.done({"dtype": dtype})
        found[dtype] = losses(outcome.run)
        assert outcome.run.attributes["dtype"] == dtype
        # Weights are not rounded to bfloat16, which would lose small updates.
        kind = outcome.checkpoint(12)[0]["tok_embeddings.weight"].dtype.str
        assert kind == ("<f8" if dtype == "float64" else "<f4")
    bfloat16, float32 = (abs(found[dtype] / found["float64"] - 1).max() for dtype in ("bfloat16", "float32"))
    # The rounding of products to 8 bits compared with 24 bits.
    assert 1e-5 < bfloat16 < 2e-2
    assert 0 < float32 < 1e-5


def test_fine_tuning_begins_with_the_weights_of_a_checkpoint(train, probe):
    outcome = train.done({"steps": 100, "optimizer.lr": 0.01, "checkpoint.every": 100})
    end = outcome.run.datasets["/train/loss"][-10:].mean()
    start = outcome.folder / "checkpoint-00000100.safetensors"
    weights = outcome.checkpoint(100)[0]
    tuned = train.done(
        {
            **{**GIVEN, "model.name": str(start), "out": "tuned", "optimizer.lr": 1e-9, "optimizer.weight_decay": 0},
            **{"probe.every": 12, "probe.sequences": 2},
        }
    )
    run = tuned.run
    # Steps and sequences are counted from zero again.
    assert run.datasets["/train/step"].tolist() == list(range(1, 13))
    assert run["step"].tolist() == [0, 12]
    assert losses(run).mean() == pytest.approx(end, abs=0.4)
    tensors, metadata = tuned.checkpoint(12)
    assert metadata["sequences_seen"] == "24"
    for name in ("tok_embeddings.weight", "layers.1.feed_forward.w2.weight"):
        # Twelve updates of at most 1e-9 each.
        assert tensors[name] == pytest.approx(weights[name], abs=1e-6)
    measured = probe.run("--model", start, "--sequences", 2, "--seq-len", 16, "--tol", "1e-2", "--device", "cpu")
    assert run["loss"][0] == pytest.approx(measured["loss"][0], rel=1e-6)
    assert json.loads(run.attributes["model"]) == json.loads(measured.attributes["model"])


def test_fine_tunes_a_nanogpt_checkpoint_and_keeps_its_biases(train, probe, nanogpt):
    outcome = train.done({**GIVEN, "model.name": str(nanogpt), "steps": 40, "optimizer.lr": 0.01})
    run = outcome.run
    assert losses(run)[0] == pytest.approx(numpy.log(256), abs=0.15)
    assert losses(run)[-1] < losses(run)[0] - 1
    model = json.loads(run.attributes["model"])
    assert (model["family"], model["n_layers"], model["max_seq_len"], model["tied_head"]) == ("gpt2", 3, 64, True)
    tensors, _ = outcome.checkpoint(40)
    biases = [name for name in tensors if name.endswith(".bias") and not name.startswith("optimizer.")]
    assert len(biases) > 3 * 4
    measured = probe.run("--model", "run/checkpoint-00000040.safetensors", "--sequences", 2, "--seq-len", 16)
    assert measured["step"].tolist() == [40]
    assert measured["loss"].mean() == pytest.approx(run.datasets["/train/val_loss"][-1], rel=1e-5)


def test_text_is_refused_for_a_checkpoint_with_a_small_vocabulary(train, llama):
    line = train.fails(1, {**GIVEN, "model.name": str(llama)})
    assert line.startswith("builtin: ") and "31" in line


def test_trains_a_model_without_training_state(train, llama):
    tiny_models.write_tokens(train.folder / "rows.safetensors", 31, sequences=12, length=16)
    changes = {**GIVEN, "model.name": str(llama), "data.source": "rows.safetensors", "validation.sequences": 1}
    run = train.done(changes).run
    assert run.attributes["finished"] == 1 and numpy.isfinite(losses(run)).all()


# A learning rate so large that the loss rises and stays high, but finite.
RISING = {
    **{"optimizer.lr": 1, "optimizer.weight_decay": 0, "schedule.warmup": 0, "steps": 60, "divergence.patience": 5},
    **{"checkpoint.every": 0},
}


def test_a_run_that_diverges_stops_early_and_reports_it(train):
    outcome = train({**RISING, "validation.every": 50})
    assert outcome.status == 0
    run = outcome.run
    steps = run.datasets["/train/step"]
    assert len(steps) < 60
    first, *_ = outcome.stdout.splitlines()
    assert first.startswith("diverged: loss rose from step ")
    assert f"; ended at step {steps[-1]}; " in first
    assert run.attributes["finished"] == 1
    # Like every run, it ends with a validation.
    assert run.datasets["/train/val_step"].tolist() == [steps[-1]]
    report = train.done(RISING, "--json").report
    assert report["diverged"] is True and report["divergence"] == "loss_rose"
    # The verdict comes at the fifth step of the rise.
    assert report["diverged_at"] == steps[-1] - 4
    assert f"from step {report['diverged_at']} on" in first


def test_a_learning_rate_of_100_stops_early(train):
    outcome = train({"optimizer.lr": 100, "steps": 200})
    assert outcome.status == 0 and outcome.stdout.startswith("diverged: ")
    assert len(losses(outcome.run)) < 100


def test_a_run_that_diverges_continues_if_requested(train):
    outcome = train({**RISING, "divergence.stop": False})
    assert outcome.status == 0
    assert len(losses(outcome.run)) == 60
    assert outcome.stdout.startswith("diverged: loss rose from step ") and "ended at step 60" in outcome.stdout


def test_a_run_that_never_leaves_its_plateau_has_diverged(train):
    changes = {"divergence.plateau_drop": 1, "divergence.plateau_steps": 7, "optimizer.lr": 1e-9}
    report = train.done(changes, "--json").report
    assert (report["step"], report["divergence"]) == (7, "never_left_plateau")


def test_a_run_from_a_checkpoint_is_not_judged_by_the_plateau_of_fresh_weights(train, nanogpt):
    changes = {**GIVEN, "model.name": str(nanogpt)}
    report = train.done({**changes, "divergence.plateau_drop": 1, "optimizer.lr": 1e-9}, "--json").report
    assert (report["step"], report["diverged"]) == (12, False)


def assert_finite_checkpoints(outcome):
    for name in outcome.checkpoints():
        tensors, _ = safetensors_file.read(outcome.folder / name)
        for tensor_name, tensor in tensors.items():
            assert numpy.isfinite(tensor).all(), (name, tensor_name)


@pytest.mark.parametrize("stop", [True, False])
# With 1e30 the loss is not finite after the first update, and with 1e39, too large for float32, neither are the weights.
@pytest.mark.parametrize("lr", [1e30, 1e39])
def test_numbers_that_are_not_finite_end_the_run_cleanly_and_never_reach_a_checkpoint(train, lr, stop):
    changes = {
        **{"optimizer.lr": lr, "schedule.warmup": 0, "checkpoint.every": 1, "checkpoint.keep": 99},
        **{"divergence.stop": stop, "probe.every": 1, "probe.sequences": 1, "probe.max_iterations": 20},
        **{"validation.every": 1, "steps": 4},
    }
    outcome = train(changes)
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout.startswith("diverged: loss or gradient norm became non-finite at step 2")
    run = outcome.run
    assert run.attributes["finished"] == 1
    steps = run.datasets["/train/step"].tolist()
    assert steps == ([1, 2] if stop else [1, 2, 3, 4])
    assert numpy.isfinite(losses(run)[0])
    assert_finite_checkpoints(outcome)
    # Probes of weights that are not finite, or overflow, are not numbers and cost at most one product each.
    norms = run.datasets["/probe/residual/spectral_norm"]
    assert numpy.isfinite(norms[0]).all()
    unknown = numpy.isnan(norms)
    if lr == 1e30:  # with 1e39, no probe of the weights that are not finite is made
        assert unknown[-1].all()
    assert (run.datasets["/probe/residual/converged"][unknown] == 0).all()
    assert (run.datasets["/probe/residual/iterations"][unknown] <= 1).all()
    assert "nan" not in outcome.stdout.replace("nanogpt", "")
    before = contents(outcome.folder)
    report = train.done(changes, "--resume", "--json").report
    assert report["divergence"] == "non_finite" and report["diverged_at"] == 2
    assert contents(outcome.folder) == before
