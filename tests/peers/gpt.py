"""The GPTs of this project as a PyTorch module, with the parameter names of its checkpoints."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-5
ROPE_THETA = 10000.0


@dataclass(frozen=True)
class Architecture:
    """The keys of a checkpoint's configuration in which the models here differ."""

    family: str  # gpt2 or llama2
    norm: str  # prenorm, preqknorm or simplegpt
    dim: int
    n_layers: int
    n_heads: int
    ffn_hidden_dim: int
    vocab_size: int
    max_seq_len: int


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, NORM_EPS)


def stream_norm(architecture):
    """Returns the norm of the residual stream in this family."""
    if architecture.family == "gpt2":
        return nn.LayerNorm(architecture.dim, eps=NORM_EPS, bias=False)
    return RMSNorm(architecture.dim)


class SimpleNorm(nn.Module):
    """A linear map followed by RMSNorm."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.lin = nn.Linear(inputs, outputs, bias=False)
        self.norm = RMSNorm(outputs)

    def forward(self, x):
        return self.norm(self.lin(x))


def add_maps(module, placement, shapes):
    """Adds linear maps to a module, named w1 or, in SimpleNorm models, sn1; returns them by their names without w or sn."""
    maps = {}
    for key, (inputs, outputs) in shapes.items():
        simple = placement == "simplegpt"
        maps[key] = SimpleNorm(inputs, outputs) if simple else nn.Linear(inputs, outputs, bias=False)
        module.add_module(("sn" if simple else "w") + key, maps[key])
    return maps


class Attention(nn.Module):
    def __init__(self, architecture):
        super().__init__()
        dim = architecture.dim
        self.heads = architecture.n_heads
        self.maps = add_maps(self, architecture.norm, {key: (dim, dim) for key in "qkvo"})
        normed = architecture.norm == "preqknorm"
        self.q_norm, self.k_norm = (RMSNorm(dim) if normed else nn.Identity() for _ in range(2))

    def rotate(self, x, table):
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * table[: x.shape[1], None]).flatten(-2).type_as(x)

    def forward(self, x, table):
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (self.maps[key](x) for key in "qkv")
        q, k, v = self.q_norm(q).view(shape), self.k_norm(k).view(shape), v.view(shape)
        if table is not None:
            q, k = self.rotate(q, table), self.rotate(k, table)
        mixed = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v)), is_causal=True)
        return self.maps["o"](mixed.transpose(1, 2).reshape(x.shape))


class FeedForward(nn.Module):
    silu = staticmethod(F.silu)

    def __init__(self, architecture):
        super().__init__()
        dim, ffn = architecture.dim, architecture.ffn_hidden_dim
        shapes = {"1": (dim, ffn), "2": (ffn, dim)}
        if architecture.family != "gpt2":
            shapes["3"] = (dim, ffn)
        self.maps = add_maps(self, architecture.norm, shapes)

    def forward(self, x):
        inner = self.maps["1"](x)
        inner = self.silu(inner) * self.maps["3"](x) if "3" in self.maps else F.gelu(inner)
        return self.maps["2"](inner)


class Layer(nn.Module):
    def __init__(self, architecture):
        super().__init__()
        self.attention = Attention(architecture)
        self.feed_forward = FeedForward(architecture)
        bare = architecture.norm == "simplegpt"
        self.attention_norm, self.ffn_norm = (nn.Identity() if bare else stream_norm(architecture) for _ in range(2))

    def forward(self, x, table):
        x = x + self.attention(self.attention_norm(x), table)
        return x + self.feed_forward(self.ffn_norm(x))


class Gpt(nn.Module):
    """Maps tokens [S, T] to logits [S, T, vocab]."""

    def __init__(self, architecture):
        super().__init__()
        a = architecture
        self.tok_embeddings = nn.Embedding(a.vocab_size, a.dim)
        self.pos_embeddings = nn.Embedding(a.max_seq_len, a.dim) if a.family == "gpt2" else None
        self.layers = nn.ModuleList(Layer(a) for _ in range(a.n_layers))
        self.norm = stream_norm(a)
        self.output = nn.Linear(a.dim, a.vocab_size, bias=False) if a.family != "gpt2" else None  # gpt2's is tied
        table = None
        if a.family != "gpt2":
            width = a.dim // a.n_heads
            frequencies = ROPE_THETA ** (-torch.arange(0, width, 2) / width)
            angles = torch.outer(torch.arange(a.max_seq_len), frequencies)
            table = torch.polar(torch.ones_like(angles), angles)
        self.register_buffer("table", table, persistent=False)  # moves with the parameters, but is in no checkpoint

    def embed(self, tokens):
        x = self.tok_embeddings(tokens)
        return x if self.pos_embeddings is None else x + self.pos_embeddings.weight[: tokens.shape[1]]

    def before(self, layer, tokens):
        """Returns the residual before this layer, or before the final norm."""
        x = self.embed(tokens)
        for earlier in self.layers[:layer]:
            x = earlier(x, self.table)
        return x

    def logits(self, x, layer=0):
        """Computes the logits from the residual before this layer."""
        for later in self.layers[layer:]:
            x = later(x, self.table)
        head = self.tok_embeddings if self.output is None else self.output
        return F.linear(self.norm(x), head.weight)

    def forward(self, tokens):
        return self.logits(self.embed(tokens))


def mean_loss(logits, targets):
    """Returns the mean cross-entropy of all tokens, in nats."""
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
