#include <algorithm>
#include <utility>

#include "kernels/products.h"
#include "kernels/rows/softmax_rows.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// Most entries of logits, or of their tangents, that are held at once, and most probabilities that are kept.
constexpr int64_t most_logits = int64_t{1} << 22;
constexpr int64_t most_probabilities = int64_t{1} << 26;

/// f = mean_T(logsumexp(z) - z[target]) with z = x W^T and p = softmax(z), e the targets' unit vectors:
///   fdot = sum_T((p - e) zdot) / T    xbar = fbar (p - e) W / T    Wbar = fbar (p - e)^T x / T
///   xbardot = zbardot W + zbar Wdot + fbardot (p - e) W / T        Wbardot = zbardot^T x + zbar^T xdot
/// with zdot = xdot W^T + x Wdot^T, zbar = fbar (p - e) / T, and zbardot by the curvature:
///   hessian       fbar p (zdot - <p, zdot>) / T
///   gauss_newton  the same, and zbar = 0
///   fisher        fbar (p - e) <p - e, zdot> / T, the mean of these where tokens have several labels, and zbar = 0
/// Tangents of the weight take the loss for the program's output, so that fbardot = 0.
///
/// Positions are taken in chunks, so that logits and their tangents never stand in memory whole; the probabilities are
/// kept where they are few enough, and computed again otherwise.
class CrossEntropyRule final : public Rule {
 public:
  CrossEntropyRule(at::Tensor x, at::Tensor weight, const at::Tensor& targets, Curvature curvature, bool weight_varies)
      : x_(std::move(x)),
        weight_(std::move(weight)),
        curvature_(curvature),
        keeps_(x_.size(0) * positions() * classes() <= most_probabilities) {
    const at::Tensor labels = targets.dim() == 2 ? targets.unsqueeze(-1) : targets;  // [S, T, M]
    if (curvature == Curvature::fisher || (curvature == Curvature::hessian && weight_varies)) {
      labels_ = labels;
    }
    at::Tensor sum = at::zeros({x_.size(0)}, x_.options());
    gradient_ = at::empty_like(x_);
    for_chunks([&](int64_t first, int64_t count) {
      const at::Tensor z = times_transposed(x_.narrow(1, first, count), weight_);
      const at::Tensor chosen = labels.narrow(1, first, count);
      sum += (z.logsumexp(-1) - z.gather(-1, chosen).mean(-1)).sum(-1);
      const at::Tensor p = at::softmax(z, -1);
      if (keeps_) {
        kept_.push_back(p.clone());
      }
      subtract_labels(p, chosen);
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

  /// fdot, [S, k]. The first term of xbardot is at hand as soon as zdot is, so it is computed here.
  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    return sweep(tangents[0], at::Tensor(), scratch);
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    if (!cotangent_tangent.defined()) {
      return {scratch[0], at::Tensor()};
    }
    return {scratch[0] + for_vectors(gradient_) * cotangent_tangent.unsqueeze(-1).unsqueeze(-1), at::Tensor()};
  }

  at::Tensor parametric_jvp(std::span<const at::Tensor> tangents, std::span<const at::Tensor> parameter_tangents,
                            Scratch& scratch) const override {
    return sweep(tangents[0], parameter_tangents[0], scratch);
  }

  CotangentTangents parametric_vjp_tangent(const at::Tensor& cotangent_tangent,
                                           std::span<const at::Tensor> /*parameter_tangents*/,
                                           Scratch& scratch) const override {
    TORCH_INTERNAL_ASSERT(!cotangent_tangent.defined(), "parameters of a loss that is no output have no tangents");
    return {{scratch[0], at::Tensor()}, {scratch[1]}};
  }

 private:
  int64_t positions() const { return x_.size(1); }
  int64_t classes() const { return weight_.size(0); }

  template <class Body>
  void for_chunks(const Body& body) const {
    const int64_t size = std::max<int64_t>(1, most_logits / (x_.size(0) * classes()));
    for (int64_t first = 0; first < positions(); first += size) {
      body(first, std::min(size, positions() - first));
    }
  }

  /// p - e in place; e is the mean of the labels' unit vectors.
  static void subtract_labels(const at::Tensor& p, const at::Tensor& labels) {
    p.scatter_add_(-1, labels, at::full(labels.sizes(), -1.0 / static_cast<double>(labels.size(-1)), p.options()));
  }

  /// T zbardot / fbar, from zdot, over which it may be written.
  /// \param p       [S, t, V]
  /// \param labels  [S, t, M], for fisher
  /// \param zdot    [S, k, t, V]
  at::Tensor output_tangent(const at::Tensor& p, const at::Tensor& labels, const at::Tensor& zdot) const {
    if (curvature_ != Curvature::fisher) {
      rows::with_type_of(zdot, [&]<class T>(T) {
        const rows::SoftmaxJvp<T> pass{p.const_data_ptr<T>(), classes(), classes(), map_of(zdot), zdot.data_ptr<T>()};
        rows::run_over_last_axis(pass, zdot);
      });
      return zdot;
    }
    auto shape = zdot.sizes().vec();
    shape.back() = labels.size(-1);
    const at::Tensor index = for_vectors(labels).expand(shape);
    // <p - e_m, zdot> for each label, and its mean with the vectors p - e_m.
    const at::Tensor along = (for_vectors(p) * zdot).sum(-1, true) - zdot.gather(-1, index);
    return (for_vectors(p) * along.mean(-1, true))
        .scatter_add_(-1, index, along / -static_cast<double>(labels.size(-1)));
  }

  /// Both ways at once: leaves xbardot, but for what fbardot adds, and with tangents of the weight Wbardot in `scratch`.
  at::Tensor sweep(const at::Tensor& xdot, const at::Tensor& weight_dot, Scratch& scratch) const {
    const bool mixes = weight_dot.defined() && curvature_ == Curvature::hessian;  // terms with zbar
    const int64_t vectors = xdot.defined() ? xdot.size(1) : weight_dot.size(0);
    const at::Tensor scale = (cotangent_ / static_cast<double>(positions())).view({-1, 1, 1, 1});
    const at::Tensor xbardot = xdot.defined() ? at::empty(xdot.sizes(), xdot.options()) : at::Tensor();
    const at::Tensor weight_bardot =
        weight_dot.defined() ? at::zeros(weight_dot.sizes(), weight_dot.options()) : at::Tensor();
    std::size_t chunk = 0;
    for_chunks([&](int64_t first, int64_t count) {
      const at::Tensor x = x_.narrow(1, first, count);
      const at::Tensor p = keeps_ ? kept_[chunk++] : at::softmax(times_transposed(x, weight_), -1);
      const at::Tensor labels = labels_.defined() ? labels_.narrow(1, first, count) : at::Tensor();
      at::Tensor zbar;  // these are yet to be multiplied with the scale, and so is zbardot
      if (mixes) {
        zbar = p.clone();
        subtract_labels(zbar, labels);
      }
      const at::Tensor scaled_x = weight_dot.defined() ? x * scale.squeeze(1) : at::Tensor();
      // All vectors at once where the chunk leaves room, otherwise some after the others.
      const int64_t at_once = std::max<int64_t>(1, most_logits / p.numel());
      for (int64_t vector = 0; vector < vectors; vector += at_once) {
        const int64_t here = std::min(at_once, vectors - vector);
        const auto part = [&](const at::Tensor& all) { return all.narrow(1, vector, here).narrow(2, first, count); };
        const at::Tensor part_xdot = xdot.defined() ? part(xdot) : at::Tensor();
        const at::Tensor part_weight_dot = weight_dot.defined() ? weight_dot.narrow(0, vector, here) : at::Tensor();
        at::Tensor zdot = part_xdot.defined() ? times_transposed(part_xdot, weight_) : at::Tensor();
        if (part_weight_dot.defined()) {
          const at::Tensor term = times_each_transposed(x, part_weight_dot);
          zdot = zdot.defined() ? zdot.add_(term) : term.contiguous();
        }
        const at::Tensor zbardot = output_tangent(p, labels, zdot);
        if (xdot.defined()) {
          at::Tensor sum = times(zbardot, weight_);
          if (mixes) {
            sum.add_(times_each(zbar, part_weight_dot));
          }
          part(xbardot).copy_(sum.mul_(scale));
        }
        if (weight_dot.defined()) {
          const at::Tensor sums = weight_bardot.narrow(0, vector, here);
          sums.add_(summed_products(zbardot, scaled_x));
          if (mixes && xdot.defined()) {
            add_summed_products_with_each(sums, zbar, part_xdot * scale);
          }
        }
      }
    });
    scratch = {xbardot, weight_bardot};
    return weight_dot.defined() ? at::Tensor() : (for_vectors(gradient_) * xdot).sum({2, 3});
  }

  at::Tensor x_;
  at::Tensor weight_;
  Curvature curvature_;
  bool keeps_;
  at::Tensor labels_;             // [S, T, M], where they are read again
  std::vector<at::Tensor> kept_;  // p of each chunk
  at::Tensor gradient_;           // (p - e) W / T
  at::Tensor cotangent_;          // fbar
};

}  // namespace

RulePtr record(const CrossEntropyHead& head, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand) {
  return std::make_unique<CrossEntropyRule>(inputs[0], parameters.at(head.weight), inputs[1], demand.curvature,
                                            demand.varies(head.weight));
}

}  // namespace hessian::tape
