#include "hessian/tape_operator.h"

#include <set>
#include <stdexcept>
#include <utility>

#include "linalg/problem_places.h"

namespace hessian {
namespace {

/// The rows of the vectors that belong to one value.
struct Entering {
  ProblemIndices rows;       // in v
  ProblemIndices sequences;  // in the tape, one per row
};

/// Returns the rows listed, which ascend; a contiguous range is not copied.
at::Tensor rows_listed(const at::Tensor& all, const ProblemIndices& rows) {
  if (rows.empty() || rows.back() - rows.front() + 1 != static_cast<int64_t>(rows.size())) {
    return rows_of(all, rows);
  }
  return all.narrow(0, rows.front(), static_cast<int64_t>(rows.size()));
}

}  // namespace

TapeOperator::TapeOperator(TapeProblem problem) : problem_(std::move(problem)) {
  if (problem_.inputs.empty()) {
    throw std::invalid_argument("a tape needs one tensor per input, and at least one");
  }
  record(all_problems(sequences()));
  const at::Tensor& x = tape_->activation(0);
  for (std::size_t i = 1; i < problem_.values.size(); ++i) {
    if (tape_->activation(i).sizes() != x.sizes()) {
      throw std::invalid_argument("the values to differentiate with respect to are " + c10::str(x.sizes()) + " and " +
                                  c10::str(tape_->activation(i).sizes()) + "; one operator takes one shape");
    }
  }
  dim_ = x.numel() / x.size(0);
  options_ = x.options();
}

TapeOperator::TapeOperator(Program program, Parameters parameters, std::vector<at::Tensor> inputs, ValueId value)
    : TapeOperator({std::move(program), std::move(parameters), std::move(inputs), {value}, {}}) {}

void TapeOperator::record(const ProblemIndices& sequences) const {
  tape_.reset();  // first, so that two tapes never exist at once
  std::vector<at::Tensor> rows;
  for (const at::Tensor& input : problem_.inputs) {
    rows.push_back(rows_of(input, sequences));
  }
  tape_ = std::make_unique<Tape>(problem_.program, problem_.parameters, rows, problem_.values, problem_.checkpoints);
  recorded_ = sequences;
}

at::Tensor TapeOperator::do_apply(const at::Tensor& v, const ProblemIndices& problems) const {
  std::set<int64_t> needed;
  for (const int64_t problem : problems) {
    needed.insert(problem % sequences());
  }
  const ProblemIndices sequences_needed(needed.begin(), needed.end());
  if (worth_recording(recorded_, sequences_needed)) {
    record(sequences_needed);
  }
  const ProblemIndices places = places_among(recorded_, all_problems(sequences())).places;
  std::vector<Entering> entering(problem_.values.size());
  for (std::size_t i = 0; i < problems.size(); ++i) {
    Entering& group = entering[static_cast<std::size_t>(problems[i] / sequences())];
    group.rows.push_back(static_cast<int64_t>(i));
    group.sequences.push_back(places[static_cast<std::size_t>(problems[i] % sequences())]);
  }
  const int64_t k = v.size(1);
  auto shape = tape_->activation(0).sizes().vec();
  shape[0] = -1;
  std::vector<TapeVectors> vectors;
  for (const Entering& group : entering) {
    TapeVectors rows;
    shape[0] = static_cast<int64_t>(group.rows.size()) * k;
    rows.rows = rows_listed(v, group.rows).reshape(shape);
    for (const int64_t sequence : group.sequences) {
      rows.sequences.insert(rows.sequences.end(), static_cast<std::size_t>(k), sequence);
    }
    vectors.push_back(std::move(rows));
  }
  const auto products = tape_->apply(vectors);
  if (products.size() == 1) {
    return products.front().reshape(v.sizes());
  }
  at::Tensor result = at::empty(v.sizes(), v.options());
  for (std::size_t i = 0; i < products.size(); ++i) {
    if (!entering[i].rows.empty()) {
      const at::Tensor index = at::tensor(entering[i].rows, at::kLong).to(v.device());
      result.index_copy_(0, index, products[i].reshape({-1, k, v.size(2)}));
    }
  }
  return result;
}

}  // namespace hessian
