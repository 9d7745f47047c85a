"""Hessian-vector products of other tools for PyTorch, each used as its documentation recommends. JAX is in contender_jax.py."""

from dataclasses import dataclass

import curvlinops
import hessian_eigenthings
import numpy
import pyhessian
import torch
from curvlinops.experimental.activation_hessian import ActivationHessianLinearOperator
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

import gpt

# The fused attention kernels have no second derivative.
torch.backends.cuda.enable_flash_sdp(False)
torch.backends.cuda.enable_mem_efficient_sdp(False)


class Tail(nn.Module):
    """The network from one layer on, with the residual before it as its only parameter, for tools that differentiate only with
    respect to parameters. Its input is ignored."""

    def __init__(self, model, layer, residual):
        super().__init__()
        self.residual = nn.Parameter(residual)
        self.logits = lambda: model.logits(self.residual, layer)  # a lambda, so that the module does not own the model's parameters

    def forward(self, _):
        return self.logits()


class Loss(nn.Module):
    """Mean cross-entropy times a factor. Its reduction is called `sum`, since tools that read it do not rescale a sum."""

    reduction = "sum"

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, logits, targets):
        return self.factor * gpt.mean_loss(logits, targets)


@dataclass
class Problem:
    """A loss, and the variables of its Hessian: the residual before a layer, or all parameters if no layer is given."""

    architecture: gpt.Architecture
    model: gpt.Gpt
    tokens: torch.Tensor
    targets: torch.Tensor
    layer: int | None = None

    def __post_init__(self):
        self.loss = Loss(1)
        self.module = self.model
        if self.layer is not None:
            # The Hessian of the sum of the losses with respect to the residuals is block diagonal, with one block per sequence.
            self.loss = Loss(len(self.tokens))
            with torch.no_grad():
                residual = self.model.before(self.layer, self.tokens)
            self.module = Tail(self.model, self.layer, residual)
            self.model.requires_grad_(False)
        self.names, self.point = map(list, zip(*self.module.named_parameters()))

    def flat(self, tensors):
        return torch.cat([tensor.reshape(-1) for tensor in tensors])

    def unflat(self, vector):
        parts = vector.split([p.numel() for p in self.point])
        return [part.view_as(p) for part, p in zip(parts, self.point)]


class Contender:
    """An operator for a problem. A vector is a list of tensors, one per parameter; prepare() may convert it."""

    ladder = (1e-3, 3e-4, 1e-4, 3e-5)  # settings of the solver, from loose to tight; here ARPACK's tolerance

    def __init__(self, problem):
        self.problem = problem

    @classmethod
    def prepare(cls, problem, vectors):
        """Converts several vectors to the form that apply() takes."""
        return vectors

    def product(self, vector):
        raise NotImplementedError

    def apply(self, vectors):
        return [self.product(vector) for vector in vectors]

    def results(self, products):
        """Converts the result of apply() to a list of vectors."""
        return products

    def solve(self, setting):
        """Returns the flattened eigenvector of the eigenvalue of largest magnitude."""
        problem = self.problem

        def matvec(v):
            vectors = self.prepare(problem, [problem.unflat(torch.from_numpy(v.astype(numpy.float32).ravel()))])
            return problem.flat(self.results(self.apply(vectors))[0]).detach().numpy()

        n = sum(p.numel() for p in problem.point)
        start = torch.randn(n).numpy()
        return torch.from_numpy(
            eigsh(LinearOperator((n, n), matvec, dtype=numpy.float32), k=1, which="LM", tol=setting, v0=start)[1][:, 0]
        )


class DoubleBackward(Contender):
    """torch.autograd.grad of a gradient, whose graph is kept for all products."""

    def __init__(self, problem):
        super().__init__(problem)
        loss = problem.loss(problem.module(problem.tokens), problem.targets)
        self.gradient = torch.autograd.grad(loss, problem.point, create_graph=True)

    def product(self, vector):
        return torch.autograd.grad(self.gradient, self.problem.point, vector, retain_graph=True)


class PyHessian(Contender):
    """Double backward with the graph kept. Its power iteration stops when the eigenvalue changes little."""

    ladder = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 0.0)
    max_products = 300

    def __init__(self, problem):
        super().__init__(problem)
        self.hessian = pyhessian.hessian(problem.module, problem.loss, data=(problem.tokens, problem.targets), cuda=False)

    def product(self, vector):
        return pyhessian.hessian_vector_product(self.hessian.gradsH, self.hessian.params, vector)

    def solve(self, setting):
        return self.problem.flat(self.hessian.eigenvalues(maxIter=self.max_products, tol=setting)[1][0])


class EigenthingsAutograd(Contender):
    """Double backward with a new graph for each product. Its Lanczos makes a fixed number of products."""

    method = "autograd"
    ladder = (10, 20, 30, 40, 50, 75, 100, 150)  # products; it does not reorthogonalise beyond 50

    def __init__(self, problem):
        super().__init__(problem)
        loss = hessian_eigenthings.supervised_loss(problem.loss)
        data = [(problem.tokens, problem.targets)]
        self.hessian = hessian_eigenthings.HessianOperator(problem.module, data, loss, method=self.method)

    @classmethod
    def prepare(cls, problem, vectors):
        return [problem.flat(vector) for vector in vectors]

    def product(self, vector):
        return self.hessian.matvec(vector)

    def results(self, products):
        return [self.problem.unflat(product) for product in products]

    def solve(self, setting):
        return hessian_eigenthings.lanczos(self.hessian, k=1, max_iter=setting, which="LM", seed=0).eigenvectors[0]


class EigenthingsFiniteDifference(EigenthingsAutograd):
    """Central differences of the gradient with the default step. Small residuals need other steps, which solve() tries."""

    method = "finite_difference"
    ladder = ((20, 5e-3), (30, 5e-3), (30, 5e-2), (40, 5e-2), (30, 5e-1), (40, 5e-1))  # products, and the step

    def solve(self, setting):
        products, self.hessian.fd_eps = setting
        return super().solve(products)


class Curvlinops(Contender):
    """Activations: double backward twice, with one graph of the gradient for the vectors of a call. Parameters: forward over
    reverse with vmap. Each call starts from the tokens. The check for determinism, two gradients and products, is turned off."""

    def __init__(self, problem):
        super().__init__(problem)
        model, loss, data = problem.model, problem.loss, [(problem.tokens, problem.targets)]
        if problem.layer is None:
            # curvlinops' forward mode runs without autograd, in which PyTorch's silu has a backward that cannot be differentiated.
            gpt.FeedForward.silu = staticmethod(lambda x: x * torch.sigmoid(x))
            self.hessian = curvlinops.HessianLinearOperator(model, loss, problem.point, data, check_deterministic=False)
        else:
            model.tok_embeddings.requires_grad_()  # the graph with the activation needs a leaf that requires gradients
            place = f"layers.{problem.layer}" if problem.layer < len(model.layers) else "norm"
            self.hessian = ActivationHessianLinearOperator(model, loss, (place, "input", 0), data, check_deterministic=False)

    @classmethod
    def prepare(cls, problem, vectors):
        return [torch.stack(parts, -1) for parts in zip(*vectors)]

    def apply(self, vectors):
        return self.hessian @ vectors

    def results(self, products):
        return list(zip(*(part.unbind(-1) for part in products)))
