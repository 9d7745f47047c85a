#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "hessian/curvature.h"
#include "hessian/linear_operator.h"
#include "hessian/parameter_problem.h"
#include "hessian/parameter_tape.h"

namespace hessian {

struct ParameterOperatorOptions {
  Curvature curvature = Curvature::hessian;
  /// For Curvature::fisher: number of labels drawn per token from the model's softmax; 0: use the targets.
  int64_t sampled_labels = 0;
  uint64_t seed = 0;  ///< seed of the sampled labels
  /// Sequences per microbatch; 0: all.
  int64_t sequences_at_once = 0;
  /// Memory limit in bytes for the tape of a microbatch and a product with it. The size of microbatches follows from
  /// measuring one and two sequences, and vectors are processed one after another. Ignored if sequences_at_once is set.
  std::optional<int64_t> memory_bytes = {};
  std::vector<ValueId> checkpoints = {};  ///< see Tape; empty: keep all intermediate values
};

/// The curvature of the mean loss of B sequences of T tokens with respect to parameters w of a program. The operator
/// has one problem, over all entries of w; products are computed by ParameterTape. With N = B T tokens, their losses
/// l_n(z_n), logits z_n, p_n = softmax(z_n) and J_n = dz_n/dw:
///
///   hessian        d2/dw2 (1/N) sum_n l_n
///   gauss_newton   (1/N) sum_n J_n^T (diag(p_n) - p_n p_n^T) J_n
///   fisher         (1/N) sum_n g_n g_n^T with g_n = dl_n/dw the gradient of one *token's* loss, not divided by N: the
///                  empirical Fisher matrix of tokens. (The matrix of the gradients of sequences' losses differs: its terms
///                  mix tokens.)
///   fisher with M sampled labels   (1/NM) sum_n sum_m g_nm g_nm^T with labels y_nm drawn independently from p_n, once, at
///                  construction: a fixed matrix whose expectation over the labels is Gauss-Newton.
///
/// rescaled() (operator_algebra.h) with P^-1/2 gives the preconditioned matrix of each.
///
/// If one microbatch holds all sequences, its tape is recorded at construction and kept. Otherwise every product
/// records each microbatch again, which costs one more gradient (for Gauss-Newton and Fisher only its forward pass);
/// the memory then does not grow with B.
///
/// Not safe for use from two threads at once.
/// Cost and memory: see ParameterTape; k vectors share one tangent pass.
/// Source: see Curvature.
class ParameterOperator final : public LinearOperator {
 public:
  /// \throws std::invalid_argument  as check() and ParameterTape; for sampled labels with a curvature other than
  ///                                fisher; for negative numbers
  /// \throws std::runtime_error     if a single sequence exceeds options.memory_bytes, saying how much it needs
  explicit ParameterOperator(ParameterProblem problem, ParameterOperatorOptions options = {});

  int64_t problems() const override { return 1; }
  int64_t dim() const override { return dim_; }
  at::TensorOptions vector_options() const override { return vector_options_; }

  /// Returns the number of sequences per microbatch (the last one may be smaller).
  int64_t sequences_at_once() const { return options_.sequences_at_once; }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override;
  ParameterTape record(int64_t first, int64_t count) const;
  int64_t measure_bytes(int64_t sequences) const;
  int64_t sequences_within(int64_t memory_bytes) const;

  ParameterProblem problem_;
  ParameterOperatorOptions options_;
  std::vector<std::string> names_;
  int64_t dim_ = 0;
  at::TensorOptions vector_options_;
  std::unique_ptr<const ParameterTape> whole_;  // if one microbatch holds all sequences
};

}  // namespace hessian
