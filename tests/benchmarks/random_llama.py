"""Writes a Hugging Face checkpoint of the shape of a large Llama in bfloat16, with random weights, and random tokens.

For probes of models that do not fit into memory: their cost depends on the shape alone. The shapes are those of the
configurations published with Llama 3.2 1B and Llama 3.1 8B (Grattafiori et al. 2024, arXiv 2407.21783, table 3). RoPE's
frequencies are not rescaled. FOLDER takes 2.5 or 16 GB.
"""

import argparse
import json
import pathlib
import struct

import numpy

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


def tensors_of(config):
    """Names and shapes."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    keys = N_KV_HEADS * config["head_dim"]
    tensors = {"model.embed_tokens.weight": (VOCABULARY, width)}
    for layer in range(config["num_hidden_layers"]):
        block = {
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
        tensors.update({f"model.layers.{layer}.{name}.weight": shape for name, shape in block.items()})
    tensors["model.norm.weight"] = (width,)
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = (VOCABULARY, width)
    return tensors


def bfloat16(numbers):
    """The upper halves of float32 numbers, rounded."""
    return ((numbers.view(numpy.uint32) + 0x8000) >> 16).astype(numpy.uint16)


def write_safetensors(path, dtype, shapes, values):
    """Writes tensors of one type one after the other; only one at a time is held."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + int(numpy.prod(shape)) * (2 if dtype == "BF16" else 8)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that numbers are aligned, and can be used where the file is mapped
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            file.write(values(shape).tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--size", choices=SHAPES, default="1B")
    parser.add_argument("--sequences", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64, help="of a sequence")
    options = parser.parse_args()
    random = numpy.random.default_rng(0)

    def weights(shape):
        if len(shape) == 1:  # a norm's gain
            return bfloat16(numpy.ones(shape, numpy.float32))
        # Of equal density, which is drawn five times as fast as a normal one.
        return bfloat16((random.random(shape, numpy.float32) - numpy.float32(0.5)) * numpy.float32(12**0.5 * WEIGHT_RMS))

    options.folder.mkdir(parents=True, exist_ok=True)
    config = config_of(options.size)
    (options.folder / "config.json").write_text(json.dumps(config, indent=2))
    write_safetensors(options.folder / "model.safetensors", "BF16", tensors_of(config), weights)
    rows = (options.sequences, options.tokens)
    write_safetensors(
        options.folder / "tokens.safetensors",
        "I64",
        {"tokens": rows, "targets": rows},
        lambda shape: random.integers(0, VOCABULARY, shape),
    )


if __name__ == "__main__":
    main()
