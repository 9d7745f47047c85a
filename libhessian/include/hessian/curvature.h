#pragma once

namespace hessian {

/// The curvature matrix of a loss l(z(w)) with respect to the parameters w. J = dz/dw is the derivative of the logits z
/// that softmax reads (with a soft cap, the capped ones), p = softmax(z), e_y the unit vector of the label y, and
/// g = dl/dz = p - e_y.
enum class Curvature {
  /// d2l/dw2.
  hessian,
  /// J^T (diag(p) - p p^T) J: the generalised Gauss-Newton matrix, positive semidefinite. Equals the Hessian minus the sum
  /// over logits of g_i d2z_i/dw2. Does not depend on the labels, and is the Fisher information of the model's softmax.
  /// Source: Schraudolph (2002), Fast curvature matrix-vector products, Neural Computation 14(7).
  gauss_newton,
  /// J^T g g^T J, one term per token. With the true labels this is the empirical Fisher matrix; with labels drawn from p,
  /// an unbiased estimate of the Fisher information.
  /// Source: Kunstner, Balles & Hennig (2019), arXiv 1905.12558.
  fisher,
};

}  // namespace hessian
