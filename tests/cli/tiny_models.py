"""Tiny models of every family and norm placement, in the format of the programs' own checkpoints."""

import json

import numpy

import safetensors_file

FAMILIES = ("gpt2", "llama2", "llama3")
PLACEMENTS = ("prenorm", "preqknorm", "simplegpt", "postnorm", "sandwich")


def configuration(family="llama2", placement="prenorm", **changes):
    config = {
        "family": family,
        "norm": placement,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 4,
        "n_kv_heads": 2 if family == "llama3" else 4,
        "ffn_hidden_dim": 24,
        "vocab_size": 31,
        "max_seq_len": 32,
    }
    config.update(changes)
    return config


def layer_shapes(config):
    """Returns the shapes of the parameters of one layer, by their names without the prefix."""
    dim, hidden = config["dim"], config["ffn_hidden_dim"]
    kv_width = dim // config["n_heads"] * config["n_kv_heads"]
    gpt2 = config["family"] == "gpt2"
    maps = {"wq": (dim, dim), "wk": (kv_width, dim), "wv": (kv_width, dim), "wo": (dim, dim)}
    maps.update({"w1": (hidden, dim), "w2": (dim, hidden)})
    if not gpt2:
        maps["w3"] = (hidden, dim)
    placement = config["norm"]
    shapes = {}
    for name, shape in maps.items():
        part = "attention" if name[1] in "qkvo" else "feed_forward"
        if placement == "simplegpt":
            shapes[f"{part}.sn{name[1]}.lin.weight"] = shape
            shapes[f"{part}.sn{name[1]}.norm.weight"] = shape[:1]
        else:
            shapes[f"{part}.{name}.weight"] = shape
    if placement == "preqknorm":
        shapes["attention.q_norm.weight"] = (dim,)
        shapes["attention.k_norm.weight"] = (kv_width,)
    if placement != "simplegpt":
        shapes["attention_norm.weight"] = shapes["ffn_norm.weight"] = (dim,)
    if placement == "sandwich":
        shapes["attention_post_norm.weight"] = shapes["ffn_post_norm.weight"] = (dim,)
    return shapes


def shapes_of(config):
    dim, vocab = config["dim"], config["vocab_size"]
    shapes = {"tok_embeddings.weight": (vocab, dim), "norm.weight": (dim,)}
    if config["family"] == "gpt2":
        shapes["pos_embeddings.weight"] = (config["max_seq_len"], dim)
    else:
        shapes["output.weight"] = (vocab, dim)
    for layer in range(config["n_layers"]):
        shapes.update({f"layers.{layer}.{name}": shape for name, shape in layer_shapes(config).items()})
    return shapes


def draw(config, seed=0):
    """Draws parameters whose maps preserve the scale of activations, so that curvature is neither tiny nor huge."""
    generator = numpy.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes_of(config).items():
        noise = generator.standard_normal(shape).astype("float32")
        if len(shape) == 1:
            tensors[name] = 1 + noise / 10
        else:
            tensors[name] = noise if "embeddings" in name else noise / numpy.float32(shape[1] ** 0.5)
    return tensors


def write(path, config, tensors=None):
    safetensors_file.write(path, tensors or draw(config), {"config": json.dumps(config)})
    return path


def write_tokens(path, vocab_size, sequences=2, length=6, seed=0):
    """Draws random tokens and their targets, [sequences, length] each."""
    ids = numpy.random.default_rng(seed).integers(0, vocab_size, (sequences, length + 1))
    safetensors_file.write(path, {"tokens": ids[:, :-1], "targets": ids[:, 1:]})
    return path
