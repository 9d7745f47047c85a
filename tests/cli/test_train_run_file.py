"""The run file and the checkpoints of hessian-train: their contents, recomputed from the checkpoints of each step."""

import datetime
import json
import math
import re

import numpy
import pytest

import safetensors_file
import tiny_models
from probe_runs import OF_ROWS, OF_SEQUENCES
from programs import program
from test_run_file import UNITS as PROBE_UNITS
from test_run_file import parse_toml
from train_runs import SMALL, assert_same_run

STEPS, WARMUP = SMALL["steps"], SMALL["schedule.warmup"]
UNITS = {
    **{"step": "steps", "tokens": "tokens", "loss": "nats", "lr": "1", "grad_norm": "1", "step_seconds": "s"},
    **{"tokens_per_second": "1/s", "val_step": "steps", "val_loss": "nats", "update_step": "steps"},
    **{"update_rms": "1", "parameter_rms": "1", "update_group": "1"},
}
INTEGERS = ("step", "tokens", "val_step", "update_step")
# Keeps a checkpoint of every step in float64, from which the logged numbers can be recomputed.
EVERY_STEP = {"dtype": "float64", "checkpoint.every": 1, "checkpoint.keep": 99}


def train_column(run, name):
    return run.datasets["/train/" + name]


def parameters(outcome, step):
    """Returns the weights of a checkpoint, without the training state."""
    tensors, _ = outcome.checkpoint(step)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(("optimizer.", "generator."))}


def group_of(name):
    return re.sub(r"^layers\.\d+\.", "", name)


def rms(tensors):
    return numpy.sqrt(sum((t.astype("f8") ** 2).sum() for t in tensors) / sum(t.size for t in tensors))


def norm_of_update(outcome, step):
    before, after = parameters(outcome, step - 1), parameters(outcome, step)
    return math.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in before))


def test_holds_a_row_for_each_step_and_every_dataset_of_the_format(train):
    run = train.done({"data.accumulation": 3, "probe.every": 6, "probe.sequences": 2}).run
    groups = 12
    shapes = {name: (STEPS,) for name in list(UNITS)[:7]}
    shapes.update(val_step=(3,), val_loss=(3,), update_step=(3,), update_group=(groups,))
    shapes.update(update_rms=(3, groups), parameter_rms=(3, groups))
    expected = {f"/train/{name}": shape for name, shape in shapes.items()}
    expected.update({"/probe/step": (3,), "/probe/loss": (3, 2), "/probe/layer/residual": (3,)})
    bounds = ("lambda_max_upper", "lambda_min_lower")
    expected.update({f"/probe/residual/{name}": (3, 3, 2) for name in (*OF_SEQUENCES, *bounds)})
    expected.update({f"/probe/residual/{name}": (3, 3) for name in OF_ROWS})
    assert {path: values.shape for path, values in run.datasets.items()} == expected

    for path, values in run.datasets.items():
        attributes = run.dataset_attributes[path]
        assert isinstance(attributes["long_name"], str) and len(attributes["long_name"]) > 3, path
        name = path.split("/")[-1]
        if path.startswith("/train/"):
            assert attributes["units"] == UNITS[name], path
            if name != "update_group":
                assert values.dtype == ("<i8" if name in INTEGERS else "<f8"), path
        else:
            units = "1" if "/layer/" in path else PROBE_UNITS.get(path, PROBE_UNITS.get(name))
            assert attributes["units"] == units, path
        if values.dtype.kind == "f":
            assert numpy.isfinite(values).all(), path
    assert train_column(run, "step").tolist() == list(range(1, STEPS + 1))
    # 3 passes with 2 sequences of 16 tokens.
    assert train_column(run, "tokens").tolist() == [96 * step for step in range(1, STEPS + 1)]
    assert train_column(run, "val_step").tolist() == [5, 10, 12]
    assert train_column(run, "update_step").tolist() == [5, 10, 12]
    assert run["step"].tolist() == [0, 6, 12]
    seconds = train_column(run, "step_seconds")
    assert (seconds > 0).all()
    assert train_column(run, "tokens_per_second") == pytest.approx(96 / seconds, rel=1e-12)


def test_has_no_datasets_of_quantities_that_are_not_requested(train):
    run = train.done({"log.update_every": 0, "validation.every": 0}).run
    assert set(run.datasets) == {f"/train/{name}" for name in list(UNITS)[:9]}
    assert train_column(run, "val_step").size == train_column(run, "val_loss").size == 0


def multipliers(name, steps, warmup, decay=None, final=0.0):
    """Returns learning rates by the definitions of the schedules, independently of the program."""
    for s in range(steps):
        p = (s - warmup) / (steps - warmup)
        if s < warmup:
            yield (s + 1) / (warmup + 1)
        elif name == "linear":
            yield final + (1 - final) * (1 - p)
        elif name == "cosine":
            yield final + (1 - final) * (1 + math.cos(math.pi * p)) / 2
        elif name == "wsd":
            yield 1 if s < steps - decay else final + (1 - final) * (steps - s) / decay
        else:
            yield 1


@pytest.mark.parametrize(
    "schedule, changes",
    [
        (("linear", 12, 3), {}),
        (("linear", 12, 0), {"schedule.warmup": 0}),
        (("linear", 12, 11), {"schedule.warmup": 11}),
        (("cosine", 12, 3, None, 0.1), {"schedule.name": "cosine", "schedule.final_fraction": 0.1}),
        (("constant", 12, 3), {"schedule.name": "constant"}),
        (("wsd", 12, 3, 4, 0.25), {"schedule.name": "wsd", "schedule.decay": 4, "schedule.final_fraction": 0.25}),
    ],
)
def test_the_learning_rate_follows_its_schedule(train, schedule, changes):
    lr = train_column(train.done({"optimizer.lr": 0.0625, **changes}).run, "lr")
    # The same operations in float64 in another order.
    assert lr == pytest.approx([0.0625 * m for m in multipliers(*schedule)], rel=1e-13)


def test_update_and_parameter_rms_are_those_of_the_checkpoints(train):
    outcome = train.done({**EVERY_STEP, "log.update_every": 3})
    run = outcome.run
    groups = [name.decode() for name in train_column(run, "update_group")]
    assert sorted(groups) == sorted({group_of(name) for name in parameters(outcome, 1)})
    assert train_column(run, "update_step").tolist() == [3, 6, 9, 12]
    for row, step in enumerate((3, 6, 9, 12)):
        before, after = parameters(outcome, step - 1), parameters(outcome, step)
        for column, group in enumerate(groups):
            members = [name for name in before if group_of(name) == group]
            assert len(members) == (2 if any(name.startswith("layers.") for name in members) else 1)
            update = rms([after[name] - before[name] for name in members])
            # Both sides are in float64.
            assert train_column(run, "update_rms")[row, column] == pytest.approx(update, rel=1e-10)
            assert train_column(run, "parameter_rms")[row, column] == pytest.approx(
                rms([before[name] for name in members]), rel=1e-10
            )


@pytest.mark.parametrize("clip", [0.25, 0])
def test_plain_sgd_moves_by_the_learning_rate_times_the_clipped_gradient_norm(train, clip):
    outcome = train.done(
        {
            **{**EVERY_STEP, "optimizer.name": "sgd", "optimizer.momentum": 0, "optimizer.weight_decay": 0},
            **{"optimizer.clip": clip, "optimizer.lr": 0.1, "steps": 4, "schedule.warmup": 0},
        }
    )
    lr, norms = train_column(outcome.run, "lr"), train_column(outcome.run, "grad_norm")
    assert (norms > 0.25).all()  # so that the gradients are clipped
    for step in range(2, 5):
        expected = lr[step - 1] * (clip or norms[step - 1])
        # Clipping divides by the norm plus 1e-6.
        assert norm_of_update(outcome, step) == pytest.approx(expected, rel=1e-5)


def test_the_first_update_of_adamw_has_the_size_of_the_learning_rate_for_every_nonzero_gradient(train):
    # The bias corrections turn m = (1-b1) g and v = (1-b2) g^2 into g and g^2, so the update is lr sign(g).
    changes = {
        **{"optimizer.weight_decay": 0, "optimizer.eps": 0, "optimizer.lr": 0.01, "schedule.warmup": 0},
        **{"log.update_every": 1, "dtype": "float64", "steps": 2},
    }
    run = train.done(changes).run
    groups = [name.decode() for name in train_column(run, "update_group")]
    update = dict(zip(groups, train_column(run, "update_rms")[0], strict=True))
    assert update["attention.wq.weight"] == pytest.approx(0.01, rel=1e-6)
    assert update["feed_forward.w2.weight"] == pytest.approx(0.01, rel=1e-6)


def test_weight_decay_for_matrices_does_not_change_vectors(train):
    # With the gradient clipped to almost zero, SGD's update is only the decay.
    changes = {
        **{"optimizer.name": "sgd", "optimizer.momentum": 0, "optimizer.clip": 1e-12, "optimizer.weight_decay": 0.5},
        **{"optimizer.lr": 0.1, "schedule.warmup": 0, "log.update_every": 1, "dtype": "float64", "steps": 1},
    }
    for decay, shrinks in (("all", 0.05), ("matrices", 0)):
        run = train.done({**changes, "optimizer.decay": decay}).run
        groups = [name.decode() for name in train_column(run, "update_group")]
        ratios = train_column(run, "update_rms")[0] / train_column(run, "parameter_rms")[0]
        for group, ratio in zip(groups, ratios, strict=True):
            expected = shrinks if "norm" in group else 0.05
            assert ratio == pytest.approx(expected, rel=1e-9, abs=1e-10), (decay, group)


def test_accumulation_equals_a_larger_batch(train):
    changes = {"dtype": "float64"}
    whole = train.done({**changes, "data.batch_size": 4}).run
    parts = train.done({**changes, "data.batch_size": 2, "data.accumulation": 2}).run
    for name in ("loss", "grad_norm", "val_loss", "update_rms", "tokens"):
        # Sums of float64 in another order, over twelve updates.
        assert train_column(parts, name) == pytest.approx(train_column(whole, name), rel=1e-9), name


@pytest.mark.parametrize("name, least, most", [("llama2-20M-prenorm", 0.2, 0.8), ("gpt2-10M-prenorm", -0.05, 0.1)])
def test_a_fresh_model_starts_near_the_loss_of_a_uniform_guess(train, name, least, most):
    changes = {"model.name": f"new:{name}", "data.batch_size": 16}
    loss = train_column(train.done(changes).run, "loss")[0]
    # Llama's untied head with rows of unit RMS costs half a nat, GPT-2's with deviation 0.02 almost nothing.
    assert least < loss - math.log(256) < most


def test_training_learns(train):
    run = train.done({"steps": 300, "validation.every": 300, "data.batch_size": 4, "optimizer.lr": 0.01}).run
    loss = train_column(run, "loss")
    # The frequencies of the letters give a byte model about 3 nats.
    assert loss[-20:].mean() < 3.0 < 5 < loss[0]
    assert train_column(run, "val_loss")[-1] == pytest.approx(loss[-20:].mean(), abs=0.4)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(train):
    changes = {"probe.every": 12, "probe.sequences": 1}
    first = train.done(changes)
    run, last = first.run, (first.folder / "checkpoint-00000012.safetensors").read_bytes()
    again = train.done(changes)
    assert_same_run(again.run, run)
    assert (again.folder / "checkpoint-00000012.safetensors").read_bytes() == last
    other = train.done({**changes, "seed": 1}).run
    assert (train_column(other, "loss") != train_column(run, "loss")).all()
    assert (other["residual/lambda_max"][0] != run["residual/lambda_max"][0]).all()


def test_root_attributes_describe_the_run(train):
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    attributes = train.done({"seed": 11}, "--set", "optimizer.lr=2e-3").run.attributes
    after = datetime.datetime.now(datetime.timezone.utc)
    assert set(attributes) == {
        *("format", "format_version", "program", "command_line", "git_commit", "created", "seed", "device", "dtype"),
        *("version", "libtorch", "cuda", "config", "model", "data", "finished", "peak_memory_bytes"),
    }
    assert (attributes["format"], attributes["format_version"], attributes["program"]) == (
        *("hessian-run", 1, "hessian-train"),
    )
    assert attributes["finished"] == 1 and attributes["peak_memory_bytes"] > 0
    assert attributes["command_line"].endswith("hessian-train run.toml --set optimizer.lr=2e-3 --overwrite")
    created = datetime.datetime.strptime(attributes["created"], "%Y-%m-%dT%H:%M:%SZ")
    assert before <= created.replace(tzinfo=datetime.timezone.utc) <= after
    assert attributes["seed"] == 11 and attributes["dtype"] == "float32" and attributes["device"].startswith("cpu")
    model = json.loads(attributes["model"])
    assert (model["family"], model["norm"], model["dim"], model["n_layers"], model["vocab_size"]) == (
        *("llama2", "prenorm", 16, 2, 256),
    )


def test_the_recorded_configuration_holds_every_key(train):
    keys = train.execute([program("hessian-train"), "--keys"])
    assert keys.status == 0
    defaults = {}
    for line in keys.stdout.splitlines():
        name, value = re.fullmatch(r"  (\S+) .*?  \[(.*)\]", line).groups()
        defaults[name] = parse_toml(f"x = {value}")["x"]
    assert len(defaults) > 40 and set(SMALL) < set(defaults)
    changes = {"optimizer.eps": 3e-9, "probe.sites": ["ffn_in", "residual"], "divergence.stop": False, "threads": 2}
    config = parse_toml(train.done(changes).run.attributes["config"])
    flat = {}
    for name, value in config.items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        flat.update({f"{name}.{key}".strip("."): one for key, one in inner})
    assert flat == {**defaults, **SMALL, **changes}


def test_the_recorded_configuration_repeats_the_run(train):
    run = train.done({"optimizer.lr": 0.1 + 0.2, "schedule.name": "cosine"}).run
    assert_same_run(train.done(run.attributes["config"]).run, run)


def test_settings_override_the_file_and_later_ones_override_earlier_ones(train):
    run = train.done({"steps": 9}, "--set", "steps=5", "--set", "steps=4", "--set", "optimizer.name=sgd").run
    assert train_column(run, "step").tolist() == [1, 2, 3, 4]
    config = parse_toml(run.attributes["config"])
    assert config["steps"] == 4 and config["optimizer"]["name"] == "sgd"


@pytest.mark.parametrize("setting, section, key, value", [
    ("probe.layers=1", "probe", "layers", "1"),
    ("probe.layers='0-1'", "probe", "layers", "0-1"),
    ("divergence.stop=false", "divergence", "stop", False),
    ("probe.sites=['ffn_in', 'residual']", "probe", "sites", ["ffn_in", "residual"]),
])  # fmt: skip
def test_settings_are_read_with_the_type_of_their_key(train, setting, section, key, value):
    config = parse_toml(train.done({}, "--set", setting).run.attributes["config"])
    assert config[section][key] == value and type(config[section][key]) is type(value)


def test_the_output_folder_is_named_after_the_configuration_unless_it_is_given(train):
    assert train.done({"out": None}).folder == train.folder / "run"
    elsewhere = train.done({"out": "a/deeper folder"})
    assert elsewhere.run.attributes["finished"] == 1
    assert (train.folder / "run" / "run.h5").exists()


@pytest.mark.parametrize("keep, names", [(1, [12]), (3, [8, 10, 12]), (99, [2, 4, 6, 8, 10, 12])])
def test_the_last_checkpoints_are_kept(train, keep, names):
    outcome = train.done({"checkpoint.every": 2, "checkpoint.keep": keep})
    assert outcome.checkpoints() == [f"checkpoint-{step:08}.safetensors" for step in names]
    for step in names:
        assert outcome.checkpoint(step)[1]["step"] == str(step)


def test_no_checkpoints_are_written_if_none_are_requested(train):
    outcome = train.done({"checkpoint.every": 0})
    assert [path.name for path in outcome.folder.iterdir()] == ["run.h5"]
    assert "checkpoint" not in outcome.stdout


@pytest.mark.parametrize("name", ["new:llama2-20M-prenorm", "new:gpt2-10M-simplegpt"])
def test_hessian_probe_measures_a_checkpoint_as_the_trainer_did(train, probe, name):
    sites = ["residual", "ffn_in"]
    changes = {
        **{"model.name": name, "probe.every": 6, "probe.sites": sites, "probe.sequences": 3, "steps": 18},
        **{"probe.tolerance": 1e-4},
        **{"validation.every": 6, "validation.sequences": 3, "optimizer.lr": 0.01, "checkpoint.every": 6},
    }
    run = train.done(changes).run
    assert run["step"].tolist() == [0, 6, 12, 18]
    for row, step in ((2, 12), (3, 18)):
        measured = probe.run(
            *("--model", f"run/checkpoint-{step:08}.safetensors", "--data", "builtin", "--sequences", 3),
            *("--seq-len", 16, "--tol", "1e-4", "--certify", 0.05, "--ends", "both", "--seed", 0, "--site", ",".join(sites), "--device", "cpu"),
        )
        assert measured["step"].tolist() == [step]
        # The weights have other addresses in memory, which may change the order of sums in float32.
        assert run["loss"][row] == pytest.approx(measured["loss"][0], rel=1e-6)
        for site in sites:
            assert (run[f"layer/{site}"] == measured[f"layer/{site}"]).all()
            for quantity in (*OF_SEQUENCES[:3], *OF_ROWS):
                expected = measured[f"{site}/{quantity}"][0]
                assert run[f"{site}/{quantity}"][row] == pytest.approx(expected, rel=1e-4), (step, site, quantity)
            # The run has four probes, whose bounds hold together and so are a little wider.
            bounds, of_one_probe = run[f"{site}/norm_upper"][row], measured[f"{site}/norm_upper"][0]
            assert (run[f"{site}/spectral_norm"][row] <= bounds).all() and bounds == pytest.approx(of_one_probe, rel=0.05)
    # Validation uses the same sequences in other batches.
    assert train_column(run, "val_loss") == pytest.approx(run["loss"][1:].mean(axis=1), rel=1e-5)


def test_the_sharpness_is_measured_at_every_probe(train):
    changes = {"probe.every": 6, "probe.sharpness": True, "probe.sequences": 2, "probe.max_iterations": 500}
    outcome = train.done(changes)
    run = outcome.run
    plain = {path: values for path, values in run.datasets.items() if "sharpness" in path}
    assert plain and all(len(values) == 3 for values in plain.values())
    top = [values for path, values in plain.items() if path.endswith("lambda_max")]
    assert len(top) == 2
    bare, preconditioned = top if "precond" not in sorted(plain)[0] else top[::-1]
    # Before the first update there is no second moment for the preconditioner.
    finite = [numpy.isfinite(values).tolist() for values in (bare, preconditioned)]
    assert sorted(finite) == [[False, True, True], [True, True, True]]
    # All updates are within the window of the mean clip factor, and the limit of the norm is 1.
    norms = train_column(run, "grad_norm")
    factors = [numpy.minimum(1, 1 / (norms[:step] + 1e-6)).mean() for step in (6, 12)]
    assert numpy.isnan(run["preconditioned_sharpness/clip_factor"][0])
    assert run["preconditioned_sharpness/clip_factor"][1:] == pytest.approx(factors, rel=1e-12)
    # Letters that the first updates did not see are left out.
    left_out = run["preconditioned_sharpness/left_out"]
    assert left_out[0] == -1 and left_out[1] >= left_out[2] > 0
    # The head's parameters are enough to give the loss positive curvature.
    assert all((values[1:] > 0).all() for values in top)
    # An update has two sequences.
    title, rest, _, *rows = outcome.stdout[outcome.stdout.index("sharpness along training") :].splitlines()
    assert title.endswith("of the mean loss of 2 held-out sequences, and of") and "no update has moved" in rest
    assert rows[0].split() == ["0", f"{bare[0]:.3e}", "-", "-", "-"]
    for probe, row in enumerate(rows[1:], 1):
        expected = [f"{bare[probe]:.3e}", f"{preconditioned[probe]:.3e}", f"{factors[probe - 1]:.3f}", str(left_out[probe])]
        assert row.split()[1:] == expected
    assert not outcome.warnings()


def test_the_sharpness_is_that_of_as_many_sequences_as_an_update_has(train):
    base = {"steps": 2, "schedule.warmup": 1, "probe.every": 2, "probe.sharpness": True, "data.accumulation": 2, "dtype": "float64"}
    base |= {"probe.tolerance": 1e-9, "probe.max_iterations": 2000}
    found = {}
    for sequences in 0, 3, 4, 5:
        outcome = train.done({**base, "probe.sharpness_sequences": sequences})
        found[sequences] = outcome.run["sharpness/lambda_max"][0]
        few = ["probe.sharpness_sequences is 3, fewer than the 4 of an update: the sharpness of few sequences is biased upwards"]
        assert outcome.warnings() == (few if sequences == 3 else [])
    assert found[0] == found[4] and len(set(found.values())) == 3
    # The sequences of a probe do not matter.
    assert train.done({**base, "probe.sequences": 1}).run["sharpness/lambda_max"][0] == found[0]


def test_the_sharpness_refuses_more_sequences_than_are_held_out(train):
    tiny_models.write_tokens(train.folder / "rows.safetensors", 31, sequences=20, length=12)  # two are held out
    changes = {"data.source": "rows.safetensors", "data.seq_len": 12, "probe.every": 6, "probe.sharpness": True}
    changes |= {"probe.sequences": 2, "data.batch_size": 3}
    message = train.fails(1, changes)
    assert "holds out 2 of its 20 sequences, but 3 are asked for; give a smaller probe.sharpness_sequences" in message
    train.done({**changes, "probe.sharpness_sequences": 2})


def test_the_checkpoint_separates_the_weights_from_the_training_state(train):
    tensors, metadata = train.done({}).checkpoint(12)
    assert json.loads(metadata["config"])["dim"] == 16
    assert metadata["step"] == "12" and metadata["sequences_seen"] == "24"
    assert parse_toml(metadata["training_config"])["steps"] == 12
    weights = {name for name in tensors if not name.startswith(("optimizer.", "generator."))}
    for name in weights:
        assert tensors[f"optimizer.exp_avg.{name}"].shape == tensors[name].shape
        assert tensors[f"optimizer.exp_avg_sq.{name}"].shape == tensors[name].shape
    assert tensors["optimizer.updates"].tolist() == [12]
    assert safetensors_file.TYPES["F32"] == tensors["tok_embeddings.weight"].dtype.str
