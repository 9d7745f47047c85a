#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "program/job_place.h"

namespace hessian::experiments {

/// The processes of one job, and what they tell each other. Where nothing else is said, every process has to make the same
/// calls in the same order.
///
/// Copies are the same group. A group of one needs nothing of the others, and costs nothing.
/// All calls throw std::runtime_error, naming the process as far as it is known, when one of the processes is lost.
class ProcessGroup {
 public:
  /// A process alone.
  ProcessGroup() = default;

  /// Meets the others: through LibTorch's Gloo for the CPU, and NCCL for CUDA devices.
  /// \throws std::runtime_error  if they cannot be reached, or this build has no NCCL
  static ProcessGroup join(const JobPlace& place, at::Device device);

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  bool is_first() const { return place_.is_first(); }
  bool is_alone() const { return place_.size == 1; }
  const JobPlace& place() const { return place_; }

  /// Replaces a contiguous tensor by the sum over all processes, the same bits in each.
  void sum(at::Tensor& tensor) const;

  /// Sum of the processes' tensors [size * n], of which each process keeps its own part [n]: process r has entries
  /// r n ... (r + 1) n - 1.
  at::Tensor sum_of_part(const at::Tensor& whole) const;

  /// The processes' parts [n] one behind the other, [size * n].
  at::Tensor gather(const at::Tensor& part) const;

  /// Replaces a contiguous tensor, or a text, by the first process's.
  void take_first(at::Tensor& tensor) const;
  std::string take_first(const std::string& text) const;

  /// Whether it holds in any process.
  bool any(bool here) const;

  /// Returns once every process has come here.
  void wait_for_all() const;

  // The rest need not be called by all.

  /// Whether this process is the first to ask for that name.
  bool claim(const std::string& name) const;

  /// Leaves a text under a name, for told(), which finds it once this returns.
  void tell(const std::string& name, const std::string& text) const;
  std::optional<std::string> told(const std::string& name) const;

 private:
  struct Members;
  ProcessGroup(JobPlace place, std::shared_ptr<Members> members);

  JobPlace place_;
  std::shared_ptr<Members> members_;
};

/// Part of a number of things that are divided as evenly as they can be, in order.
struct Share {
  int64_t first = 0;
  int64_t count = 0;
};
Share share_of(int64_t things, int64_t part, int64_t parts);

}  // namespace hessian::experiments
