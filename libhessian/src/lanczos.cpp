#include "hessian/lanczos.h"

#include <c10/core/GradMode.h>

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace hessian {
namespace {

/// Ritz values (ascending) of a block and the coordinates of its Ritz vectors in the basis.
struct RitzPairs {
  Eigen::VectorXd values;
  Eigen::MatrixXd coordinates;

  double spectral_norm() const { return std::max(std::abs(values[0]), std::abs(values[values.size() - 1])); }

  /// Whether the residual norms of the ends sought, beta |last coordinate|, are small enough.
  bool converged(Ends ends, double beta, double tolerance) const {
    const Eigen::Index last = values.size() - 1;
    const double lower = beta * std::abs(coordinates(last, 0));
    const double upper = beta * std::abs(coordinates(last, last));
    const double limit = tolerance * spectral_norm();
    if (ends != Ends::dominant) {
      return upper <= limit && (ends == Ends::upper || lower <= limit);
    }
    // The other end must be known well enough to be the smaller one.
    const bool upper_leads = std::abs(values[last]) >= std::abs(values[0]);
    const double other = upper_leads ? std::abs(values[0]) + lower : std::abs(values[last]) + upper;
    return (upper_leads ? upper : lower) <= limit && other <= spectral_norm() + limit;
  }
};

/// The blocks that still iterate, as one batch. H V = V T + beta v_next e_m^T holds for each, with T the projection V^T
/// H V: tridiagonal at first, with an arrow at its head after a restart. Only its lower triangle is kept.
class ActiveBatch {
 public:
  ActiveBatch(const LinearOperator& op, const LanczosOptions& options, int64_t max_basis)
      : op_(op), max_basis_(max_basis), blocks_(all_blocks(op.blocks())) {
    next_ = start_vectors(op, options);
    basis_ = at::empty({size(), max_basis, op.dim()}, op.vector_options());
    projections_.assign(blocks_.size(), Eigen::MatrixXd::Zero(max_basis, max_basis));
    betas_.assign(blocks_.size(), 0.0);
  }

  bool empty() const { return blocks_.empty(); }
  int64_t size() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t basis_size() const { return basis_size_; }
  int64_t block(int64_t i) const { return blocks_[static_cast<std::size_t>(i)]; }
  double beta(int64_t i) const { return betas_[static_cast<std::size_t>(i)]; }
  bool full() const { return basis_size_ == max_basis_; }

  /// One product: takes the next vector into the basis and finds the one after it.
  void extend() {
    basis_.select(1, basis_size_).copy_(next_);
    ++basis_size_;
    at::Tensor w = op_.apply(next_.unsqueeze(1), blocks_).transpose(1, 2);
    const at::Tensor basis = basis_.narrow(1, 0, basis_size_);
    // Classical Gram-Schmidt twice is as good as modified Gram-Schmidt, and runs as matrix products (Giraud et al.
    // 2005).
    at::Tensor coefficients = at::bmm(basis, w);
    w = w - at::bmm(basis.transpose(1, 2), coefficients);
    const at::Tensor correction = at::bmm(basis, w);
    w = w - at::bmm(basis.transpose(1, 2), correction);
    coefficients = (coefficients + correction).squeeze(2).to(at::kCPU, at::kDouble).contiguous();

    w = w.squeeze(2);
    const at::Tensor norms = w.norm(2, 1, true);
    next_ = w / norms.clamp_min(std::numeric_limits<float>::min());
    const at::Tensor beta = norms.to(at::kCPU, at::kDouble).contiguous();
    const auto rows = coefficients.accessor<double, 2>();
    for (int64_t i = 0; i < size(); ++i) {
      Eigen::MatrixXd& projection = projections_[static_cast<std::size_t>(i)];
      for (int64_t j = 0; j < basis_size_; ++j) {
        projection(basis_size_ - 1, j) = rows[i][j];
      }
      betas_[static_cast<std::size_t>(i)] = beta.data_ptr<double>()[i];
    }
  }

  RitzPairs ritz_pairs(int64_t i) const {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
        projections_[static_cast<std::size_t>(i)].topLeftCorner(basis_size_, basis_size_));
    return {solver.eigenvalues(), solver.eigenvectors()};
  }

  /// Basis vectors times coordinates.
  at::Tensor ritz_vector(int64_t i, const Eigen::VectorXd& coordinates) const {
    const at::Tensor weights = at::tensor(at::ArrayRef<double>(coordinates.data(), coordinates.size()), at::kDouble);
    const at::Tensor vector = at::mv(basis_[i].narrow(0, 0, basis_size_).t(), weights.to(basis_.options()));
    return vector / vector.norm();
  }

  /// Keeps only the blocks at the places listed, which ascend. Moves them up where they are: a copy would take as much
  /// memory again.
  void keep(const BlockIndices& places) {
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto from = static_cast<std::size_t>(places[i]);
      if (from == i) {
        continue;
      }
      next_[static_cast<int64_t>(i)].copy_(next_[places[i]]);
      basis_[static_cast<int64_t>(i)].narrow(0, 0, basis_size_).copy_(basis_[places[i]].narrow(0, 0, basis_size_));
      blocks_[i] = blocks_[from];
      betas_[i] = betas_[from];
      std::swap(projections_[i], projections_[from]);
    }
    const auto count = static_cast<int64_t>(places.size());
    next_ = next_.narrow(0, 0, count);
    basis_ = basis_.narrow(0, 0, count);
    blocks_.resize(places.size());
    betas_.resize(places.size());
    projections_.resize(places.size());
  }

  /// Thick restart: the basis becomes the Ritz vectors of both ends, a quarter of the basis from each.
  void restart(const std::vector<RitzPairs>& pairs) {
    const int64_t kept_a_side = max_basis_ / 4;
    const int64_t kept = 2 * kept_a_side;
    at::Tensor rotation = at::empty({size(), kept, basis_size_}, at::kDouble);
    for (int64_t i = 0; i < size(); ++i) {
      const RitzPairs& ritz = pairs[static_cast<std::size_t>(i)];
      Eigen::MatrixXd& projection = projections_[static_cast<std::size_t>(i)];
      projection.setZero();
      for (int64_t j = 0; j < kept; ++j) {
        const int64_t column = j < kept_a_side ? j : basis_size_ - kept + j;
        projection(j, j) = ritz.values[column];
        std::copy_n(ritz.coordinates.col(column).data(), basis_size_, rotation[i][j].data_ptr<double>());
      }
    }
    // In parts of the coordinates, so that old and new vectors are never both held whole.
    rotation = rotation.to(basis_.options());
    const int64_t part = std::max<int64_t>(1, op_.dim() / 16);
    for (int64_t first = 0; first < op_.dim(); first += part) {
      const at::Tensor columns = basis_.narrow(2, first, std::min(part, op_.dim() - first));
      columns.narrow(1, 0, kept).copy_(at::bmm(rotation, columns.narrow(1, 0, basis_size_)));
    }
    basis_size_ = kept;
  }

 private:
  const LinearOperator& op_;
  int64_t max_basis_;
  int64_t basis_size_ = 0;
  BlockIndices blocks_;
  at::Tensor next_;   // [A, n]
  at::Tensor basis_;  // [A, max_basis, n]
  std::vector<Eigen::MatrixXd> projections_;
  std::vector<double> betas_;
};

void store(const ActiveBatch& batch, int64_t i, const RitzPairs& ritz, int64_t iteration, ExtremalEigenvalues& result) {
  const int64_t block = batch.block(i);
  const Eigen::Index last = ritz.values.size() - 1;
  result.lambda_max[block] = ritz.values[last];
  result.lambda_min[block] = ritz.values[0];
  result.vector_max[block].copy_(batch.ritz_vector(i, ritz.coordinates.col(last)));
  result.vector_min[block].copy_(batch.ritz_vector(i, ritz.coordinates.col(0)));
  result.iterations[block] = static_cast<int32_t>(iteration);
}

}  // namespace

ExtremalEigenvalues lanczos(const LinearOperator& op, const LanczosOptions& options) {
  check_eigensolver_arguments(op, options);
  const int64_t max_basis = std::min(options.max_basis, op.dim());
  if (max_basis < std::min<int64_t>(8, op.dim())) {
    throw std::invalid_argument("the basis has " + std::to_string(options.max_basis) +
                                " vectors; it must have 8 at least");
  }
  const c10::NoGradGuard no_grad;
  // A next vector this small beside the spectral norm is rounding error: the basis spans an invariant subspace.
  const double breakdown =
      10 * (op.vector_options().dtype() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                       : static_cast<double>(std::numeric_limits<float>::epsilon()));

  ExtremalEigenvalues result = unknown_ends(op);
  // The random start of an operator close to a multiple of the identity is nearly an eigenvector, though of no extreme
  // eigenvalue: a few more products show the ends.
  constexpr int64_t fewest_iterations = 8;
  std::optional<ActiveBatch> basis(std::in_place, op, options, std::min(max_basis, options.max_iterations));
  ActiveBatch& batch = *basis;
  int64_t next_check = 1;
  for (int64_t iteration = 1; !batch.empty(); ++iteration) {
    batch.extend();
    const bool last = iteration == options.max_iterations;
    if (!batch.full() && !last && iteration < next_check) {
      continue;
    }
    // Small eigenproblems grow as m^3: look at every iteration at first, at every tenth part of them later.
    next_check = iteration + 1 + batch.basis_size() / 10;

    BlockIndices unfinished;
    std::vector<RitzPairs> unfinished_pairs;
    for (int64_t i = 0; i < batch.size(); ++i) {
      RitzPairs ritz = batch.ritz_pairs(i);
      const double norm = ritz.spectral_norm();
      const bool converged =
          iteration >= fewest_iterations && ritz.converged(options.ends, batch.beta(i), options.tolerance);
      const bool invariant = batch.beta(i) <= breakdown * norm || batch.basis_size() == op.dim();
      if (converged || invariant || last) {
        store(batch, i, ritz, iteration, result);
      } else {
        unfinished.push_back(i);
        unfinished_pairs.push_back(std::move(ritz));
      }
    }
    if (static_cast<int64_t>(unfinished.size()) < batch.size()) {
      batch.keep(unfinished);
    }
    if (!batch.empty() && batch.full()) {
      batch.restart(unfinished_pairs);
    }
  }
  basis.reset();  // the products of the residuals need its memory
  verify_residuals(op, options, result);
  return result;
}

}  // namespace hessian
