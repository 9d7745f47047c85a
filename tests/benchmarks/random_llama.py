"""Writes a Hugging Face checkpoint in the shape of a large Llama, in bfloat16 with random weights, and random tokens.

Used to time probes of models that do not fit in memory, whose cost depends on the shapes only. The shapes are those of the
configurations published with Llama 3.2 1B and Llama 3.1 8B (Grattafiori et al. 2024, arXiv 2407.21783, table 3). The
frequencies of RoPE are not rescaled. FOLDER takes 2.5 or 16 GB.
"""

import argparse
import json
import pathlib
import sys

import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import safetensors_file  # noqa: E402  # next to the tests of the programs

SHAPES = {
    "1B": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "tie_word_embeddings": True},
    "8B": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "tie_word_embeddings": False},
}
N_HEADS = 32
N_KV_HEADS = 8
VOCABULARY = 128256
WEIGHT_RMS = 0.02


def config_of(size):
    shape = SHAPES[size]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **shape,
        "num_attention_heads": N_HEADS,
        "num_key_value_heads": N_KV_HEADS,
        "head_dim": shape["hidden_size"] // N_HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
    }


def shapes_of(config):
    """Returns the shapes of the weights by name."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    keys = N_KV_HEADS * config["head_dim"]
    shapes = {"model.embed_tokens.weight": (VOCABULARY, width)}
    for layer in range(config["num_hidden_layers"]):
        weights = {
            "input_layernorm": (width,),
            "self_attn.q_proj": (width, width),
            "self_attn.k_proj": (keys, width),
            "self_attn.v_proj": (keys, width),
            "self_attn.o_proj": (width, width),
            "post_attention_layernorm": (width,),
            "mlp.gate_proj": (inner, width),
            "mlp.up_proj": (inner, width),
            "mlp.down_proj": (width, inner),
        }
        shapes.update({f"model.layers.{layer}.{name}.weight": shape for name, shape in weights.items()})
    shapes["model.norm.weight"] = (width,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (VOCABULARY, width)
    return shapes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--size", choices=SHAPES, default="1B")
    parser.add_argument("--sequences", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64, help="of each sequence")
    options = parser.parse_args()
    random = numpy.random.default_rng(0)

    options.folder.mkdir(parents=True, exist_ok=True)
    config = config_of(options.size)
    (options.folder / "config.json").write_text(json.dumps(config, indent=2))
    shapes = shapes_of(config)

    def weight(name):
        if len(shapes[name]) == 1:  # a norm's gain
            return safetensors_file.as_bfloat16(numpy.ones(shapes[name], numpy.float32))
        # Uniform numbers are drawn five times as fast as normal ones.
        uniform = random.random(shapes[name], numpy.float32) - numpy.float32(0.5)
        return safetensors_file.as_bfloat16(uniform * numpy.float32(12**0.5 * WEIGHT_RMS))

    typed_shapes = {name: ("BF16", shape) for name, shape in shapes.items()}
    safetensors_file.write_in_turn(options.folder / "model.safetensors", typed_shapes, weight)
    ids = random.integers(0, VOCABULARY, (2, options.sequences, options.tokens))
    safetensors_file.write(options.folder / "tokens.safetensors", {"tokens": ids[0], "targets": ids[1]})


if __name__ == "__main__":
    main()
