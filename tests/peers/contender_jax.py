"""Hessian-vector products in JAX: the gradient is linearised once and the linear map compiled; several vectors use vmap."""

import jax
import numpy
import torch

import gpt_jax
from contenders import Contender


def loss(architecture, layer, weights, tokens, targets, point):
    if layer is None:
        return gpt_jax.mean_loss(architecture, point, gpt_jax.embed(point, tokens), 0, targets)
    return len(tokens) * gpt_jax.mean_loss(architecture, weights, point["residual"], layer, targets)


def linearised(architecture, layer, weights, tokens, targets, point):
    gradient = jax.grad(lambda moved: loss(architecture, layer, weights, tokens, targets, moved))
    return jax.linearize(gradient, point)[1]


# Compiled once per layer, for all sequences.
linearised = jax.jit(linearised, static_argnums=(0, 1))
product = jax.jit(lambda hessian, vector: hessian(vector))
products = jax.jit(lambda hessian, vectors: jax.vmap(hessian)(vectors))


def as_arrays(names, tensors):
    return {name: jax.numpy.asarray(tensor.detach().cpu().numpy()) for name, tensor in zip(names, tensors)}


class Jax(Contender):
    def __init__(self, problem):
        super().__init__(problem)
        weights = as_arrays(*zip(*problem.model.named_parameters()))
        point = weights if problem.layer is None else as_arrays(problem.names, problem.point)
        tokens, targets = (jax.numpy.asarray(ids.cpu().numpy()) for ids in (problem.tokens, problem.targets))
        self.hessian = linearised(problem.architecture, problem.layer, weights, tokens, targets, point)

    @classmethod
    def prepare(cls, problem, vectors):
        if len(vectors) == 1:
            return as_arrays(problem.names, vectors[0])
        return as_arrays(problem.names, [torch.stack(parts) for parts in zip(*vectors)])

    def apply(self, vectors):
        batched = vectors[self.problem.names[0]].ndim > self.problem.point[0].dim()
        return jax.block_until_ready((products if batched else product)(self.hessian, vectors))

    def results(self, products):
        arrays = [torch.from_numpy(numpy.array(products[name])) for name in self.problem.names]
        return list(zip(*(array.view(-1, *p.shape) for array, p in zip(arrays, self.problem.point))))
