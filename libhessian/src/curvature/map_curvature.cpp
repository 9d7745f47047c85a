#include "hessian/map_curvature.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "hessian/evaluate.h"
#include "hessian/hessian_operator.h"
#include "hessian/tape_operator.h"

namespace hessian {
namespace {

ValueId result_of(const Program& program, std::size_t step) {
  return program.n_inputs + static_cast<ValueId>(step);
}

bool is_norm(const Operation& operation) {
  return std::holds_alternative<RmsNorm>(operation) || std::holds_alternative<LayerNorm>(operation);
}

/// Returns the step that reads a value, if exactly one does.
std::optional<std::size_t> only_reader(const Program& program, ValueId value) {
  std::optional<std::size_t> reader;
  for (std::size_t step = 0; step < program.steps.size(); ++step) {
    const auto& inputs = program.steps[step].inputs;
    const auto reads = std::count(inputs.begin(), inputs.end(), value);
    if (reads > 1 || (reads == 1 && reader)) {
      return std::nullopt;
    }
    reader = reads == 1 ? step : reader;
  }
  return reader;
}

/// Returns the program that computes z from x.
Program alone(const Program& program, const LinearMap& map) {
  const auto step_of = [&program](ValueId value) { return static_cast<std::size_t>(value - program.n_inputs); };
  Program map_program;
  map_program.n_inputs = 1;
  ValueId value = 0;
  const Step& last = program.steps[step_of(map.output)];
  if (map.normalised) {
    value = map_program.push(program.steps[step_of(last.inputs.front())].operation, {value});
  }
  map_program.output = map_program.push(last.operation, {value});
  return map_program;
}

}  // namespace

std::vector<LinearMap> linear_maps(const Program& program) {
  std::vector<LinearMap> maps;
  for (std::size_t step = 0; step < program.steps.size(); ++step) {
    const auto* linear = std::get_if<Linear>(&program.steps[step].operation);
    if (linear == nullptr) {
      continue;
    }
    LinearMap map{linear->weight, program.steps[step].inputs.front(), result_of(program, step), false};
    const auto reader = only_reader(program, map.output);
    if (reader && is_norm(program.steps[*reader].operation)) {
      map.output = result_of(program, *reader);
      map.normalised = true;
    }
    maps.push_back(std::move(map));
  }
  return maps;
}

/// The map at one point, and the Hessian with respect to its output.
struct MapCurvature::Point {
  Program map;
  Parameters parameters;
  at::Tensor x;         // [S, T, width]
  at::Tensor gradient;  // df/dz, [S, T, width of z]
  std::shared_ptr<const TapeOperator> at_output;

  at::Tensor z(const at::Tensor& point) const {
    const std::vector<at::Tensor> inputs = {point};
    return evaluate(map, parameters, inputs);
  }

  /// Returns J^T H_zz J v for one vector per problem.
  at::Tensor through(const at::Tensor& v, const ProblemIndices& problems) const {
    const c10::AutoGradMode recording(true);
    const at::Tensor point = rows_of(x, problems).detach().requires_grad_();
    const at::Tensor value = z(point);
    // u -> J^T u is linear in u, and the transpose of that map is v -> J v.
    const at::Tensor u = at::zeros_like(value).requires_grad_();
    const at::Tensor pulled_back = torch::autograd::grad({value}, {point}, {u}, true, true).front();
    const at::Tensor pushed = torch::autograd::grad({pulled_back}, {u}, {v.view_as(point)}, true).front();
    const at::Tensor curved = at_output->apply(pushed.detach().reshape({v.size(0), 1, -1}), problems);
    return torch::autograd::grad({value}, {point}, {curved.view_as(value)}).front().reshape(v.sizes());
  }
};

namespace {

/// J^T H_zz J as an operator on x. `Point` is MapCurvature::Point, which is private.
template <class Point>
class GainTerm final : public LinearOperator {
 public:
  explicit GainTerm(std::shared_ptr<const Point> point) : point_(std::move(point)) {}
  int64_t problems() const override { return point_->x.size(0); }
  int64_t dim() const override { return point_->x.numel() / problems(); }
  at::TensorOptions vector_options() const override { return point_->x.options(); }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    at::Tensor result = at::empty(v.sizes(), v.options());
    for (int64_t j = 0; j < v.size(1); ++j) {
      result.select(1, j).copy_(point_->through(v.select(1, j).contiguous(), problems));
    }
    return result;
  }

  std::shared_ptr<const Point> point_;
};

}  // namespace

MapCurvature::MapCurvature(const Program& program, const Parameters& parameters, std::vector<at::Tensor> inputs,
                           const LinearMap& map) {
  auto point = std::make_shared<Point>();
  point->map = alone(program, map);
  point->parameters = parameters.detached();
  {
    const Tape tape(program, parameters, inputs, {map.input, map.output});
    point->x = tape.activation(0);
    point->gradient = tape.gradient(1);
  }
  point->at_output = std::make_shared<TapeOperator>(program, parameters, std::move(inputs), map.output);
  point_ = std::move(point);
}

OperatorPtr MapCurvature::gain_term() const {
  return std::make_shared<GainTerm<Point>>(point_);
}

OperatorPtr MapCurvature::curvature_term() const {
  // C is the Hessian of <df/dz, z(x)> for fixed df/dz.
  const auto along_gradient = [point = point_](const at::Tensor& x, const ProblemIndices& problems) {
    return (point->z(x) * rows_of(point->gradient, problems)).flatten(1).sum(1);
  };
  return std::make_shared<HessianOperator>(along_gradient, point_->x);
}

}  // namespace hessian
