#pragma once

namespace hessian {

/// What stands for the second derivative of a loss l(z(w)) with respect to the parameters w, with J = dz/dw the
/// derivative of the logits z, p = softmax(z), e_y the unit vector of the label y, and g = dl/dz = p - e_y.
enum class Curvature {
  /// d2l/dw2 itself.
  hessian,
  /// J^T (diag(p) - p p^T) J: the generalised Gauss-Newton matrix, positive semidefinite. The Hessian less the sum over
  /// logits of g_i d2z_i/dw2. It does not depend on the labels, and is the Fisher information of the model's own softmax.
  /// Source: Schraudolph (2002), Fast curvature matrix-vector products, Neural Computation 14(7).
  gauss_newton,
  /// J^T g g^T J, one term for each token: with the true labels the empirical Fisher matrix, with labels that are drawn
  /// from p an unbiased estimate of the Fisher information.
  /// Source: Kunstner, Balles & Hennig (2019), arXiv 1905.12558.
  fisher,
};

}  // namespace hessian
