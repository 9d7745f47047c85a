#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/process_group.h"
#include "hessian/parameters.h"

namespace hessian::experiments {

/// This process's shard of all parameters: the entries that it updates and whose optimizer state it keeps.
///
/// The entries of all parameters are concatenated and cut into shards of equal length, one per process (the last one is
/// padded). A shard may begin and end within a parameter. For an update each process receives the sum of all gradients
/// for its shard (reduce-scatter), updates it, and sends it to the others (all-gather). A single process owns
/// everything, and nothing is copied.
///
/// Cost: an update sends as much as an all-reduce of the gradients would. Memory: a temporary second copy of the
/// gradients.
/// Source: Rajbhandari et al. (2020), ZeRO, arXiv 1910.02054, section 5.1 (optimizer state partitioning).
class ParameterShard {
 public:
  /// \param parameters  leaves of autograd, of one precision and on one device; shared, not copied
  ParameterShard(const Parameters& parameters, ProcessGroup group = {});  // NOLINT(google-explicit-constructor)

  const ProcessGroup& group() const { return group_; }

  /// Returns the names of all parameters, in the model's order.
  std::vector<std::string> names() const;
  at::IntArrayRef shape_of(const std::string& parameter) const { return range_of(parameter).parameter.sizes(); }

  /// Returns the shard under the parameters' names, as views of the parameters' entries. A parameter that belongs to
  /// other processes entirely is absent. A piece of a matrix is a matrix of one column, because weight decay depends on
  /// the number of dimensions.
  const Parameters& own() const { return own_; }

  /// Sums the parameters' gradients over all processes, stores those of the shard in own() and releases the others.
  void reduce_gradients() const;

  /// Copies every process's updated shard into the parameters of all processes.
  void gather_updates() const;

  /// Assembles a tensor of a parameter's shape from the pieces that the processes hold; the result is the same in every
  /// process.
  /// \param piece  this process's entries, as shard_of() returns them; undefined if it has none
  at::Tensor assemble(const std::string& parameter, const at::Tensor& piece) const;

  /// Returns this process's piece of a tensor of a parameter's shape, in the shape that own() has.
  at::Tensor shard_of(const std::string& parameter, const at::Tensor& whole) const;

 private:
  /// The range of a parameter in the concatenation of all.
  struct Range {
    std::string name;
    at::Tensor parameter;
    int64_t offset = 0;
    Share own;  ///< entries of the parameter that belong to this process
  };
  at::Tensor slice(const Range& range, const at::Tensor& whole) const;
  const Range& range_of(const std::string& parameter) const;
  /// Returns the entries of a vector as long as the shard that belong to a parameter, in the shape that own() has.
  at::Tensor piece_of(const at::Tensor& shard, const Range& range) const;

  ProcessGroup group_;
  std::vector<Range> ranges_;
  int64_t shard_length_ = 0;
  Parameters own_;
};

}  // namespace hessian::experiments
