"""The input of all contenders: a model, tokens and vectors, drawn from a seed and written as files that our programs can read."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy
import torch

from gpt import Architecture, Gpt

sys.path.append(str(Path(__file__).resolve().parents[1] / "cli"))
import safetensors_file  # noqa: E402  # next to the tests of the programs


def weight_std(name, shape, architecture):
    """Returns the standard deviation of a fresh weight, as in the official codes."""
    if "embeddings" in name:
        return 0.02 if architecture.family == "gpt2" else 1.0
    if name == "output.weight":
        return shape[1] ** -0.5
    layer = int(name.split(".")[1])
    depth = architecture.n_layers if architecture.family == "gpt2" else layer + 1
    key = name.removesuffix(".weight").removesuffix(".lin")[-1]
    narrow = key in ("o2" if architecture.family == "gpt2" else "o23")
    return 0.02 / (2 * depth) ** 0.5 if narrow else 0.02


def write(folder, architecture, sequences, tokens, vector_counts, seed=1):
    """Writes the model, tokens and vectors of norm 1.

    vector_counts: the numbers of vectors for "activation" and for "parameters".
    """
    generator = numpy.random.default_rng(seed)
    draw = lambda *shape: generator.standard_normal(shape, dtype=numpy.float32)
    shapes = {name: parameter.shape for name, parameter in Gpt(architecture).named_parameters()}
    weights = {
        name: numpy.ones(shape, numpy.float32)
        if len(shape) == 1
        else draw(*shape) * numpy.float32(weight_std(name, shape, architecture))
        for name, shape in shapes.items()
    }
    safetensors_file.write(folder / "model.safetensors", weights, {"config": json.dumps(asdict(architecture))})
    ids = generator.integers(0, architecture.vocab_size, (sequences, tokens + 1))
    safetensors_file.write(folder / "data.safetensors", {"tokens": ids[:, :-1], "targets": ids[:, 1:]})
    points = {"activation": {"residual": (sequences, tokens, architecture.dim)}, "parameters": shapes}
    for kind, count in vector_counts.items():
        vectors = {name: draw(count, *shape) for name, shape in points[kind].items()}
        norms = numpy.sqrt(sum(numpy.square(part).reshape(count, -1).sum(1) for part in vectors.values()))
        for part in vectors.values():
            part /= norms.reshape(-1, *(1 for _ in part.shape[1:]))
        safetensors_file.write(vectors_path(folder, kind), vectors)


def vectors_path(folder, kind):
    return folder / f"{kind}.safetensors"


def read_tensors(path):
    tensors, metadata = safetensors_file.read(path)
    return {name: torch.tensor(tensor) for name, tensor in tensors.items()}, metadata


def read_model(folder):
    tensors, metadata = read_tensors(folder / "model.safetensors")
    architecture = Architecture(**json.loads(metadata["config"]))
    model = Gpt(architecture)
    model.load_state_dict(tensors)
    return architecture, model


def read_batch(folder):
    """Reads tokens and targets, [S, T] each."""
    tensors, _ = read_tensors(folder / "data.safetensors")
    return tensors["tokens"], tensors["targets"]


def read_vectors(path):
    """Reads vectors by the names of the tensors that they belong to, [K, ...] each."""
    return read_tensors(path)[0]


def write_vectors(path, vectors):
    safetensors_file.write(Path(path), {name: tensor.cpu().numpy() for name, tensor in vectors.items()})
