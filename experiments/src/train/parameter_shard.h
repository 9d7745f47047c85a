#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/process_group.h"
#include "hessian/parameters.h"

namespace hessian::experiments {

/// This process's part of all parameters, the part that it keeps the optimizer's state of and updates.
///
/// The entries of all parameters, one behind the other, are cut into parts of equal length, one for each process (the
/// last is padded); a part may begin and end within a parameter. In an update each process gets the sum of everyone's
/// gradients for its part (reduce-scatter), updates it, and gives it to the others (all-gather). A process alone has
/// everything, and nothing is copied.
///
/// Cost: an update sends what an all-reduce of the gradients would. Memory: the gradients a second time, for a moment.
/// Source: Rajbhandari et al. (2020), ZeRO, arXiv 1910.02054, section 5.1 (optimizer state partitioning).
class ParameterShard {
 public:
  /// \param parameters  leaves of autograd, of one precision and on one device; shared
  ParameterShard(const hessian::Parameters& parameters,
                 ProcessGroup group = {});  // NOLINT(google-explicit-constructor)

  const ProcessGroup& group() const { return group_; }

  /// Names of all parameters, in the model's order.
  std::vector<std::string> names() const;
  at::IntArrayRef shape_of(const std::string& parameter) const { return place_of(parameter).parameter.sizes(); }

  /// The part, under the parameters' names: views of the parameters' entries. Of a parameter of which all entries are
  /// another's there is none. The part of a matrix is a matrix of one column, since its shape tells whether it decays.
  const hessian::Parameters& own() const { return own_; }

  /// Sums the parameters' gradients over all processes, leaves the part's in own(), and forgets the others.
  void reduce_gradients() const;

  /// Makes every process's parameters those that each has updated its part of.
  void exchange_updates() const;

  /// A tensor of a parameter's shape, the same in every process, made of what each process has of it; `part` is undefined where it has nothing.
  at::Tensor whole(const std::string& parameter, const at::Tensor& part) const;

  /// This process's part of a tensor of a parameter's shape; of own()'s shape.
  at::Tensor part_of(const std::string& parameter, const at::Tensor& whole) const;

 private:
  /// A parameter's entries in the row of all.
  struct Place {
    std::string name;
    at::Tensor parameter;
    int64_t offset = 0;
    Share own;  ///< entries of the parameter that are this process's
  };
  at::Tensor slice(const Place& place, const at::Tensor& whole) const;
  const Place& place_of(const std::string& parameter) const;

  ProcessGroup group_;
  std::vector<Place> places_;
  int64_t part_length_ = 0;
  hessian::Parameters own_;
};

}  // namespace hessian::experiments
