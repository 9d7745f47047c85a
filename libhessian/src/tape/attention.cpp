#include <cmath>
#include <limits>
#include <utility>

#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// O = A V with A = softmax(Q K^T / sqrt(h)) over the past. With s = 1/sqrt(h), Sbar the scores' cotangent, sum_T over
/// keys, and d = sum_T(A Abar):
///   Sdot = s (Qdot K^T + Q Kdot^T)          Adot = A (Sdot - sum_T(A Sdot))       Odot = Adot V + A Vdot
///   Abar = Obar V^T                         Sbar = A (Abar - d)                   Vbar = A^T Obar
///   Qbar = s Sbar K                         Kbar = s Sbar^T Q
/// and the tangents of the cotangents by the product rule. The query heads that share a key head stand below each
/// other, so that keys and values are never repeated.
class AttentionRule final : public Rule {
 public:
  AttentionRule(const CausalAttention& attention, std::span<const at::Tensor> inputs)
      : attention_(attention),
        queries_(queries_of(inputs[0])),
        keys_(keys_of(inputs[1])),
        values_(keys_of(inputs[2])),
        scale_(1.0 / std::sqrt(static_cast<double>(queries_.size(-1)))) {
    const int64_t positions = keys_.size(-2);
    const at::Tensor future = at::ones({positions, positions}, queries_.options().dtype(at::kBool)).triu(1);
    const at::Tensor scores = (at::matmul(queries_, keys_.transpose(-2, -1)) * scale_)
                                  .unflatten(-2, {group(), positions})
                                  .masked_fill_(future, -std::numeric_limits<double>::infinity());
    weights_ = at::softmax(scores, -1).flatten(-3, -2);
    value_ = joined_queries(at::matmul(weights_, values_));
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    output_cotangent_ = queries_of(cotangent);
    const at::Tensor weights_cotangent = at::matmul(output_cotangent_, values_.transpose(-2, -1));
    excess_ = weights_cotangent - (weights_ * weights_cotangent).sum(-1, true);
    scores_cotangent_ = weights_ * excess_;
    return {joined_queries(at::matmul(scores_cotangent_, keys_) * scale_),
            joined_keys(at::matmul(scores_cotangent_.transpose(-2, -1), queries_) * scale_),
            joined_keys(at::matmul(weights_.transpose(-2, -1), output_cotangent_))};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor qdot = queries_of(tangents[0]);
    const at::Tensor kdot = keys_of(tangents[1]);
    const at::Tensor vdot = keys_of(tangents[2]);
    const at::Tensor a = for_vectors(weights_);
    at::Tensor sdot = at::matmul(qdot, for_vectors(keys_).transpose(-2, -1));
    sdot.add_(at::matmul(for_vectors(queries_), kdot.transpose(-2, -1))).mul_(scale_);
    const at::Tensor adot = a * (sdot - (a * sdot).sum(-1, true));
    scratch = {qdot, kdot, vdot, adot};
    return joined_queries(at::matmul(adot, for_vectors(values_)).add_(at::matmul(a, vdot)));
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    const at::Tensor& qdot = scratch[0];
    const at::Tensor& kdot = scratch[1];
    const at::Tensor& vdot = scratch[2];
    const at::Tensor& adot = scratch[3];
    const at::Tensor a = for_vectors(weights_);
    const at::Tensor obar = for_vectors(output_cotangent_);
    const at::Tensor sbar = for_vectors(scores_cotangent_);
    const at::Tensor obardot = queries_of(cotangent_tangent);

    at::Tensor abardot = at::matmul(obardot, for_vectors(values_).transpose(-2, -1));
    abardot.add_(at::matmul(obar, vdot.transpose(-2, -1)));
    // Sbar = A (Abar - d) with sum_T(Sbar) = 0: the tangent of d is sum_T(Adot (Abar - d) + A Abardot), since Adot sums
    // to zero too.
    const at::Tensor turned = adot * for_vectors(excess_);
    const at::Tensor ddot = (a * abardot).add_(turned).sum(-1, true);
    const at::Tensor sbardot = turned.addcmul(a, abardot - ddot);

    const at::Tensor qbardot = at::matmul(sbardot, for_vectors(keys_)).add_(at::matmul(sbar, kdot)).mul_(scale_);
    const at::Tensor kbardot = at::matmul(sbardot.transpose(-2, -1), for_vectors(queries_))
                                   .add_(at::matmul(sbar.transpose(-2, -1), qdot))
                                   .mul_(scale_);
    const at::Tensor vbardot = at::matmul(adot.transpose(-2, -1), obar).add_(at::matmul(a.transpose(-2, -1), obardot));
    return {joined_queries(qbardot), joined_keys(kbardot), joined_keys(vbardot)};
  }

 private:
  int64_t group() const { return attention_.n_heads / attention_.n_kv_heads; }

  /// [..., T, n_heads * h] to [..., n_kv_heads, group * T, h]
  at::Tensor queries_of(const at::Tensor& x) const {
    return x.unflatten(-1, {attention_.n_kv_heads, group(), -1}).movedim(-4, -2).flatten(-3, -2).contiguous();
  }

  at::Tensor joined_queries(const at::Tensor& x) const {
    return x.unflatten(-2, {group(), -1}).movedim(-2, -4).flatten(-3, -1);
  }

  /// [..., T, n_kv_heads * h] to [..., n_kv_heads, T, h]
  at::Tensor keys_of(const at::Tensor& x) const {
    return x.unflatten(-1, {attention_.n_kv_heads, -1}).transpose(-3, -2).contiguous();
  }

  static at::Tensor joined_keys(const at::Tensor& x) { return x.transpose(-3, -2).flatten(-2, -1); }

  CausalAttention attention_;
  at::Tensor queries_;           // Q
  at::Tensor keys_;              // K
  at::Tensor values_;            // V
  double scale_;                 // s
  at::Tensor weights_;           // A
  at::Tensor output_cotangent_;  // Obar
  at::Tensor excess_;            // Abar - d
  at::Tensor scores_cotangent_;  // Sbar
};

}  // namespace

RulePtr record(const CausalAttention& attention, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<AttentionRule>(attention, inputs);
}

}  // namespace hessian::tape
