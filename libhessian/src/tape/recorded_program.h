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

/// Returns the index of a value in a vector of all values.
inline std::size_t place(ValueId value) {
  return static_cast<std::size_t>(value);
}

/// Steps begin ... end - 1 between two checkpoints. Their rules exist all together or not at all.
struct Segment {
  std::size_t begin = 0;
  std::size_t end = 0;
  /// Values from outside the segment that its steps read.
  std::vector<ValueId> reads;
  /// Parameters that its steps read.
  std::vector<std::string> parameters;
};

/// The purpose for which the rules of a segment are computed.
enum class Use {
  jvp,      ///< tangents of values only
  tangents  ///< tangents of cotangents as well
};

/// A program at one point: the rules of its steps, or what is needed to compute them again.
///
/// With one segment, all rules are kept. With several, one segment's rules exist at a time; the values that a segment
/// reads from outside and the cotangents of its results are kept, and its rules are recomputed from them.
class RecordedProgram {
 public:
  /// Runs the program forward and backward. See Tape for the arguments; `demand` names the parameters with tangents.
  RecordedProgram(Program program, Parameters parameters, const std::vector<at::Tensor>& inputs,
                  std::vector<ValueId> entries, const std::vector<ValueId>& checkpoints, Demand demand = {});

  const Program& program() const { return program_; }
  const Demand& demand() const { return demand_; }
  const std::vector<ValueId>& entries() const { return entries_; }
  const std::vector<Segment>& segments() const { return segments_; }
  const at::Tensor& losses() const { return losses_; }
  const at::Tensor& activation(std::size_t entry) const { return activations_.at(entry); }
  const at::Tensor& gradient(std::size_t entry) const { return gradients_.at(entry); }

  /// Computes the rules of a segment unless all rules are kept.
  /// \param next  the segment needed next; if its parameters are deferred, their source can prepare them meanwhile
  void compute_rules(const Segment& segment, Use use, const Segment* next = nullptr);
  /// Releases the rules of a segment unless all rules are kept.
  void release_rules(const Segment& segment);

  /// Returns the rule of a step, or null if the step depends on no entry and on no varying parameter.
  const Rule* rule(std::size_t step) const { return rules_[step].get(); }
  /// Returns whether a step reads a varying parameter.
  bool varies(std::size_t step) const { return varies_[step]; }
  /// Returns whether a value is an entry, or depends on an entry or on a varying parameter.
  bool is_active(ValueId value) const { return active_[place(value)]; }
  /// Returns the index of a value among the entries, if it is one.
  std::optional<std::size_t> entry_of(ValueId value) const;
  ValueId result_of(std::size_t step) const { return program_.n_inputs + static_cast<ValueId>(step); }
  /// Returns zeros of a value's shape that take no memory.
  const at::Tensor& shape(ValueId value) const { return shapes_[place(value)]; }
  /// Returns the last step with a rule that reads a value.
  std::size_t last_use(ValueId value) const { return last_use_[place(value)]; }

 private:
  void analyse(const std::vector<ValueId>& checkpoints);
  void find_active_values();
  void divide_into_segments(const std::vector<ValueId>& checkpoints);
  void find_reads(Segment& segment) const;
  void record_forward(const std::vector<at::Tensor>& inputs);
  void record_backward();
  void check_losses(int64_t sequences) const;
  void run_forward(const Segment& segment, const Segment* next, std::vector<at::Tensor>& values);
  void run_backward(const Segment& segment, std::vector<at::Tensor>& cotangents);
  bool jvp_needs_cotangents(const Segment& segment) const;
  const Segment* before(std::size_t segment) const { return segment > 0 ? &segments_[segment - 1] : nullptr; }
  bool keeps_everything() const { return segments_.size() == 1; }

  Program program_;
  Parameters parameters_;
  Demand demand_;
  std::vector<ValueId> entries_;

  // Results of the analysis.
  std::vector<Segment> segments_;
  std::vector<bool> needed_;            // per step: whether the output depends on it
  std::vector<bool> varies_;            // per step: whether it reads a varying parameter
  std::vector<bool> has_rule_;          // per step: whether it is needed and its result is active
  std::vector<bool> active_;            // per value; see is_active()
  std::vector<std::size_t> last_read_;  // per value: the last needed step that reads it
  std::vector<std::size_t> last_use_;   // per value: the last step with a rule that reads it

  // Results of recording.
  std::vector<at::Tensor> shapes_;
  std::vector<RulePtr> rules_;
  std::vector<at::Tensor> kept_values_;      // read by a segment from outside; empty if all rules are kept
  std::vector<at::Tensor> kept_cotangents_;  // of a segment's results, from the later segments
  at::Tensor losses_;
  std::vector<at::Tensor> activations_;
  std::vector<at::Tensor> gradients_;
};

}  // namespace hessian::tape
