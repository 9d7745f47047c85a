"""Computes a dense activation Hessian from losses only: the reference of test_spectra.py.

The residual before layer 0 is the embedding of a sequence's tokens. A model with additional tokens, whose embeddings are those of
the sequence moved by a step along one or two coordinates, therefore gives the losses for central second differences.
"""

import itertools
import json

import numpy

import safetensors_file
import tiny_models

STEP = 2.0**-11  # embeddings are rounded to multiples of it, so that steps are exact, also in float32
DIM, LENGTH = 8, 2
SIZE = DIM * LENGTH
FIRST = 3  # tokens that are not moved


class Problem:
    """A model, its one sequence, and the sequences of moved tokens."""

    def __init__(self, folder, placement):
        self.ids = {}
        places = list(itertools.combinations_with_replacement(range(SIZE), 2))
        self.places = places
        rows = [self._moved(i, a, j, b) for i, j in places for a, b in itertools.product((1, -1), repeat=2)]
        config = tiny_models.configuration(
            placement=placement, dim=DIM, n_heads=2, n_kv_heads=2, ffn_hidden_dim=12, vocab_size=FIRST + len(self.ids)
        )
        tensors = tiny_models.draw(config)
        table = numpy.round(tensors["tok_embeddings.weight"] / STEP) * STEP
        for (position, step), token in self.ids.items():
            table[token] = table[position] + STEP * numpy.array(step)
        tensors["tok_embeddings.weight"] = table.astype("float32")
        self.model = folder / "moved.safetensors"
        safetensors_file.write(self.model, tensors, {"config": json.dumps(config)})
        self.sequence = self._write(folder / "sequence.safetensors", [[0, 1]])
        self.moved = self._write(folder / "moved-tokens.safetensors", rows)

    def _moved(self, i, a, j, b):
        """Returns the tokens of the sequence with coordinate i moved by a steps and coordinate j by b."""
        step = numpy.zeros((LENGTH, DIM), dtype=int)
        step[i // DIM, i % DIM] += a
        step[j // DIM, j % DIM] += b
        row = []
        for position in range(LENGTH):
            key = (position, tuple(step[position].tolist()))
            row.append(self.ids.setdefault(key, FIRST + len(self.ids)) if any(key[1]) else position)
        return row

    @staticmethod
    def _write(path, rows):
        tokens = numpy.array(rows, dtype=numpy.int64)
        safetensors_file.write(path, {"tokens": tokens, "targets": numpy.full_like(tokens, 2)})
        return path

    def hessian(self, losses):
        """Computes H from the losses of the moved sequences: (f(++) - f(+-) - f(-+) + f(--)) / 4 h^2. The error is O(h^2)."""
        differences = numpy.asarray(losses).reshape(-1, 4) @ [1, -1, -1, 1] / (4 * STEP**2)
        dense = numpy.zeros((SIZE, SIZE))
        for (i, j), value in zip(self.places, differences):
            dense[i, j] = dense[j, i] = value
        return dense
