#include <algorithm>
#include <utility>

#include "kernels/products.h"
#include "kernels/rows/softmax_rows.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// The rule of f = mean_T(logsumexp(z) - z[target]) with z = x W^T and p = softmax(z), e the targets' unit vectors:
///   fdot = sum_T((p - e) zdot) / T    xbar = fbar (p - e) W / T    Wbar = fbar (p - e)^T x / T
///   xbardot = zbardot W + zbar Wdot + fbardot (p - e) W / T        Wbardot = zbardot^T x + zbar^T xdot
/// with zdot = xdot W^T + x Wdot^T, zbar = fbar (p - e) / T, and zbardot depending on the curvature:
///   hessian       fbar p (zdot - <p, zdot>) / T
///   gauss_newton  the same, and zbar = 0
///   fisher        fbar (p - e) <p - e, zdot> / T, the mean over the labels of each token, and zbar = 0
/// Tangents of the weight assume that the loss is the program's output, so that fbardot = 0.
///
/// With a soft cap c, softmax reads the logits y = c t with t = tanh(z / c) and slope D = 1 - t^2: p = softmax(y), and D
/// multiplies p - e in all formulas above. The curvature is that of the loss as a function of y, and the cap is the last
/// part of the model: Gauss-Newton is J^T (diag(p) - p p^T) J with J the derivative of y, as for a program with a separate
/// SoftCap before its loss. Hence, with ydot = D zdot:
///   hessian       fbar D p (ydot - <p, ydot>) / T - (2 / c) t zbar zdot
///   gauss_newton  the same without the second term, and zbar = 0
///   fisher        fbar D (p - e) <p - e, ydot> / T, and zbar = 0
///
/// Works on chunks of positions, so that neither the logits nor their tangents are ever materialised in full. The
/// probabilities, or t from which they follow without a product, are kept if they are few enough, and recomputed
/// otherwise.
class CrossEntropyRule final : public Rule {
 public:
  CrossEntropyRule(const CrossEntropyHead& head, at::Tensor x, const at::Tensor& targets, const Parameters& parameters,
                   const Demand& demand, const CrossEntropyLimits& limits)
      : weight_name_(head.weight),
        x_(std::move(x)),
        weight_(parameters.at(head.weight)),
        curvature_(demand.curvature),
        soft_cap_(head.soft_cap),
        max_logits_(limits.max_logits),
        keeps_(x_.size(0) * positions() * classes() <= limits.max_probabilities) {
    const at::Tensor labels = targets.dim() == 2 ? targets.unsqueeze(-1) : targets;  // [S, T, M]
    if (curvature_ == Curvature::fisher ||
        (curvature_ == Curvature::hessian && (is_capped() || demand.varies(head.weight)))) {
      labels_ = labels;
    }
    at::Tensor sum = at::zeros({x_.size(0)}, x_.options());
    gradient_ = at::empty_like(x_);
    for_chunks([&](int64_t first, int64_t count) {
      at::Tensor z = times_transposed(x_.narrow(1, first, count), weight_);
      const at::Tensor t = is_capped() ? z.div_(soft_cap_).tanh_() : at::Tensor();
      if (is_capped()) {
        z = t * soft_cap_;
      }
      const at::Tensor chosen = labels.narrow(1, first, count);
      sum += (z.logsumexp(-1) - z.gather(-1, chosen).mean(-1)).sum(-1);
      const at::Tensor p = at::softmax(z, -1);
      if (keeps_) {
        kept_.push_back(is_capped() ? t : p.clone());
      }
      subtract_labels(p, chosen);
      if (is_capped()) {
        p.mul_(slope(t));
      }
      gradient_.narrow(1, first, count).copy_(times(p, weight_) / static_cast<double>(positions()));
    });
    value_ = sum / static_cast<double>(positions());
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    cotangent_ = cotangent;
    const at::Tensor xbar = curvature_ == Curvature::hessian ? gradient_ * cotangent.view({-1, 1, 1})
                                                             : at::zeros({}, x_.options()).expand(x_.sizes());
    return {xbar, at::Tensor()};
  }

  /// Returns fdot, [S, k]. Also computes the first term of xbardot, which needs only zdot.
  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    return compute_tangents(tangents[0], at::Tensor(), scratch);
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    if (!cotangent_tangent.defined()) {
      return {scratch[0], at::Tensor()};
    }
    return {scratch[0] + for_vectors(gradient_) * cotangent_tangent.unsqueeze(-1).unsqueeze(-1), at::Tensor()};
  }

  at::Tensor parametric_jvp(std::span<const at::Tensor> tangents, const Parameters& parameter_tangents,
                            Scratch& scratch) const override {
    return compute_tangents(tangents[0], tangent_of(parameter_tangents, weight_name_), scratch);
  }

  CotangentTangents parametric_vjp_tangent(const at::Tensor& cotangent_tangent,
                                           const Parameters& /*parameter_tangents*/, Scratch& scratch) const override {
    TORCH_INTERNAL_ASSERT(!cotangent_tangent.defined(), "parameters of a loss that is no output have no tangents");
    CotangentTangents result{{scratch[0], at::Tensor()}, {}};
    if (scratch[1].defined()) {
      result.parameters.add(weight_name_, scratch[1]);
    }
    return result;
  }

 private:
  /// A chunk of t positions, for all vectors.
  struct Chunk {
    int64_t first;        ///< position
    int64_t count;        ///< t
    at::Tensor x;         ///< [S, t, in]
    at::Tensor p;         ///< [S, t, V]
    at::Tensor tanh;      ///< the same, if there is a soft cap
    at::Tensor labels;    ///< [S, t, M], if labels_ is defined
    at::Tensor zbar;      ///< zbar / scale, [S, t, V], if terms with zbar are needed
    at::Tensor scaled_x;  ///< x scale, if the weight has tangents
  };

  /// The tangents of one pass. Those that are not requested are undefined.
  struct Tangents {
    at::Tensor xdot;        ///< [S, k, T, in]
    at::Tensor weight_dot;  ///< [k, V, in]
    at::Tensor scale;       ///< fbar / T, [S, 1, 1, 1]
    at::Tensor xbardot;     ///< as xdot
    at::Tensor weight_bardot;

    bool has_input() const { return xdot.defined(); }
    bool has_weight() const { return weight_dot.defined(); }
    int64_t vectors() const { return has_input() ? xdot.size(1) : weight_dot.size(0); }
  };

  int64_t positions() const { return x_.size(1); }
  int64_t classes() const { return weight_.size(0); }
  bool is_capped() const { return soft_cap_ != 0; }

  /// Returns D from t.
  static at::Tensor slope(const at::Tensor& tanh) { return 1 - tanh.square(); }

  template <class Body>
  void for_chunks(const Body& body) const {
    const int64_t size = std::max<int64_t>(1, max_logits_ / (x_.size(0) * classes()));
    for (int64_t first = 0; first < positions(); first += size) {
      body(first, std::min(size, positions() - first));
    }
  }

  /// Computes p - e in place; e is the mean of the labels' unit vectors.
  static void subtract_labels(const at::Tensor& p, const at::Tensor& labels) {
    p.scatter_add_(-1, labels, at::full(labels.sizes(), -1.0 / static_cast<double>(labels.size(-1)), p.options()));
  }

  /// Returns fdot, [S, k], unless the weight has tangents. Stores xbardot, without the term with fbardot, and Wbardot
  /// in `scratch`.
  at::Tensor compute_tangents(const at::Tensor& xdot, const at::Tensor& weight_dot, Scratch& scratch) const {
    const Tangents tangents{xdot, weight_dot, (cotangent_ / static_cast<double>(positions())).view({-1, 1, 1, 1}),
                            xdot.defined() ? at::empty(xdot.sizes(), xdot.options()) : at::Tensor(),
                            weight_dot.defined() ? at::zeros(weight_dot.sizes(), weight_dot.options()) : at::Tensor()};
    std::size_t index = 0;
    for_chunks([&](int64_t first, int64_t count) {
      const Chunk chunk = make_chunk(first, count, index++, tangents);
      // Processes all vectors at once if the tangents of their logits are small enough, otherwise in groups.
      const int64_t group = std::max<int64_t>(1, max_logits_ / chunk.p.numel());
      for (int64_t vector = 0; vector < tangents.vectors(); vector += group) {
        add_terms(chunk, tangents, vector, std::min(group, tangents.vectors() - vector));
      }
    });
    scratch = {tangents.xbardot, tangents.weight_bardot};
    return weight_dot.defined() ? at::Tensor() : (for_vectors(gradient_) * xdot).sum({2, 3});
  }

  Chunk make_chunk(int64_t first, int64_t count, std::size_t index, const Tangents& tangents) const {
    Chunk chunk{first, count, x_.narrow(1, first, count), {}, {}, {}, {}, {}};
    if (is_capped()) {
      chunk.tanh = keeps_ ? kept_[index] : times_transposed(chunk.x, weight_).div_(soft_cap_).tanh_();
      chunk.p = at::softmax(chunk.tanh * soft_cap_, -1);
    } else {
      chunk.p = keeps_ ? kept_[index] : at::softmax(times_transposed(chunk.x, weight_), -1);
    }
    chunk.labels = labels_.defined() ? labels_.narrow(1, first, count) : at::Tensor();
    if (curvature_ == Curvature::hessian && (is_capped() || tangents.has_weight())) {
      chunk.zbar = chunk.p.clone();
      subtract_labels(chunk.zbar, chunk.labels);
      if (is_capped()) {
        chunk.zbar.mul_(slope(chunk.tanh));
      }
    }
    if (tangents.has_weight()) {
      chunk.scaled_x = chunk.x * tangents.scale.squeeze(1);
    }
    return chunk;
  }

  /// Adds the terms of one chunk for the vectors first_vector ... first_vector + count - 1.
  void add_terms(const Chunk& chunk, const Tangents& tangents, int64_t first_vector, int64_t count) const {
    const auto slice = [&](const at::Tensor& all) {
      return all.narrow(1, first_vector, count).narrow(2, chunk.first, chunk.count);
    };
    const at::Tensor xdot = tangents.has_input() ? slice(tangents.xdot) : at::Tensor();
    const at::Tensor weight_dot =
        tangents.has_weight() ? tangents.weight_dot.narrow(0, first_vector, count) : at::Tensor();
    const at::Tensor zbardot = output_tangent(chunk, logit_tangent(chunk, xdot, weight_dot));
    if (tangents.has_input()) {
      at::Tensor sum = times(zbardot, weight_);
      if (tangents.has_weight() && chunk.zbar.defined()) {
        sum.add_(times_each(chunk.zbar, weight_dot));
      }
      slice(tangents.xbardot).copy_(sum.mul_(tangents.scale));
    }
    if (tangents.has_weight()) {
      const at::Tensor sums = tangents.weight_bardot.narrow(0, first_vector, count);
      sums.add_(summed_products(zbardot, chunk.scaled_x));
      if (chunk.zbar.defined() && tangents.has_input()) {
        add_summed_products_with_each(sums, chunk.zbar, xdot * tangents.scale);
      }
    }
  }

  /// Returns zdot, [S, k, t, V].
  at::Tensor logit_tangent(const Chunk& chunk, const at::Tensor& xdot, const at::Tensor& weight_dot) const {
    at::Tensor zdot = xdot.defined() ? times_transposed(xdot, weight_) : at::Tensor();
    if (weight_dot.defined()) {
      const at::Tensor term = times_each_transposed(chunk.x, weight_dot);
      zdot = zdot.defined() ? zdot.add_(term) : term.contiguous();
    }
    return zdot;
  }

  /// Returns zbardot / scale, [S, k, t, V]. May overwrite zdot.
  at::Tensor output_tangent(const Chunk& chunk, const at::Tensor& zdot) const {
    if (curvature_ != Curvature::fisher) {
      rows::with_type_of(zdot, [&]<class T>(T) {
        if (is_capped()) {
          const rows::CappedLogitsTangent<T> pass{chunk.p.const_data_ptr<T>(),
                                                  chunk.tanh.const_data_ptr<T>(),
                                                  chunk.zbar.defined() ? chunk.zbar.const_data_ptr<T>() : nullptr,
                                                  static_cast<T>(soft_cap_),
                                                  classes(),
                                                  map_of(zdot),
                                                  zdot.data_ptr<T>()};
          rows::run_over_last_axis(pass, zdot);
          return;
        }
        const rows::SoftmaxJvp<T> pass{chunk.p.const_data_ptr<T>(), classes(), classes(), map_of(zdot),
                                       zdot.data_ptr<T>()};
        rows::run_over_last_axis(pass, zdot);
      });
      return zdot;
    }
    const at::Tensor d = is_capped() ? for_vectors(slope(chunk.tanh)) : at::Tensor();
    const at::Tensor ydot = is_capped() ? zdot * d : zdot;
    auto shape = zdot.sizes().vec();
    shape.back() = chunk.labels.size(-1);
    const at::Tensor index = for_vectors(chunk.labels).expand(shape);
    // <p - e_m, ydot> for each label m, and the mean over the labels of its products with p - e_m.
    const at::Tensor along = (for_vectors(chunk.p) * ydot).sum(-1, true) - ydot.gather(-1, index);
    at::Tensor sum = (for_vectors(chunk.p) * along.mean(-1, true))
                         .scatter_add_(-1, index, along / -static_cast<double>(shape.back()));
    return is_capped() ? sum.mul_(d) : sum;
  }

  std::string weight_name_;
  at::Tensor x_;
  at::Tensor weight_;
  Curvature curvature_;
  double soft_cap_;  // c; 0 for none
  int64_t max_logits_;
  bool keeps_;
  at::Tensor labels_;             // [S, T, M], if the tangents need them
  std::vector<at::Tensor> kept_;  // per chunk: p, or t if there is a soft cap
  at::Tensor gradient_;           // (p - e) W / T, with D if there is a soft cap
  at::Tensor cotangent_;          // fbar
};

}  // namespace

RulePtr record(const CrossEntropyHead& head, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand) {
  return record_cross_entropy(head, inputs, parameters, demand, {});
}

RulePtr record_cross_entropy(const CrossEntropyHead& head, std::span<const at::Tensor> inputs,
                             const Parameters& parameters, const Demand& demand, const CrossEntropyLimits& limits) {
  return std::make_unique<CrossEntropyRule>(head, inputs[0], inputs[1], parameters, demand, limits);
}

}  // namespace hessian::tape
