#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "hessian/parameters.h"

namespace hessian::experiments {

/// Measures how far one update moves the parameters, per group. A group is the same tensor in all layers, such as
/// attention.wq.weight.
class UpdateRms {
 public:
  explicit UpdateRms(const Parameters& parameters);

  const std::vector<std::string>& groups() const { return groups_; }

  /// Copies the parameters; to be called before an update.
  void remember();

  /// Root mean squares of differences and of parameters, one entry per group.
  struct Values {
    std::vector<double> update;     ///< RMS of the difference between the current and the remembered parameters
    std::vector<double> parameter;  ///< RMS of the remembered parameters
  };
  /// Compares the parameters with the copy that remember() made, and releases the copy.
  /// Precondition: remember() was called.
  Values measure();

 private:
  struct Member {
    at::Tensor parameter;
    std::size_t group;
  };
  std::vector<std::string> groups_;
  std::vector<Member> members_;
  std::vector<at::Tensor> remembered_;
};

/// Returns a parameter's name without its layer: "attention.wq.weight" for "layers.3.attention.wq.weight".
std::string tensor_group(const std::string& parameter);

}  // namespace hessian::experiments
