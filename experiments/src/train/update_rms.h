#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "hessian/parameters.h"

namespace hessian::experiments {

/// How far one update moved the parameters, group by group: a group is the same tensor of every layer, as in
/// attention.wq.weight.
class UpdateRms {
 public:
  explicit UpdateRms(const hessian::Parameters& parameters);

  const std::vector<std::string>& groups() const { return groups_; }

  /// Copies the parameters, before an update.
  void remember();

  /// Root mean square of (present - remembered), one for each group; forgets the copy. What was remembered has to be.
  struct Values {
    std::vector<double> update;
    std::vector<double> parameter;  ///< of what was remembered
  };
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

/// A parameter's name without its layer: "attention.wq.weight" for "layers.3.attention.wq.weight".
std::string tensor_group(const std::string& parameter);

}  // namespace hessian::experiments
