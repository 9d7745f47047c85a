#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <vector>

#include "hessian/hessian_operator.h"
#include "hessian/models/forward.h"

namespace hessian::benchmarks {

/// A fresh model and random tokens, to be differentiated with respect to the input of its first block.
struct Subject {
  hessian::models::Forward forward;
  at::Tensor residual;  ///< [S, T, dim]
  at::Tensor targets;   ///< [S, T]

  hessian::ProblemFunction losses() const;
};

Subject make_subject(const hessian::models::GptConfig& config, int64_t sequences, int64_t seq_len);
/// \param vocab_size  0 for the model's own
Subject make_subject(const std::string& model_name, int64_t vocab_size, int64_t sequences, int64_t seq_len);

/// The matrix products of one gradient with respect to the residual, weights frozen, and nothing else: for every linear
/// map one product forward and one backward, by the same library as the tape's, for attention two forward and four
/// backward, of whole heads. The lower limit of an HVP's cost, but for what attention saves by leaving out the future.
class MatrixProducts {
 public:
  explicit MatrixProducts(const Subject& subject);
  void run() const;

 private:
  struct Pair {
    at::Tensor left;
    at::Tensor right;
  };
  std::vector<Pair> maps_;        // activations [rows, in], weight [out, in]
  std::vector<Pair> transposed_;  // activations [rows, out], weight [out, in]
  std::vector<Pair> heads_;       // of attention
};

double seconds_of(const std::function<void()>& work);

}  // namespace hessian::benchmarks
