#include <limits>
#include <utility>

#include "kernels/fused/attention_tangents.h"
#include "kernels/rows/softmax_rows.h"
#include "program/attention.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// The rule of O = A V with A = softmax(S), S = s Q K^T, over the keys that each query sees; the others have weight zero.
/// With Sbar the scores' cotangent, <., .> sums over keys, and e = Abar - <A, Abar>:
///   Sdot = s (Qdot K^T + Q Kdot^T)          Adot = A (Sdot - <A, Sdot>)         Odot = Adot V + A Vdot
///   Abar = Obar V^T                         Sbar = A e                          Vbar = A^T Obar
///   Qbar = s Sbar K                         Kbar = s Sbar^T Q
/// and the tangents of the cotangents follow by the product rule. The query heads that share a key head are stacked along
/// the rows, so that keys and values need not be repeated.
///
/// With a soft cap c, A = softmax(c t) with t = tanh(S / c), and D = 1 - t^2 is the slope:
///   Adot = A (D Sdot - <A, D Sdot>)         Sbar = D A e                        Ddot = -(2 / c) t D Sdot
///   Sbardot = D (A e)dot + A e Ddot
/// Only t is kept for it: A e Ddot = -(2 / c) t e (Adot + A m) needs one number m = <A, D Sdot> per query and vector.
class AttentionRule : public Rule {
 public:
  AttentionRule(const CausalAttention& attention, std::span<const at::Tensor> inputs)
      : attention_(attention),
        queries_(queries_of(inputs[0])),
        keys_(keys_of(inputs[1])),
        values_(keys_of(inputs[2])),
        scale_(score_scale(attention, queries_.size(-1))) {
    at::Tensor scores = at::matmul(queries_, keys_.transpose(-2, -1)) * scale_;
    if (is_capped()) {
      tanh_ = scores.div_(attention_.soft_cap).tanh_();
      scores = tanh_ * attention_.soft_cap;
    }
    const at::Tensor masked = scores.unflatten(-2, {group(), positions()})
                                  .masked_fill_(hidden_keys(attention_, positions(), queries_.options()),
                                                -std::numeric_limits<double>::infinity());
    weights_ = at::softmax(masked, -1).flatten(-3, -2).contiguous();
    value_ = joined_queries(at::matmul(weights_, values_));
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    output_cotangent_ = queries_of(cotangent);
    excess_ = at::matmul(output_cotangent_, values_.transpose(-2, -1));
    excess_.sub_((weights_ * excess_).sum(-1, true));
    const at::Tensor sbar = scores_cotangent();
    return {joined_queries(at::matmul(sbar, keys_) * scale_),
            joined_keys(at::matmul(sbar.transpose(-2, -1), queries_) * scale_),
            joined_keys(at::matmul(weights_.transpose(-2, -1), output_cotangent_))};
  }

 protected:
  int64_t group() const { return attention_.n_heads / attention_.n_kv_heads; }
  int64_t positions() const { return keys_.size(-2); }
  bool is_capped() const { return attention_.soft_cap != 0; }

  /// Returns Sbar, after vjp() has computed e.
  at::Tensor scores_cotangent() const {
    at::Tensor sbar = weights_ * excess_;
    return is_capped() ? sbar.mul_(1 - tanh_.square()) : sbar;
  }

  /// Returns memory for m, [S, k, n_kv_heads, group * T], if there is a soft cap.
  at::Tensor empty_means(int64_t vectors) const {
    return is_capped() ? at::empty({weights_.size(0), vectors, weights_.size(1), weights_.size(2)}, weights_.options())
                       : at::Tensor();
  }

  /// Reshapes [..., T, n_heads * h] to [..., n_kv_heads, group * T, h].
  at::Tensor queries_of(const at::Tensor& x) const {
    return x.unflatten(-1, {attention_.n_kv_heads, group(), -1}).movedim(-4, -2).flatten(-3, -2).contiguous();
  }

  at::Tensor joined_queries(const at::Tensor& x) const {
    return x.unflatten(-2, {group(), -1}).movedim(-2, -4).flatten(-3, -1);
  }

  /// Reshapes [..., T, n_kv_heads * h] to [..., n_kv_heads, T, h].
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
  at::Tensor tanh_;              // t, if there is a soft cap
  at::Tensor output_cotangent_;  // Obar
  at::Tensor excess_;            // e
};

/// Computes the tangents as batched matrix products of whole heads, with passes over rows between them.
class BatchedAttention final : public AttentionRule {
 public:
  using AttentionRule::AttentionRule;

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor qdot = queries_of(tangents[0]);
    const at::Tensor kdot = keys_of(tangents[1]);
    const at::Tensor vdot = keys_of(tangents[2]);
    at::Tensor adot = at::matmul(qdot, for_vectors(keys_).transpose(-2, -1));
    adot.add_(at::matmul(for_vectors(queries_), kdot.transpose(-2, -1))).mul_(scale_);
    const at::Tensor means = empty_means(qdot.size(1));
    rows::with_type_of(adot, [&]<class T>(T) {
      const T* const a = weights_.const_data_ptr<T>();
      const rows::RowMap map = map_of_weights(adot);
      if (is_capped()) {
        const rows::CappedSoftmaxJvp<T> pass{a,   tanh_.const_data_ptr<T>(), positions(),        positions(),
                                             map, adot.data_ptr<T>(),        means.data_ptr<T>()};
        rows::run_over_last_axis(pass, adot);
      } else {
        rows::run_over_last_axis(rows::SoftmaxJvp<T>{a, positions(), positions(), map, adot.data_ptr<T>()}, adot);
      }
    });
    scratch = {qdot, kdot, vdot, adot, means};
    return joined_queries(at::matmul(adot, for_vectors(values_)).add_(at::matmul(for_vectors(weights_), vdot)));
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    const at::Tensor& qdot = scratch[0];
    const at::Tensor& kdot = scratch[1];
    const at::Tensor& vdot = scratch[2];
    const at::Tensor& adot = scratch[3];
    const at::Tensor a = for_vectors(weights_);
    const at::Tensor obar = for_vectors(output_cotangent_);
    const at::Tensor sbar = for_vectors(scores_cotangent());
    const at::Tensor obardot = queries_of(cotangent_tangent);

    at::Tensor sbardot = at::matmul(obardot, for_vectors(values_).transpose(-2, -1));
    sbardot.add_(at::matmul(obar, vdot.transpose(-2, -1)));
    rows::with_type_of(sbardot, [&]<class T>(T) {
      const T* const weights = weights_.const_data_ptr<T>();
      const T* const excess = excess_.const_data_ptr<T>();
      const rows::RowMap map = map_of_weights(sbardot);
      if (is_capped()) {
        const rows::CappedSoftmaxVjpTangent<T> pass{
            weights,     excess, tanh_.const_data_ptr<T>(), static_cast<T>(attention_.soft_cap), positions(),
            positions(), map,    adot.const_data_ptr<T>(),  scratch[4].const_data_ptr<T>(),      sbardot.data_ptr<T>()};
        rows::run_over_last_axis(pass, sbardot);
      } else {
        const rows::SoftmaxVjpTangent<T> pass{
            weights, excess, positions(), positions(), map, adot.const_data_ptr<T>(), sbardot.data_ptr<T>()};
        rows::run_over_last_axis(pass, sbardot);
      }
    });

    const at::Tensor qbardot = at::matmul(sbardot, for_vectors(keys_)).add_(at::matmul(sbar, kdot)).mul_(scale_);
    const at::Tensor kbardot = at::matmul(sbardot.transpose(-2, -1), for_vectors(queries_))
                                   .add_(at::matmul(sbar.transpose(-2, -1), qdot))
                                   .mul_(scale_);
    const at::Tensor vbardot = at::matmul(adot.transpose(-2, -1), obar).add_(at::matmul(a.transpose(-2, -1), obardot));
    return {joined_queries(qbardot), joined_keys(kbardot), joined_keys(vbardot)};
  }

 private:
  /// \param tangent  [S, k, n_kv_heads, group * T, T]
  static rows::RowMap map_of_weights(const at::Tensor& tangent) {
    return {tangent.size(1), tangent.size(2) * tangent.size(3)};
  }
};

/// Computes the tangents tile by tile, for the CPU.
class TiledAttention final : public AttentionRule {
 public:
  using AttentionRule::AttentionRule;

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor qdot = tangents[0].contiguous();
    const at::Tensor kdot = tangents[1].contiguous();
    const at::Tensor vdot = tangents[2].contiguous();
    auto shape = weights_.sizes().vec();
    shape.insert(shape.begin() + 1, qdot.size(1));
    const at::Tensor adot = at::empty(shape, weights_.options());
    const at::Tensor means = empty_means(qdot.size(1));
    at::Tensor odot = at::empty_like(qdot);
    rows::with_type_of(qdot, [&]<class T>(T) {
      fused::attention_jvp(point<T>(), qdot.size(1), qdot.const_data_ptr<T>(), kdot.const_data_ptr<T>(),
                           vdot.const_data_ptr<T>(), adot.data_ptr<T>(),
                           means.defined() ? means.data_ptr<T>() : nullptr, odot.data_ptr<T>());
    });
    scratch = {qdot, kdot, vdot, adot, means};
    return odot;
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    const at::Tensor obardot = cotangent_tangent.contiguous();
    const at::Tensor qbardot = at::empty_like(scratch[0]);
    const at::Tensor kbardot = at::empty_like(scratch[1]);
    const at::Tensor vbardot = at::empty_like(scratch[2]);
    rows::with_type_of(obardot, [&]<class T>(T) {
      fused::attention_vjp_tangent(point<T>(), obardot.size(1), scratch[0].const_data_ptr<T>(),
                                   scratch[1].const_data_ptr<T>(), scratch[2].const_data_ptr<T>(),
                                   scratch[3].const_data_ptr<T>(), data_of<T>(scratch[4]), obardot.const_data_ptr<T>(),
                                   qbardot.data_ptr<T>(), kbardot.data_ptr<T>(), vbardot.data_ptr<T>());
    });
    return {qbardot, kbardot, vbardot};
  }

 private:
  template <class T>
  fused::AttentionPoint<T> point() const {
    return {queries_.size(0),
            attention_.n_kv_heads,
            group(),
            positions(),
            keys_.size(3),
            attention_.window == 0 ? positions() : attention_.window,
            static_cast<T>(scale_),
            static_cast<T>(attention_.soft_cap),
            queries_.const_data_ptr<T>(),
            keys_.const_data_ptr<T>(),
            values_.const_data_ptr<T>(),
            weights_.const_data_ptr<T>(),
            data_of<T>(tanh_),
            data_of<T>(excess_),
            data_of<T>(output_cotangent_)};
  }

  /// Returns the data of x, or null if x is undefined: not computed by vjp() yet, or part of a soft cap.
  template <class T>
  static const T* data_of(const at::Tensor& x) {
    return x.defined() ? x.const_data_ptr<T>() : nullptr;
  }
};

}  // namespace

RulePtr record(const CausalAttention& attention, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return record_attention(attention, inputs, /*tiled=*/inputs[0].is_cpu());
}

RulePtr record_attention(const CausalAttention& attention, std::span<const at::Tensor> inputs, bool tiled) {
  if (tiled) {
    return std::make_unique<TiledAttention>(attention, inputs);
  }
  return std::make_unique<BatchedAttention>(attention, inputs);
}

}  // namespace hessian::tape
