#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace hessian {

/// Indices of some blocks of an operator, in any order, without repetition.
using BlockIndices = std::vector<int64_t>;

/// 0, 1, ..., count - 1.
BlockIndices all_blocks(int64_t count);

/// The rows of a tensor [S, ...] that belong to the blocks listed.
at::Tensor rows_of(const at::Tensor& all, const BlockIndices& blocks);

/// S independent square linear maps of one size, H_1 ... H_S: a block-diagonal operator that is applied to all of its
/// blocks, or to some, at once.
class LinearOperator {
 public:
  virtual ~LinearOperator() = default;

  /// Number of blocks S.
  virtual int64_t blocks() const = 0;
  /// Size n of one block.
  virtual int64_t dim() const = 0;
  /// Precision and device of the vectors that apply() takes and gives.
  virtual at::TensorOptions vector_options() const = 0;

  /// Products of every block with k vectors each.
  /// \param v  [S, k, n]
  /// \return   [S, k, n]
  /// \throws std::invalid_argument  for another shape, precision or device
  at::Tensor apply(const at::Tensor& v) const;

  /// Products of the blocks listed.
  /// \param v  [blocks.size(), k, n], in the order of `blocks`
  /// \return   the same shape
  /// \throws std::invalid_argument  for another shape, or for a block out of range
  at::Tensor apply(const at::Tensor& v, const BlockIndices& blocks) const;

 protected:
  LinearOperator() = default;
  LinearOperator(const LinearOperator&) = default;
  LinearOperator& operator=(const LinearOperator&) = default;

 private:
  virtual at::Tensor do_apply(const at::Tensor& v, const BlockIndices& blocks) const = 0;
};

}  // namespace hessian
