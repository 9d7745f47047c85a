#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <vector>

#include "hessian/hessian_operator.h"
#include "hessian/models/forward.h"
#include "seconds.h"

namespace hessian::benchmarks {

/// A fresh model and random tokens. Its losses are differentiated with respect to the residual before layer 0.
struct Subject {
  models::Forward forward;
  at::Tensor residual;  ///< [S, T, dim]
  at::Tensor targets;   ///< [S, T]

  ProblemFunction losses() const;
};

Subject make_subject(const models::GptConfig& config, int64_t sequences, int64_t seq_len);
/// \param vocab_size  0 for the model's own
Subject make_subject(const std::string& model_name, int64_t vocab_size, int64_t sequences, int64_t seq_len);

/// Computes only the matrix products of one gradient with respect to the residual with frozen weights: one forward and
/// one backward per linear map, by the same library as the tape's, and two forward and four backward per attention,
/// over whole heads. They bound the cost of an HVP from below, except that attention can skip the future positions.
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

}  // namespace hessian::benchmarks
