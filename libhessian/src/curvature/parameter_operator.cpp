#include "hessian/parameter_operator.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "curvature/sampled_labels.h"
#include "hessian/memory.h"

namespace hessian {

ParameterOperator::ParameterOperator(ParameterProblem problem, ParameterOperatorOptions options)
    : problem_(std::move(problem)), options_(std::move(options)) {
  check(problem_);
  if (options_.sampled_labels < 0 || options_.sequences_at_once < 0) {
    throw std::invalid_argument("sampled labels and sequences at once must not be negative, they are " +
                                std::to_string(options_.sampled_labels) + " and " +
                                std::to_string(options_.sequences_at_once));
  }
  if (options_.sampled_labels > 0 && options_.curvature != Curvature::fisher) {
    throw std::invalid_argument("labels can be sampled for the Fisher matrix only");
  }
  const Parameters varying = problem_.varying();
  for (const auto& entry : varying) {
    names_.push_back(entry.first);
  }
  dim_ = entries_of(varying);
  vector_options_ = varying.begin()->second.options().requires_grad(false);
  if (options_.sampled_labels > 0) {
    replace_targets(problem_, options_.sampled_labels, options_.seed);
  }
  if (options_.sequences_at_once == 0 && options_.memory_bytes) {
    options_.sequences_at_once = sequences_within(*options_.memory_bytes);
  } else {
    options_.memory_bytes.reset();
  }
  const int64_t sequences = problem_.sequences();
  options_.sequences_at_once =
      options_.sequences_at_once == 0 ? sequences : std::min(options_.sequences_at_once, sequences);
  if (options_.sequences_at_once == sequences) {
    whole_ = std::make_unique<const ParameterTape>(record(0, sequences));
  }
}

ParameterTape ParameterOperator::record(int64_t first, int64_t count) const {
  return {problem_.program, problem_.parameters, problem_.inputs_of(first, count),
          names_,           options_.curvature,  options_.checkpoints};
}

/// Measures the peak memory of the tape of the first sequences and a product with one vector.
int64_t ParameterOperator::measure_bytes(int64_t sequences) const {
  const MemoryScope scope;
  record(0, sequences).apply(at::zeros({1, dim_}, vector_options_));
  return scope.peak_bytes();
}

int64_t ParameterOperator::sequences_within(int64_t memory_bytes) const {
  const int64_t one = measure_bytes(1);
  if (one > memory_bytes) {
    throw std::runtime_error("one sequence needs " + format_bytes(one) + " of memory, " + format_bytes(memory_bytes) +
                             " are allowed");
  }
  if (problem_.sequences() == 1) {
    return 1;
  }
  // Each further sequence costs the difference between two and one; the rest are vectors of the parameters' size.
  const int64_t further = std::max<int64_t>(1, measure_bytes(2) - one);
  return 1 + (memory_bytes - one) / further;
}

at::Tensor ParameterOperator::do_apply(const at::Tensor& v, const ProblemIndices& problems) const {
  if (problems.empty() || v.size(1) == 0) {
    return at::zeros_like(v);
  }
  const at::Tensor vectors = v.select(0, 0);
  const int64_t vectors_at_once = options_.memory_bytes ? 1 : vectors.size(0);
  const int64_t sequences = problem_.sequences();
  at::Tensor sum;
  for (int64_t first = 0; first < sequences; first += sequences_at_once()) {
    std::optional<ParameterTape> recorded;
    if (!whole_) {
      recorded = record(first, std::min(sequences_at_once(), sequences - first));
    }
    const ParameterTape& tape = whole_ ? *whole_ : *recorded;
    std::vector<at::Tensor> products;
    for (const at::Tensor& some : vectors.split(vectors_at_once)) {
      products.push_back(tape.apply(some));
    }
    const at::Tensor product = products.size() == 1 ? products.front() : at::cat(products);
    sum = sum.defined() ? sum.add_(product) : product;
  }
  return sum.div_(static_cast<double>(sequences)).unsqueeze(0);
}

}  // namespace hessian
