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
  /// For Curvature::fisher: labels that are drawn for each token from the model's softmax; 0: the targets themselves.
  int64_t sampled_labels = 0;
  uint64_t seed = 0;  ///< of these labels
  /// Sequences of one microbatch; 0: all.
  int64_t sequences_at_once = 0;
  /// Bytes that the tape of a microbatch and a product may take, from which the microbatches are found by measuring one
  /// and two sequences; sequences_at_once wins over it. Vectors are then taken one after the other.
  std::optional<int64_t> memory_bytes;
  std::vector<ValueId> checkpoints;  ///< see Tape; empty: everything is kept
};

/// Curvature of the mean loss of B sequences of T tokens with respect to some parameters w, as one problem of all their
/// entries, by ParameterTape. With N = B T tokens of losses l_n(z_n), logits z_n, p_n = softmax(z_n) and J_n = dz_n/dw:
///
///   hessian        d2/dw2 (1/N) sum_n l_n
///   gauss_newton   (1/N) sum_n J_n^T (diag(p_n) - p_n p_n^T) J_n
///   fisher         (1/N) sum_n g_n g_n^T with g_n = dl_n/dw the gradient of one *token's* loss, not divided by N: the
///                  empirical Fisher matrix of tokens. Not the matrix of the gradients of sequences' losses, whose terms
///                  mix tokens.
///   fisher with M sampled labels   (1/NM) sum_n sum_m g_nm g_nm^T with labels y_nm drawn from p_n, independently given
///                  the data, once, at construction: a fixed matrix whose expectation over the labels is Gauss-Newton.
///
/// Rescaled on both sides by P^-1/2 (see rescaled() in operator_algebra.h) each is the preconditioned matrix.
///
/// Microbatches hold as many sequences as the options say. Where one holds all, its tape is recorded at construction and
/// kept; otherwise each is recorded anew in every product, for one gradient more (forward alone, in matrix products, for
/// Gauss-Newton and Fisher), and whatever B is no more memory is taken.
///
/// Not safe for use from two threads at once.
/// Cost and memory: see ParameterTape; k vectors share one sweep.
/// Source: see Curvature.
class ParameterOperator final : public LinearOperator {
 public:
  /// \throws std::invalid_argument  as check() and ParameterTape; for sampled labels of another curvature than Fisher's;
  ///                                for negative numbers
  /// \throws std::runtime_error     if one sequence needs more than options.memory_bytes, saying how much
  explicit ParameterOperator(ParameterProblem problem, ParameterOperatorOptions options = {});

  int64_t problems() const override { return 1; }
  int64_t dim() const override { return dim_; }
  at::TensorOptions vector_options() const override { return vector_options_; }

  /// Sequences of one microbatch, the last one's excepted.
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
  std::unique_ptr<const ParameterTape> whole_;  // where one microbatch holds all
};

}  // namespace hessian
