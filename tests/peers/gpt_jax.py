"""The model of gpt.py in jax.numpy. The weights are a dictionary with the names of this project's checkpoints."""

import jax
import jax.numpy as jnp

from gpt import NORM_EPS, ROPE_THETA


def rms_norm(weights, name, x):
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + NORM_EPS) * weights[f"{name}.weight"]


def stream_norm(architecture, weights, name, x):
    """Applies the norm of the residual stream in this family."""
    if architecture.family != "gpt2":
        return rms_norm(weights, name, x)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.var(x, axis=-1, keepdims=True) + NORM_EPS) * weights[f"{name}.weight"]


def linear(architecture, weights, prefix, key, x):
    if architecture.norm == "simplegpt":
        return rms_norm(weights, f"{prefix}.sn{key}.norm", x @ weights[f"{prefix}.sn{key}.lin.weight"].T)
    return x @ weights[f"{prefix}.w{key}.weight"].T


def rotate(x):
    tokens, width = x.shape[1], x.shape[-1]
    angles = jnp.outer(jnp.arange(tokens), ROPE_THETA ** (-jnp.arange(0, width, 2) / width))[:, None]
    even, odd = x[..., ::2], x[..., 1::2]
    turned = (even * jnp.cos(angles) - odd * jnp.sin(angles), even * jnp.sin(angles) + odd * jnp.cos(angles))
    return jnp.stack(turned, axis=-1).reshape(x.shape)


def attention(architecture, weights, prefix, x):
    q, k, v = (linear(architecture, weights, prefix, key, x) for key in "qkv")
    if architecture.norm == "preqknorm":
        q, k = rms_norm(weights, f"{prefix}.q_norm", q), rms_norm(weights, f"{prefix}.k_norm", k)
    q, k, v = (t.reshape(*t.shape[:2], architecture.n_heads, -1) for t in (q, k, v))
    if architecture.family != "gpt2":
        q, k = rotate(q), rotate(k)
    mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    return linear(architecture, weights, prefix, "o", mixed.reshape(x.shape))


def feed_forward(architecture, weights, prefix, x):
    inner = linear(architecture, weights, prefix, "1", x)
    if architecture.family == "gpt2":
        inner = jax.nn.gelu(inner, approximate=False)
    else:
        inner = jax.nn.silu(inner) * linear(architecture, weights, prefix, "3", x)
    return linear(architecture, weights, prefix, "2", inner)


def apply_layer(architecture, weights, layer, x):
    bare = architecture.norm == "simplegpt"
    prefix = f"layers.{layer}"
    a = x if bare else stream_norm(architecture, weights, f"{prefix}.attention_norm", x)
    x = x + attention(architecture, weights, f"{prefix}.attention", a)
    b = x if bare else stream_norm(architecture, weights, f"{prefix}.ffn_norm", x)
    return x + feed_forward(architecture, weights, f"{prefix}.feed_forward", b)


def embed(weights, tokens):
    x = weights["tok_embeddings.weight"][tokens]
    return x + weights["pos_embeddings.weight"][: tokens.shape[1]] if "pos_embeddings.weight" in weights else x


def mean_loss(architecture, weights, x, layer, targets):
    """Returns the mean cross-entropy of all tokens in nats, given the residual before this layer."""
    for later in range(layer, architecture.n_layers):
        x = apply_layer(architecture, weights, later, x)
    head = "output.weight" if "output.weight" in weights else "tok_embeddings.weight"
    logits = stream_norm(architecture, weights, "norm", x) @ weights[head].T
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=-1))
