"""Tiny models of every family and norm placement, in the format of the programs' own checkpoints."""

import json

import numpy

import safetensors_file

FAMILIES = ("gpt2", "llama2", "llama3")
PLACEMENTS = ("prenorm", "preqknorm", "simplegpt", "postnorm", "sandwich", "reordered")
# The other families, each with its own placement and with what is peculiar to it at this size.
OTHERS = {
    "mistral": {"n_kv_heads": 2, "window": 3},
    "qwen2": {"n_kv_heads": 2, "qkv_bias": True},
    "qwen3": {"n_kv_heads": 2, "head_dim": 6, "qk_norm": "head"},
    "olmo2": {"norm": "reordered", "qk_norm": "width"},
    "pythia": {
        **{"rotated_dim": 2, "parallel": True, "activation": "gelu"},
        **{"qkv_bias": True, "out_bias": True, "ffn_bias": True, "norm_bias": True},
    },
    "gemma2": {
        **{"norm": "sandwich", "n_kv_heads": 2, "head_dim": 6, "window": 2, "query_scalar": 5, "tied_head": True},
        **{"attention_cap": 1.5, "logit_cap": 3},
    },
    "gemma3": {
        **{"norm": "sandwich", "n_kv_heads": 2, "head_dim": 6, "window": 3, "window_pattern": "wf", "tied_head": True},
        **{"qk_norm": "head", "rope_scaling": {"type": "linear", "factor": 8}},
    },
    "phi3": {"window": 4},
    "smollm3": {"n_kv_heads": 2, "rope_pattern": "rn", "tied_head": True},
}
# Every family and every placement.
MODELS = [(family, placement) for family in FAMILIES for placement in PLACEMENTS] + [
    (family, changes.get("norm", "prenorm")) for family, changes in OTHERS.items()
]


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
        **OTHERS.get(family, {}),
    }
    config.update(changes)
    return config


def head_dim(config):
    return config.get("head_dim", config["dim"] // config["n_heads"])


def layer_shapes(config):
    """Returns the shapes of the parameters of one layer, by their names without the prefix."""
    dim, hidden = config["dim"], config["ffn_hidden_dim"]
    width, kv_width = head_dim(config) * config["n_heads"], head_dim(config) * config["n_kv_heads"]
    maps = {"wq": (width, dim), "wk": (kv_width, dim), "wv": (kv_width, dim), "wo": (dim, width)}
    maps.update({"w1": (hidden, dim), "w2": (dim, hidden)})
    if config["family"] not in ("gpt2", "pythia"):
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
        if config.get("qkv_bias" if name[1] in "qkv" else "out_bias" if name == "wo" else "ffn_bias"):
            shapes[f"{part}.{name}.bias"] = shape[:1]
    if config.get("qk_norm") == "head":
        shapes["attention.q_norm.weight"] = shapes["attention.k_norm.weight"] = (head_dim(config),)
    elif config.get("qk_norm") == "width" or placement == "preqknorm":
        shapes["attention.q_norm.weight"] = (width,)
        shapes["attention.k_norm.weight"] = (kv_width,)
    norms = {
        "simplegpt": [],
        "reordered": ["attention_post_norm", "ffn_post_norm"],
        "sandwich": ["attention_norm", "ffn_norm", "attention_post_norm", "ffn_post_norm"],
    }.get(placement, ["attention_norm", "ffn_norm"])
    for norm in norms:
        shapes[f"{norm}.weight"] = (dim,)
        if config.get("norm_bias"):
            shapes[f"{norm}.bias"] = (dim,)
    return shapes


def shapes_of(config):
    dim, vocab = config["dim"], config["vocab_size"]
    shapes = {"tok_embeddings.weight": (vocab, dim), "norm.weight": (dim,)}
    if config.get("norm_bias"):
        shapes["norm.bias"] = (dim,)
    if config["family"] == "gpt2":
        shapes["pos_embeddings.weight"] = (config["max_seq_len"], dim)
    elif not config.get("tied_head"):
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
            # Gemma stores its gains minus 1.
            tensors[name] = noise / 10 + (0 if name.endswith(".bias") or config["family"].startswith("gemma") else 1)
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
