#include "hessian/hessian_operator.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "curvature/double_backward.h"
#include "hessian/memory.h"
#include "linalg/problem_places.h"

namespace hessian {
namespace {

/// The value of f, with x as a leaf of its graph.
struct RecordedValue {
  at::Tensor x;
  at::Tensor value;
};

RecordedValue record(const ProblemFunction& f, const at::Tensor& x, const ProblemIndices& problems) {
  RecordedValue recording;
  recording.x = x.detach().requires_grad_();
  recording.value = f(recording.x, problems);
  if (recording.value.dim() != 1 || recording.value.size(0) != x.size(0)) {
    std::ostringstream message;
    message << "the function returns " << recording.value.sizes() << " for " << x.size(0)
            << " problems, expected one value each";
    throw std::invalid_argument(message.str());
  }
  return recording;
}

/// Returns d sum(value) / dx, which holds each problem's own gradient because problems do not interact. Zero if the value does
/// not depend on x.
at::Tensor gradient_of(const RecordedValue& recording, bool keep_graph) {
  if (!recording.value.requires_grad()) {
    return at::zeros_like(recording.x);
  }
  const at::Tensor gradient = gradients_of(recording.value.sum(), {recording.x}, keep_graph).front();
  return gradient.defined() ? gradient : at::zeros_like(recording.x);
}

}  // namespace

struct HessianOperator::Graph {
  ProblemIndices problems;
  at::Tensor x;
  at::Tensor gradient;
};

ValueAndGradient value_and_gradient(const ProblemFunction& f, const at::Tensor& x, const ProblemIndices& problems) {
  const c10::AutoGradMode recording_on(true);
  const RecordedValue recording = record(f, x, problems);
  return {recording.value.detach(), gradient_of(recording, false).detach()};
}

HessianOperator::HessianOperator(ProblemFunction f, const at::Tensor& x, const HessianOptions& options)
    : f_(std::move(f)), x_(x.detach()) {
  if (x_.dim() < 1 || x_.numel() == 0 || !x_.is_floating_point()) {
    std::ostringstream message;
    message << "x is " << x_.sizes() << " of " << x_.scalar_type() << ", expected [S, ...] of a floating-point type";
    throw std::invalid_argument(message.str());
  }
  problems_per_graph_ = options.problems_per_graph.value_or(problems());
  if (!options.problems_per_graph && options.memory_bytes) {
    const int64_t problem_bytes = measure_problem_bytes(f_, x_);
    problems_per_graph_ = *options.memory_bytes / std::max<int64_t>(problem_bytes, 1);
    if (problems_per_graph_ < 1) {
      throw std::runtime_error("one problem needs " + format_bytes(problem_bytes) + " of memory, " +
                               format_bytes(*options.memory_bytes) + " are allowed");
    }
  }
  problems_per_graph_ = std::clamp<int64_t>(problems_per_graph_, 1, problems());
}

HessianOperator::~HessianOperator() = default;

at::Tensor HessianOperator::do_apply(const at::Tensor& v, const ProblemIndices& problems) const {
  const auto count = static_cast<int64_t>(problems.size());
  if (count <= problems_per_graph_) {
    return apply_group(v, problems);
  }
  std::vector<at::Tensor> products;
  for (int64_t first = 0; first < count; first += problems_per_graph_) {
    const int64_t size = std::min(problems_per_graph_, count - first);
    const ProblemIndices group(problems.begin() + first, problems.begin() + first + size);
    products.push_back(apply_group(v.narrow(0, first, size), group));
  }
  return at::cat(products, 0);
}

at::Tensor HessianOperator::apply_group(const at::Tensor& v, const ProblemIndices& problems) const {
  const c10::AutoGradMode recording_on(true);
  if (!graph_ || worth_recording(graph_->problems, problems)) {
    graph_.reset();  // first, so that two graphs never exist at once
    const RecordedValue recording = record(f_, rows_of(x_, problems), problems);
    graph_ = std::make_unique<Graph>(Graph{problems, recording.x, gradient_of(recording, true)});
  }

  at::Tensor result = at::zeros(v.sizes(), v.options());
  if (!graph_->gradient.requires_grad()) {
    return result;  // f is linear in x
  }
  const at::Tensor index =
      at::tensor(places_among(graph_->problems, problems).places, at::device(v.device()).dtype(at::kLong));
  for (int64_t j = 0; j < v.size(1); ++j) {
    const at::Tensor direction =
        at::zeros({graph_->x.size(0), dim()}, v.options()).index_copy(0, index, v.select(1, j)).view_as(graph_->x);
    const at::Tensor product = hessian_product({graph_->gradient}, {graph_->x}, {direction}).front();
    if (product.defined()) {
      result.select(1, j).copy_(product.reshape({-1, dim()}).index_select(0, index));
    }
  }
  return result;
}

int64_t measure_problem_bytes(const ProblemFunction& f, const at::Tensor& x) {
  const MemoryScope scope;
  const HessianOperator one([&f](const at::Tensor& row) { return f(row, {0}); }, x.narrow(0, 0, 1));
  one.apply(at::ones({1, 1, one.dim()}, one.vector_options()));
  return scope.peak_bytes();
}

}  // namespace hessian
