#include <algorithm>
#include <utility>

#include "products.h"
#include "rows/softmax_rows.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// Most entries of logits, or of their tangents, that are held at once, and most probabilities that are kept.
constexpr int64_t most_logits = int64_t{1} << 22;
constexpr int64_t most_probabilities = int64_t{1} << 26;

/// f = mean_T(logsumexp(z) - z[target]) with z = x W^T and p = softmax(z), e the targets' unit vectors:
///   fdot = sum_T((p - e) zdot) / T    xbar = fbar (p - e) W / T
///   xbardot = fbar p (zdot - <p, zdot>) W / T + fbardot (p - e) W / T
///
/// Positions are taken in chunks, so that logits and their tangents never stand in memory whole; the probabilities are
/// kept where they are few enough, and computed again otherwise.
class CrossEntropyRule final : public Rule {
 public:
  CrossEntropyRule(at::Tensor x, at::Tensor weight, const at::Tensor& targets)
      : x_(std::move(x)),
        weight_(std::move(weight)),
        keeps_(x_.size(0) * positions() * classes() <= most_probabilities) {
    at::Tensor sum = at::zeros({x_.size(0)}, x_.options());
    gradient_ = at::empty_like(x_);
    for_chunks([&](int64_t first, int64_t count) {
      const at::Tensor z = times_transposed(x_.narrow(1, first, count), weight_);
      const at::Tensor chosen = targets.narrow(1, first, count).unsqueeze(-1);
      sum += (z.logsumexp(-1) - z.gather(-1, chosen).squeeze(-1)).sum(-1);
      at::Tensor p = at::softmax(z, -1);
      if (keeps_) {
        kept_.push_back(p.clone());
      }
      p.scatter_add_(-1, chosen, at::full_like(chosen, -1, p.options()));
      gradient_.narrow(1, first, count).copy_(times(p, weight_) / static_cast<double>(positions()));
    });
    value_ = sum / static_cast<double>(positions());
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    cotangent_ = cotangent;
    return {gradient_ * cotangent.view({-1, 1, 1}), at::Tensor()};
  }

  /// fdot, [S, k]. The first term of xbardot is at hand as soon as zdot is, so it is computed here.
  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor& xdot = tangents[0];
    const at::Tensor result = at::empty_like(xdot);
    const at::Tensor scale = (cotangent_ / static_cast<double>(positions())).view({-1, 1, 1, 1});
    std::size_t chunk = 0;
    for_chunks([&](int64_t first, int64_t count) {
      const at::Tensor p =
          keeps_ ? kept_[chunk++] : at::softmax(times_transposed(x_.narrow(1, first, count), weight_), -1);
      // All vectors at once where the chunk leaves room, otherwise some after the others.
      const int64_t entries = p.numel();
      const int64_t at_once = std::max<int64_t>(1, most_logits / entries);
      for (int64_t vector = 0; vector < xdot.size(1); vector += at_once) {
        const int64_t vectors = std::min(at_once, xdot.size(1) - vector);
        const auto part = [&](const at::Tensor& all) { return all.narrow(1, vector, vectors).narrow(2, first, count); };
        const at::Tensor zdot = times_transposed(part(xdot), weight_);
        rows::with_type_of(zdot, [&]<class T>(T) {
          const rows::SoftmaxJvp<T> pass{p.const_data_ptr<T>(), classes(), classes(), map_of(zdot), zdot.data_ptr<T>()};
          rows::run_over_last_axis(pass, zdot);
        });
        part(result).copy_(times(zdot, weight_).mul_(scale));
      }
    });
    scratch = {result};
    return (for_vectors(gradient_) * xdot).sum({2, 3});
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    if (!cotangent_tangent.defined()) {
      return {scratch[0], at::Tensor()};
    }
    return {scratch[0] + for_vectors(gradient_) * cotangent_tangent.unsqueeze(-1).unsqueeze(-1), at::Tensor()};
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

  at::Tensor x_;
  at::Tensor weight_;
  bool keeps_;
  std::vector<at::Tensor> kept_;  // p of each chunk
  at::Tensor gradient_;           // (p - e) W / T
  at::Tensor cotangent_;          // fbar
};

}  // namespace

RulePtr record(const CrossEntropyHead& head, std::span<const at::Tensor> inputs, const Parameters& parameters) {
  return std::make_unique<CrossEntropyRule>(inputs[0], parameters.at(head.weight), inputs[1]);
}

}  // namespace hessian::tape
