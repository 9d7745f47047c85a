#include <stdexcept>

#include "tape/rule.h"

namespace hessian::tape {

at::Tensor Rule::parametric_jvp(std::span<const at::Tensor> /*tangents*/, const Parameters& /*parameter_tangents*/,
                                Scratch& /*scratch*/) const {
  throw std::logic_error("this primitive has no parameters, and so no tangents of them");
}

CotangentTangents Rule::parametric_vjp_tangent(const at::Tensor& /*cotangent_tangent*/,
                                               const Parameters& /*parameter_tangents*/, Scratch& /*scratch*/) const {
  throw std::logic_error("this primitive has no parameters, and so no tangents of them");
}

RulePtr record_operation(const Operation& operation, std::span<const at::Tensor> inputs, const Parameters& parameters,
                         const Demand& demand) {
  return std::visit(
      [&]<class Chosen>(const Chosen& chosen) -> RulePtr {
        if constexpr (std::is_same_v<Chosen, Embedding>) {
          if (!demand.varies(chosen.table)) {
            throw std::invalid_argument("token ids have no tangents: a tape begins after the embedding");
          }
        }
        if constexpr (requires { record(chosen, inputs, parameters, demand); }) {
          return record(chosen, inputs, parameters, demand);
        } else {
          return record(chosen, inputs, parameters);
        }
      },
      operation);
}

}  // namespace hessian::tape
