#include "eigensolvers/krylov_batch.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "linalg/orthogonalise.h"

namespace hessian {
namespace {

at::Tensor on_host(const at::Tensor& numbers) {
  return numbers.to(at::kCPU, at::kDouble).contiguous();
}

}  // namespace

double RitzPairs::spectral_norm() const {
  return std::max(std::abs(values[0]), std::abs(values[values.size() - 1]));
}

KrylovBatch::KrylovBatch(const LinearOperator& op, int64_t width, int64_t max_basis, ProblemSeeds seeds,
                         uint64_t stream)
    : op_(op),
      block_width_(width),
      max_basis_(max_basis),
      seeds_(std::move(seeds)),
      problems_(all_problems(op.problems())),
      states_(problems_.size()) {
  basis_ = at::empty({size(), max_basis + width, op.dim()}, op.vector_options());
  for (State& state : states_) {
    state.projection.setZero(max_basis, max_basis);
    state.next_stream = stream + static_cast<uint64_t>(width);
    state.polynomials = KrylovPolynomials(op.dim());
  }
  take_first(width, stream);
}

void KrylovBatch::take_first(int64_t width, uint64_t stream) {
  basis_.select(1, 0).copy_(random_unit_vectors(op_, seeds_, stream));
  for (width_ = 1; width_ < width; ++width_) {
    const at::Tensor vectors = random_unit_vectors(op_, seeds_, stream + static_cast<uint64_t>(width_));
    const at::Tensor remainder = orthogonalise(basis_.narrow(1, 0, width_), vectors.unsqueeze(1)).remainder.squeeze(1);
    basis_.select(1, width_).copy_(remainder / remainder.norm(2, 1, true));
  }
}

/// Draws a random unit vector orthogonal to the rows of `known`, [1, m, n]. If they span nearly all dimensions, the first
/// round leaves a short vector with large relative errors, which the second round removes.
at::Tensor KrylovBatch::fresh_direction(int64_t i, const at::Tensor& known) {
  State& state = states_[static_cast<std::size_t>(i)];
  auto generator = problem_generator(seeds_, problem(i), state.next_stream++);
  at::Tensor v = at::randn({1, 1, op_.dim()}, generator, at::dtype(at::kDouble)).to(basis_.options());
  for (int round = 0; round < 2; ++round) {
    v = v / v.norm();
    v = orthogonalise(known, v).remainder;
  }
  return (v / v.norm()).view({op_.dim()});
}

void KrylovBatch::extend() {
  const at::Tensor products = op_.apply(basis_.narrow(1, basis_size_, width_).contiguous(), problems_);
  const int64_t taken = width_;
  const int64_t first_row = basis_size_;
  basis_size_ += taken;
  const int64_t room = std::min(block_width_, op_.dim() - basis_size_);
  for (State& state : states_) {
    state.coupling.setZero(room, taken);
  }
  // Orthogonalises all products against the basis at once, then each against the next vectors found before it.
  const Orthogonalised split = orthogonalise(basis_.narrow(1, 0, basis_size_), products);
  const at::Tensor remainder = split.remainder.contiguous();
  const at::Tensor coefficients = on_host(split.coefficients);
  width_ = 0;
  for (int64_t j = 0; j < taken; ++j) {
    for (int64_t i = 0; i < size(); ++i) {
      const Eigen::Map<const Eigen::VectorXd> row(coefficients[i][j].data_ptr<double>(), basis_size_);
      State& state = states_[static_cast<std::size_t>(i)];
      state.projection.row(first_row + j).head(basis_size_) = row;
      if (block_width_ == 1) {
        state.asymmetry += (row.head(first_row) - state.expected).squaredNorm();
        state.expected.setZero(basis_size_);
      }
    }
    take_next(remainder.select(1, j), j, width_ < room);
  }
}

/// Adds the remainder w [A, n] of product j to the next vectors, orthogonalised against those found before it, if there is
/// room for one more; records its coefficients in any case.
void KrylovBatch::take_next(at::Tensor w, int64_t j, bool has_room) {
  const at::Tensor norms_outside = on_host(w.norm(2, 1));
  at::Tensor norms = norms_outside;
  if (width_ > 0) {
    const Orthogonalised split = orthogonalise(basis_.narrow(1, basis_size_, width_), w.unsqueeze(1));
    w = split.remainder.squeeze(1);
    norms = on_host(w.norm(2, 1));
    const at::Tensor coefficients = on_host(split.coefficients);
    for (int64_t i = 0; i < size(); ++i) {
      const Eigen::Map<const Eigen::VectorXd> row(coefficients[i].data_ptr<double>(), width_);
      states_[static_cast<std::size_t>(i)].coupling.col(j).head(width_) = row;
    }
    // If little remains, rounding errors along the basis are no longer small relative to it: remove them again.
    if (has_room && (norms < 0.1 * norms_outside).any().item<bool>()) {
      w = orthogonalise(basis_.narrow(1, 0, basis_size_ + width_), w.unsqueeze(1)).remainder.squeeze(1);
      norms = on_host(w.norm(2, 1));
    }
  }
  const at::Tensor known = basis_.narrow(1, 0, basis_size_ + width_);
  if (has_room) {
    const at::Tensor safe = norms.clamp_min(std::numeric_limits<float>::min()).to(w.options()).unsqueeze(1);
    basis_.select(1, basis_size_ + width_).copy_(w / safe);
  }
  for (int64_t i = 0; i < size(); ++i) {
    State& state = states_[static_cast<std::size_t>(i)];
    const double norm = norms.data_ptr<double>()[i];
    const double inside = state.projection.row(basis_size_ - state.coupling.cols() + j).head(basis_size_).norm();
    state.largest_product = std::max(state.largest_product, std::hypot(inside, norms_outside.data_ptr<double>()[i]));
    if (has_room) {
      state.coupling(width_, j) = norm;
      const double rounding = rounding_level(basis_.options()) * state.largest_product;
      const bool is_exhausted = norm <= rounding;
      if (is_exhausted) {
        basis_[i][basis_size_ + width_].copy_(fresh_direction(i, known.narrow(0, i, 1)));
      }
      if (block_width_ == 1) {
        state.expected[basis_size_ - 1] = is_exhausted ? 0 : norm;
        state.polynomials.add_product(state.projection.row(basis_size_ - 1).head(basis_size_).transpose(),
                                      std::max(norm, rounding));
        if (is_exhausted) {
          state.polynomials.add_start();
        }
      }
    }
  }
  width_ += has_room ? 1 : 0;
}

bool KrylovBatch::finite(int64_t i) const {
  const State& state = states_[static_cast<std::size_t>(i)];
  const Eigen::Index taken = state.coupling.cols();
  return state.projection.middleRows(basis_size_ - taken, taken).leftCols(basis_size_).allFinite() &&
         state.coupling.allFinite();
}

RitzPairs KrylovBatch::ritz_pairs(int64_t i) const {
  const State& state = states_[static_cast<std::size_t>(i)];
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(state.projection.topLeftCorner(basis_size_, basis_size_));
  RitzPairs ritz{solver.eigenvalues(), solver.eigenvectors(), {}};
  ritz.residuals = (state.coupling * ritz.coordinates.bottomRows(state.coupling.cols())).colwise().norm().transpose();
  return ritz;
}

bool KrylovBatch::invariant(int64_t i, const RitzPairs& ritz) const {
  return basis_size_ == op_.dim() || states_[static_cast<std::size_t>(i)].coupling.norm() <=
                                         rounding_level(basis_.options()) * ritz.spectral_norm();
}

bool KrylovBatch::exhausted(int64_t i) const {
  const State& state = states_[static_cast<std::size_t>(i)];
  return state.coupling.norm() <= rounding_level(basis_.options()) * state.largest_product;
}

at::Tensor KrylovBatch::ritz_vectors(int64_t i, const RitzPairs& ritz, const RitzColumns& columns) const {
  at::Tensor weights = at::empty({static_cast<int64_t>(columns.size()), basis_size_}, at::kDouble);
  for (std::size_t row = 0; row < columns.size(); ++row) {
    std::copy_n(ritz.coordinates.col(columns[row]).data(), basis_size_,
                weights[static_cast<int64_t>(row)].data_ptr<double>());
  }
  const at::Tensor vectors = at::mm(weights.to(basis_.options()), basis_[i].narrow(0, 0, basis_size_));
  return vectors / vectors.norm(2, 1, true);
}

void KrylovBatch::keep(const ProblemIndices& places) {
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto from = static_cast<std::size_t>(places[i]);
    if (from == i) {
      continue;
    }
    const int64_t rows = basis_size_ + width_;
    basis_[static_cast<int64_t>(i)].narrow(0, 0, rows).copy_(basis_[places[i]].narrow(0, 0, rows));
    problems_[i] = problems_[from];
    std::swap(states_[i], states_[from]);
  }
  basis_ = basis_.narrow(0, 0, static_cast<int64_t>(places.size()));
  problems_.resize(places.size());
  states_.resize(places.size());
}

void KrylovBatch::restart(const std::vector<RitzPairs>& pairs, const std::vector<RitzColumns>& columns) {
  if (empty()) {
    return;
  }
  const auto kept = static_cast<int64_t>(columns[0].size());
  at::Tensor rotation = at::empty({size(), kept, basis_size_}, at::kDouble);
  for (int64_t i = 0; i < size(); ++i) {
    const RitzPairs& ritz = pairs[static_cast<std::size_t>(i)];
    Eigen::MatrixXd& projection = states_[static_cast<std::size_t>(i)].projection;
    projection.setZero();
    for (int64_t j = 0; j < kept; ++j) {
      const Eigen::Index column = columns[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
      projection(j, j) = ritz.values[column];
      std::copy_n(ritz.coordinates.col(column).data(), basis_size_, rotation[i][j].data_ptr<double>());
    }
    if (block_width_ == 1) {
      const Eigen::Map<const Eigen::MatrixXd> columns_kept(rotation[i].data_ptr<double>(), basis_size_, kept);
      State& state = states_[static_cast<std::size_t>(i)];
      state.polynomials.add_restart(columns_kept);
      state.expected = state.coupling(0, 0) * columns_kept.row(basis_size_ - 1).transpose();
    }
  }
  // One range of coordinates after the other, so that old and new vectors never both exist in full.
  rotation = rotation.to(basis_.options());
  const int64_t chunk = std::max<int64_t>(1, op_.dim() / 16);
  for (int64_t first = 0; first < op_.dim(); first += chunk) {
    const at::Tensor coordinates = basis_.narrow(2, first, std::min(chunk, op_.dim() - first));
    coordinates.narrow(1, 0, kept).copy_(at::bmm(rotation, coordinates.narrow(1, 0, basis_size_)));
  }
  basis_.narrow(1, kept, width_).copy_(basis_.narrow(1, basis_size_, width_).clone());
  basis_size_ = kept;
}

}  // namespace hessian
