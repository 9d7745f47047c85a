#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "program/job_place.h"

namespace hessian::experiments {

/// The processes of one job and the messages they exchange.
///
/// Unless stated otherwise, a method is collective: every process must make the same calls in the same order. Copies
/// refer to the same group. For a single process every call is a no-op. Every method throws std::runtime_error if a
/// process is lost; the message names that process if it is known.
class ProcessGroup {
 public:
  /// Makes a group of one process.
  ProcessGroup() = default;

  /// Connects to the other processes of the job: through LibTorch's Gloo for the CPU, through NCCL for CUDA devices.
  /// \throws std::runtime_error  if they cannot be reached, or if this build has no NCCL
  static ProcessGroup join(const JobPlace& place, at::Device device);

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  bool is_first() const { return place_.is_first(); }
  bool is_alone() const { return place_.size == 1; }
  const JobPlace& place() const { return place_; }

  /// Replaces a contiguous tensor by its sum over all processes. The result has the same bits in every process.
  void all_reduce(at::Tensor& tensor) const;

  /// Sums tensors [size * n] over all processes and returns this process's shard [n] of the sum: process r receives
  /// entries r n ... (r + 1) n - 1.
  at::Tensor reduce_scatter(const at::Tensor& tensor) const;

  /// Returns the shards [n] of all processes, concatenated in the order of their ranks: [size * n].
  at::Tensor all_gather(const at::Tensor& shard) const;

  /// Replaces a contiguous tensor by the first process's tensor.
  void broadcast(at::Tensor& tensor) const;
  /// Returns the first process's text.
  std::string broadcast(const std::string& text) const;

  /// Returns whether the condition holds in any process.
  bool any(bool condition) const;

  /// Waits until every process has called it.
  void barrier() const;

  // The following methods are not collective: any process may call them at any time.

  /// Returns whether this process is the first to claim the name.
  bool claim(const std::string& name) const;

  /// Publishes a text under a name. Once this returns, find_published() finds it in every process. Does nothing in a
  /// group of one process.
  void publish(const std::string& name, const std::string& text) const;
  /// Returns the text that some process has published under the name, if any.
  std::optional<std::string> find_published(const std::string& name) const;

 private:
  struct Connection;
  ProcessGroup(JobPlace place, std::shared_ptr<Connection> connection);

  JobPlace place_;
  std::shared_ptr<Connection> connection_;
};

/// A contiguous range of items: one process's share of a list.
struct Share {
  int64_t first = 0;
  int64_t count = 0;
};

/// Divides `items` items, in order and as evenly as possible, into `shares` shares and returns the one with that index.
Share share_of(int64_t items, int64_t index, int64_t shares);

}  // namespace hessian::experiments
