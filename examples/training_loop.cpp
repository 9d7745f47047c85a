// Follows the largest eigenvalue of the loss's Hessian during a custom training loop. Gradient descent with learning
// rate lr is stable only while lambda_max < 2 / lr; full-batch training increases lambda_max until it reaches this
// limit ("edge of stability", Cohen et al. 2021, arXiv 2103.00065).

#include <torch/torch.h>

#include <cmath>
#include <cstdio>

#include "hessian/hessian.h"

int main() {
  torch::manual_seed(0);
  torch::nn::Sequential net(torch::nn::Linear(4, 32), torch::nn::Tanh(), torch::nn::Linear(32, 1));
  const at::Tensor x = torch::randn({100, 4});
  const at::Tensor y = x.prod(1, /*keepdim=*/true);
  const auto loss = [&] { return torch::mse_loss(net->forward(x), y); };

  constexpr double lr = 0.1;
  torch::optim::SGD optimizer(net->parameters(), lr);
  bool converged = true;
  double lambda_max = 0;
  double first_loss = 0;
  double last_loss = 0;
  for (int step = 0; step <= 600; ++step) {
    if (step % 100 == 0) {
      // The operator belongs to the current weights: make a new one for each measurement.
      const auto H = hessian::hessian_of(loss, net->parameters());
      const auto top = hessian::largest_eigenpair(H, {.tolerance = 1e-3, .ends = hessian::Ends::upper});
      lambda_max = top.value;
      last_loss = H.value().item<double>();
      first_loss = step == 0 ? last_loss : first_loss;
      converged = converged && top.converged;
      std::printf("step %3d  loss %.4f  lambda_max %7.3f  2/lr %.1f\n", step, last_loss, lambda_max, 2 / lr);
    }
    optimizer.zero_grad();
    loss().backward();
    optimizer.step();
  }

  // The eigenvalue is the curvature along its eigenvector: check the last one by a second difference of the loss.
  const auto H = hessian::hessian_of(loss, net->parameters());
  const auto top = hessian::largest_eigenpair(H, {.tolerance = 1e-3, .ends = hessian::Ends::upper});
  const double middle = H.value().item<double>();
  const auto loss_after_move = [&](double distance) {
    const torch::NoGradGuard no_grad;
    const auto moves = H.split(distance * top.vector);
    auto parameters = net->parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].add_(moves[i]);
    }
    return loss().item<double>();
  };
  constexpr double h = 0.02;
  const double ahead = loss_after_move(h);
  const double behind = loss_after_move(-2 * h);
  const double curvature = (ahead - 2 * middle + behind) / (h * h);
  std::printf("curvature along the eigenvector %.3f, eigenvalue %.3f\n", curvature, top.value);
  const bool is_right = std::abs(curvature - top.value) < 0.05 * top.value;
  return converged && is_right && last_loss < first_loss && lambda_max < 1.2 * 2 / lr ? 0 : 1;
}
