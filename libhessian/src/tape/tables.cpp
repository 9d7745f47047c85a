#include <utility>
#include <vector>

#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// The rule of y = rows of a table E: ydot = the same rows of Edot; each row of Ebardot is the sum of ybardot over the
/// positions of its id.
class EmbeddingRule final : public Rule {
 public:
  EmbeddingRule(const Embedding& embedding, at::Tensor ids, const at::Tensor& table)
      : name_(embedding.table), ids_(std::move(ids)), rows_(table.size(0)) {
    value_ = at::embedding(table, ids_);
  }

  std::vector<at::Tensor> vjp(const at::Tensor& /*cotangent*/) override { return {at::Tensor()}; }

  at::Tensor jvp(std::span<const at::Tensor> /*tangents*/, Scratch& /*scratch*/) const override { return {}; }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& /*cotangent_tangent*/, Scratch& /*scratch*/) const override {
    return {at::Tensor()};
  }

  at::Tensor parametric_jvp(std::span<const at::Tensor> /*tangents*/, const Parameters& parameter_tangents,
                            Scratch& /*scratch*/) const override {
    const at::Tensor& table_dot = parameter_tangents.at(name_);
    return table_dot.index_select(1, ids_.flatten()).unflatten(1, ids_.sizes()).transpose(0, 1);
  }

  CotangentTangents parametric_vjp_tangent(const at::Tensor& cotangent_tangent,
                                           const Parameters& /*parameter_tangents*/,
                                           Scratch& /*scratch*/) const override {
    std::vector<at::Tensor> sums;
    for (const at::Tensor& ybardot : cotangent_tangent.unbind(1)) {
      sums.push_back(at::embedding_dense_backward(ybardot, ids_, rows_, /*padding_idx=*/-1, false));
    }
    CotangentTangents result{{at::Tensor()}, {}};
    result.parameters.add(name_, at::stack(sums));
    return result;
  }

 private:
  std::string name_;
  at::Tensor ids_;
  int64_t rows_;
};

/// The rule of y = x + the first T rows of a table P: ydot = xdot + Pdot, xbardot = ybardot, and Pbardot is the sum of
/// ybardot over the sequences.
class PositionsRule final : public Rule {
 public:
  PositionsRule(const AddPositions& positions, const at::Tensor& x, const at::Tensor& table)
      : name_(positions.table), sequences_(x.size(0)), positions_(x.size(1)) {
    value_ = x + table.narrow(0, 0, positions_).to(x.scalar_type());
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override { return {cotangent}; }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& /*scratch*/) const override { return tangents[0]; }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& /*scratch*/) const override {
    return {cotangent_tangent};
  }

  at::Tensor parametric_jvp(std::span<const at::Tensor> tangents, const Parameters& parameter_tangents,
                            Scratch& /*scratch*/) const override {
    const at::Tensor table_dot =
        parameter_tangents.at(name_).narrow(1, 0, positions_).unsqueeze(0);  // [1, k, T, width]
    return tangents[0].defined() ? tangents[0] + table_dot : table_dot.expand({sequences_, -1, -1, -1});
  }

  CotangentTangents parametric_vjp_tangent(const at::Tensor& cotangent_tangent, const Parameters& parameter_tangents,
                                           Scratch& /*scratch*/) const override {
    at::Tensor sums = at::zeros(parameter_tangents.at(name_).sizes(), cotangent_tangent.options());
    sums.narrow(1, 0, positions_).copy_(cotangent_tangent.sum(0));
    CotangentTangents result{{cotangent_tangent}, {}};
    result.parameters.add(name_, sums);
    return result;
  }

 private:
  std::string name_;
  int64_t sequences_;
  int64_t positions_;
};

}  // namespace

RulePtr record(const Embedding& embedding, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& /*demand*/) {
  return std::make_unique<EmbeddingRule>(embedding, inputs[0], parameters.at(embedding.table));
}

RulePtr record(const AddPositions& positions, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& /*demand*/) {
  return std::make_unique<PositionsRule>(positions, inputs[0], parameters.at(positions.table));
}

}  // namespace hessian::tape
