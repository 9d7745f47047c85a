#include "hessian/tape.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/rows/run_rows.h"
#include "tape/arguments.h"
#include "tape/recorded_program.h"
#include "tape/tangent_pass.h"

namespace hessian {

bool tape_runs_on(c10::Device device) {
  return device.is_cpu() || (device.is_cuda() && rows::has_cuda_passes());
}

Tape::Tape(const Program& program, const Parameters& parameters, const std::vector<at::Tensor>& inputs,
           std::vector<ValueId> entries, const std::vector<ValueId>& checkpoints) {
  const auto values = program.n_inputs + static_cast<ValueId>(program.steps.size());
  if (inputs.empty() || inputs.size() != static_cast<std::size_t>(program.n_inputs) || entries.empty() ||
      !tape::ascends(entries) || !tape::ascends(checkpoints) || entries.front() < 0 || entries.back() >= values) {
    throw std::invalid_argument(
        "a tape needs one tensor per input, and values of the program in ascending order as entries and checkpoints");
  }
  for (const at::Tensor& input : inputs) {
    if (input.is_floating_point()) {
      tape::check_precision(input);
    }
  }
  const c10::NoGradGuard no_grad;
  recorded_ = std::make_unique<tape::RecordedProgram>(program, parameters, inputs, std::move(entries), checkpoints);
}

Tape::Tape(Tape&&) noexcept = default;
Tape& Tape::operator=(Tape&&) noexcept = default;
Tape::~Tape() = default;

const at::Tensor& Tape::losses() const {
  return recorded_->losses();
}

const at::Tensor& Tape::activation(std::size_t entry) const {
  return recorded_->activation(entry);
}

const at::Tensor& Tape::gradient(std::size_t entry) const {
  return recorded_->gradient(entry);
}

std::vector<at::Tensor> Tape::apply(const std::vector<TapeVectors>& vectors) const {
  const auto& entries = recorded_->entries();
  if (vectors.size() != entries.size()) {
    throw std::invalid_argument("the tape has " + std::to_string(entries.size()) + " entries, not " +
                                std::to_string(vectors.size()));
  }
  const int64_t sequences = losses().size(0);
  for (std::size_t entry = 0; entry < vectors.size(); ++entry) {
    const auto& [rows, of_rows] = vectors[entry];
    const at::Tensor& x = activation(entry);
    const auto count = static_cast<int64_t>(of_rows.size());
    if (rows.dim() != x.dim() || rows.size(0) != count || rows.sizes().slice(1) != x.sizes().slice(1)) {
      throw std::invalid_argument("vectors are " + c10::str(rows.sizes()) + ", expected [" + std::to_string(count) +
                                  ", ...] for an activation " + c10::str(x.sizes()));
    }
    const auto absent =
        std::find_if(of_rows.begin(), of_rows.end(), [&](int64_t s) { return s < 0 || s >= sequences; });
    if (absent != of_rows.end()) {
      throw std::invalid_argument("sequence " + std::to_string(*absent) + " is not among the tape's " +
                                  std::to_string(sequences));
    }
  }
  const c10::NoGradGuard no_grad;
  return tape::TangentPass(*recorded_, vectors).run();
}

}  // namespace hessian
