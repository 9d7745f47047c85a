// The Hessian of any differentiable scalar: the loss of a torch::nn::Module with respect to its parameters. Computes the
// largest eigenvalue, the trace and the spectral density, none of which needs the matrix itself.

#include <torch/torch.h>

#include <cmath>
#include <cstdio>

#include "hessian/hessian.h"

int main() {
  torch::manual_seed(1);
  torch::nn::Sequential net(torch::nn::Linear(8, 16), torch::nn::Tanh(), torch::nn::Linear(16, 1));
  const at::Tensor x = torch::randn({64, 8});
  const at::Tensor y = x.square().sum(1, /*keepdim=*/true).sin();

  // One problem on all 161 parameters. The closure may compute anything that autograd can differentiate twice.
  const auto H = hessian::hessian_of([&] { return torch::mse_loss(net->forward(x), y); }, net->parameters());
  const auto top = hessian::largest_eigenpair(H, {.tolerance = 1e-4});
  std::printf("largest eigenvalue %.5f, residual norm %.1e after %ld products\n", top.value, top.residual_norm,
              static_cast<long>(top.iterations));
  // Its direction, with the shapes of the parameters.
  const auto direction = H.split(top.vector);
  std::printf("share of the first layer's weights in its eigenvector: %.0f %%\n",
              100 * direction.front().square().sum().item<double>());

  const auto trace = hessian::hutchinson_trace(H, {.samples = 200});
  std::printf("trace %.3f +- %.3f\n", trace.value.item<double>(), trace.standard_error.item<double>());

  const auto density = hessian::spectral_density(hessian::spectral_quadrature(H, {.samples = 4, .steps = 80}));
  const double mass = at::trapezoid(density.density.value, density.grid).item<double>();
  std::printf("density on [%.2f, %.2f], mass %.4f\n", density.grid.min().item<double>(),
              density.grid.max().item<double>(), mass);

  // The model is small enough to compare with its matrix.
  const at::Tensor matrix = hessian::to_dense(H)[0].to(at::kDouble);
  const double norm = at::linalg_eigvalsh(matrix).abs().max().item<double>();
  const bool top_is_right = top.converged && std::abs(std::abs(top.value) - norm) < 1e-3 * norm;
  const bool trace_is_right =
      std::abs(trace.value.item<double>() - matrix.trace().item<double>()) < 5 * trace.standard_error.item<double>();
  const bool density_is_right = std::abs(mass - 1) < 1e-2;
  return top_is_right && trace_is_right && density_is_right ? 0 : 1;
}
