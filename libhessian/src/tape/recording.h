#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "hessian/parameters.h"
#include "hessian/program.h"
#include "tape/rule.h"

namespace hessian::tape {

/// Where a value stands in a vector of all values.
inline std::size_t place(ValueId value) {
  return static_cast<std::size_t>(value);
}

/// Steps begin ... end - 1, of which either all have their rules at hand or none.
struct Part {
  std::size_t begin = 0;
  std::size_t end = 0;
  /// Values from outside that its steps read.
  std::vector<ValueId> reads;
  /// Parameters that its steps read.
  std::vector<std::string> parameters;
};

/// A program at one point: the rules of its steps, and what it takes to make them again.
class Recording {
 public:
  /// Runs the program forward and back. See Tape for the arguments; `demand` names the parameters that have tangents.
  Recording(Program program, Parameters parameters, const std::vector<at::Tensor>& inputs, std::vector<ValueId> entries,
            const std::vector<ValueId>& checkpoints, Demand demand = {});

  const Program& program() const { return program_; }
  const Demand& demand() const { return demand_; }
  const std::vector<ValueId>& entries() const { return entries_; }
  const std::vector<Part>& parts() const { return parts_; }
  const at::Tensor& losses() const { return losses_; }
  const at::Tensor& activation(std::size_t entry) const { return activations_.at(entry); }
  const at::Tensor& gradient(std::size_t entry) const { return gradients_.at(entry); }

  /// Makes the rules of a part, if they are not at hand.
  /// \param next  the part that will be asked for next; its parameters are got ready meanwhile where they are deferred
  void hold(const Part& part, const Part* next = nullptr);
  /// Lets the rules of a part go, where it can be made again.
  void release(const Part& part);

  /// The rule of a step, or null where the step depends on no entry and no parameter in demand.
  const Rule* rule(std::size_t step) const { return rules_[step].get(); }
  /// Whether a step reads a parameter in demand.
  bool varies(std::size_t step) const { return varies_[step]; }
  bool is_active(ValueId value) const { return active_[place(value)]; }
  /// The place of a value among the entries, if it is one.
  std::optional<std::size_t> entry_at(ValueId value) const;
  ValueId result_of(std::size_t step) const { return program_.n_inputs + static_cast<ValueId>(step); }
  /// Zeros of a value's shape that take no memory.
  const at::Tensor& shape(ValueId value) const { return shapes_[place(value)]; }
  /// The last step with a rule that reads a value.
  std::size_t last_use(ValueId value) const { return last_use_[place(value)]; }

 private:
  /// The part before another, if there is one.
  const Part* before(std::size_t part) const;

  void divide(const std::vector<ValueId>& checkpoints);
  void note_reads();
  bool depends(std::size_t step) const;
  void run_forward(const Part& part, const Part* next, std::vector<at::Tensor>& values);
  void run_backward(const Part& part, std::vector<at::Tensor>& cotangents);
  bool keeps_everything() const { return parts_.size() == 1; }

  Program program_;
  Parameters parameters_;
  Demand demand_;
  std::vector<ValueId> entries_;
  std::vector<Part> parts_;
  std::vector<bool> needed_;            // of steps: whether the output depends on them
  std::vector<std::size_t> last_read_;  // of values: the last needed step that reads them
  std::vector<std::size_t> last_use_;
  std::vector<bool> varies_;  // of steps: whether they read a parameter in demand
  std::vector<bool> active_;  // of values: whether they depend on an entry or are one, or on a parameter in demand
  std::vector<at::Tensor> shapes_;
  std::vector<RulePtr> rules_;
  std::vector<at::Tensor> kept_values_;      // those that parts read from outside, where they are made again
  std::vector<at::Tensor> kept_cotangents_;  // of a part's values, what the parts after it give
  at::Tensor losses_;
  std::vector<at::Tensor> activations_;
  std::vector<at::Tensor> gradients_;
};

}  // namespace hessian::tape
