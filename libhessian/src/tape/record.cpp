#include <stdexcept>

#include "tape/rule.h"

namespace hessian::tape {

RulePtr record_operation(const Operation& operation, std::span<const at::Tensor> inputs, const Parameters& parameters) {
  return std::visit(
      [&]<class Chosen>(const Chosen& chosen) -> RulePtr {
        if constexpr (std::is_same_v<Chosen, Embedding>) {
          throw std::invalid_argument("token ids have no tangents: a tape begins after the embedding");
        } else {
          return record(chosen, inputs, parameters);
        }
      },
      operation);
}

}  // namespace hessian::tape
