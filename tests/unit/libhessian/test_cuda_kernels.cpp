#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "cuda_device.h"
#include "hessian/evaluate.h"
#include "hessian/memory.h"
#include "kernels/autocast.h"
#include "random_problems.h"

// Compares the primitives of training on a CUDA device and on the CPU.

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;

constexpr std::array all_types = {at::kDouble, at::kFloat, at::kBFloat16};

/// Rows and widths: narrower than a pack, rows for a warp and for several warps, widths that are and are not multiples
/// of a pack, more rows than groups of a gain's gradient, and a row too wide for shared memory.
struct Sizes {
  int64_t sequences;
  int64_t positions;
  int64_t width;
};
constexpr std::array all_sizes = {Sizes{1, 1, 2},    Sizes{2, 3, 6},      Sizes{3, 50, 64},   Sizes{1, 700, 1024},
                                  Sizes{2, 9, 1030}, Sizes{2, 700, 2048}, Sizes{1, 5, 40000}, Sizes{1, 3, 5506}};

struct Problem {
  Program program;
  Parameters parameters;
  std::vector<at::Tensor> inputs;

  /// One operation, or a linear map followed by an operation.
  Problem(Operation operation, std::vector<at::Tensor> its_inputs) : inputs(std::move(its_inputs)) {
    program.n_inputs = static_cast<int>(inputs.size());
    std::vector<ValueId> all;
    for (int input = 0; input < program.n_inputs; ++input) {
      all.push_back(input);
    }
    program.output = program.push(std::move(operation), all);
  }

  /// Returns the value and the gradients with respect to every input and parameter, in float64 on the CPU.
  std::vector<at::Tensor> on(at::Device device, at::ScalarType dtype, const at::Tensor& direction) const {
    const auto variable = [&](const at::Tensor& x) {
      return x.is_floating_point() ? x.to(device, dtype).detach().requires_grad_(true) : x.to(device);
    };
    std::vector<at::Tensor> moved;
    std::vector<at::Tensor> variables;
    Parameters renewed;
    const auto note = [&variables](const at::Tensor& x) {
      if (x.is_floating_point()) {
        variables.push_back(x);
      }
      return x;
    };
    for (const at::Tensor& x : inputs) {
      moved.push_back(note(variable(x)));
    }
    for (const auto& [name, tensor] : parameters) {
      renewed.add(name, note(variable(tensor)));
    }
    EvaluateOptions options;
    options.derivatives = Derivatives::first;
    const at::Tensor y = evaluate(program, renewed, moved, options);
    EXPECT_EQ(y.device().type(), device.type());
    auto all = torch::autograd::grad({y}, variables, {direction.expand(y.sizes()).to(device, y.scalar_type())});
    all.insert(all.begin(), y);
    for (at::Tensor& x : all) {
      x = x.detach().to(at::kCPU, at::kDouble);
    }
    return all;
  }

  /// Compares the device with the CPU, relative to the largest entry of a tensor. Sums of thousands of terms are taken in
  /// another order; in bfloat16, a sum may be rounded the other way, and matrix products round exponents.
  void expect_same(Random& random, double bfloat16_tolerance) const {
    for (const at::ScalarType dtype : all_types) {
      SCOPED_TRACE(c10::toString(dtype));
      const at::Tensor direction = random.normal({1});
      const double tolerance = dtype == at::kDouble ? 1e-11 : dtype == at::kFloat ? 2e-5 : bfloat16_tolerance;
      const auto host = on(at::kCPU, dtype, direction);
      const auto device = on(at::kCUDA, dtype, direction);
      for (std::size_t i = 0; i < host.size(); ++i) {
        // A result that is zero up to cancellation, such as a norm's gradient along a constant, is compared with 1e-2.
        EXPECT_LE(largest(device[i] - host[i]), tolerance * std::max(largest(host[i]), 1e-2)) << "result " << i;
      }
    }
  }
};

template <class Check>
void for_all_sizes(const Check& check) {
  for (const auto& [sequences, positions, width] : all_sizes) {
    SCOPED_TRACE(std::to_string(sequences) + " x " + std::to_string(positions) + " rows of " + std::to_string(width));
    Random random(static_cast<uint64_t>(width));
    check(random, at::IntArrayRef({sequences, positions, width}));
  }
}

constexpr double one_unit = 1.01 / 128;

TEST(CudaKernels, RmsNormAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_sizes([](Random& random, at::IntArrayRef shape) {
    Problem problem(RmsNorm{"g"}, {random.normal(shape)});
    problem.parameters.add("g", random.normal({shape[2]}));
    problem.expect_same(random, one_unit);
  });
}

TEST(CudaKernels, SiluGateAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_sizes([](Random& random, at::IntArrayRef shape) {
    const Problem problem(SiluGate{}, {3 * random.normal(shape), random.normal(shape)});
    problem.expect_same(random, one_unit);
  });
}

TEST(CudaKernels, RmsNormOfHeadsAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_sizes([](Random& random, at::IntArrayRef shape) {
    Problem problem(RmsNorm{"g", 1e-5, 2, 1.0}, {random.normal(shape)});
    problem.parameters.add("g", random.normal({shape[2] / 2}));
    problem.expect_same(random, one_unit);
  });
}

TEST(CudaKernels, GeluGateAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for (const bool tanh_approximation : {false, true}) {
    for_all_sizes([&](Random& random, at::IntArrayRef shape) {
      const Problem problem(GeluGate{tanh_approximation}, {3 * random.normal(shape), random.normal(shape)});
      problem.expect_same(random, one_unit);
    });
  }
}

TEST(CudaKernels, RopeOfPartsOfHeadsAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  Random random(4);
  const Rope rope{.head_dim = 64, .theta = 100.0, .rotated_dim = 32, .scale = 1.2};
  Problem(rope, {random.normal({2, 70, 640})}).expect_same(random, one_unit);
}

TEST(CudaKernels, RopeAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_sizes([](Random& random, at::IntArrayRef shape) {
    const Problem problem(Rope{shape[2] % 64 == 0 ? 64 : 2, 100.0}, {random.normal(shape)});
    problem.expect_same(random, one_unit);
  });
}

TEST(CudaKernels, CrossEntropyAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_sizes([](Random& random, at::IntArrayRef shape) {
    // The width is the number of classes, also more of them than a token model has.
    Problem problem(CrossEntropyHead{"w"},
                    {random.normal({shape[0], shape[1], 8}), random.integers(0, shape[2], {shape[0], shape[1]})});
    problem.parameters.add("w", random.normal({shape[2], 8}));
    problem.expect_same(random, 0.05);
  });
}

TEST(CudaKernels, SimpleNormAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_sizes([](Random& random, at::IntArrayRef shape) {
    Problem problem(Linear{"w", ""}, {random.normal({shape[0], shape[1], 16})});
    problem.program.output = problem.program.push(RmsNorm{"g"}, {problem.program.output});
    problem.parameters.add("w", random.normal({shape[2], 16}));
    problem.parameters.add("g", random.normal({shape[2]}));
    problem.expect_same(random, 0.05);
  });
}

TEST(CudaKernels, GateOfTwoSimpleNormsAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for_all_sizes([](Random& random, at::IntArrayRef shape) {
    Problem problem(Linear{"w1", ""}, {random.normal({shape[0], shape[1], 16})});
    Program& program = problem.program;
    const ValueId gate = program.push(RmsNorm{"g1"}, {1});
    const ValueId map = program.push(Linear{"w3", ""}, {0});
    const ValueId up = program.push(RmsNorm{"g3"}, {map});
    program.output = program.push(SiluGate{}, {gate, up});
    for (const std::string name : {"1", "3"}) {
      problem.parameters.add("w" + name, random.normal({shape[2], 16}));
      problem.parameters.add("g" + name, random.normal({shape[2]}));
    }
    problem.expect_same(random, 0.05);
  });
}

TEST(CudaKernels, AttentionAgreesWithTheCpu) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for (const auto& [heads, kv_heads] : {std::pair<int64_t, int64_t>{4, 4}, std::pair<int64_t, int64_t>{6, 2}}) {
    for (const int64_t head_dim : {2, 64}) {
      SCOPED_TRACE(std::to_string(heads) + " heads of " + std::to_string(head_dim));
      Random random(static_cast<uint64_t>(heads));
      const auto normal = [&](int64_t n) { return random.normal({2, 70, n * head_dim}); };
      const Problem problem(CausalAttention{heads, kv_heads}, {normal(heads), normal(kv_heads), normal(kv_heads)});
      problem.expect_same(random, 0.05);
    }
  }
}

// Under autocast, the gradient of a float32 weight comes from products of bfloat16 whose sums are not rounded.
TEST(CudaKernels, GiveFloat32GradientsOfProductsInBfloat16) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  Random random(1);
  Program program;
  program.n_inputs = 1;
  program.output = program.push(RmsNorm{"g"}, {program.push(Linear{"w", ""}, {0})});
  EvaluateOptions options;
  options.derivatives = Derivatives::first;
  const at::Tensor x = random.normal({1, 256, 64});
  const at::Tensor w = random.normal({96, 64});
  const at::Tensor direction = random.normal({1, 256, 96});
  const auto gradient = [&](at::ScalarType dtype, at::ScalarType products) {
    const at::Tensor weight = w.to(at::kCUDA, dtype).requires_grad_(true);
    Parameters parameters;
    parameters.add("w", weight);
    parameters.add("g", at::ones({96}, weight.options()));
    at::Tensor y;
    {
      const AutocastScope autocast(at::kCUDA, products);
      y = evaluate(program, parameters, std::array{x.to(at::kCUDA, dtype)}, options);
    }
    EXPECT_EQ(y.scalar_type(), products);
    return torch::autograd::grad({y}, {weight}, {direction.to(at::kCUDA, products)})[0];
  };
  const at::Tensor exact = gradient(at::kDouble, at::kDouble).cpu();
  const at::Tensor found = gradient(at::kFloat, at::kBFloat16);
  EXPECT_EQ(found.scalar_type(), at::kFloat);
  EXPECT_FALSE(found.equal(found.to(at::kBFloat16).to(at::kFloat))) << "the sums were rounded";
  EXPECT_LT(largest(found.cpu().to(at::kDouble) - exact), 0.03 * largest(exact));
}

TEST(CudaKernels, RepeatTheirResultsBitForBit) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  Random random(2);
  Problem problem(RmsNorm{"g"}, {random.normal({4, 900, 1536})});
  problem.parameters.add("g", random.normal({1536}));
  const auto first = problem.on(at::kCUDA, at::kBFloat16, at::ones({1}));
  const auto second = problem.on(at::kCUDA, at::kBFloat16, at::ones({1}));
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(at::equal(first[i], second[i])) << "result " << i;
  }
}

TEST(CudaKernels, MakeTheLossOfATargetThatIsNotAClassNaN) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  Random random(3);
  for (const int64_t target : {-100, -1, 40}) {
    const at::Tensor targets = at::tensor({int64_t{1}, int64_t{2}, int64_t{3}, target}).view({2, 2});
    Problem problem(CrossEntropyHead{"w"}, {random.normal({2, 2, 8}), targets});
    problem.parameters.add("w", random.normal({40, 8}));
    const auto all = problem.on(at::kCUDA, at::kFloat, at::ones({1}));
    EXPECT_TRUE(at::isfinite(all[0][0]).item<bool>());
    EXPECT_TRUE(at::isnan(all[0][1]).item<bool>());
    EXPECT_TRUE(at::isnan(all[1][1][1]).all().item<bool>());
  }
}

// 16 heads of 4096 positions have 512 MiB of weights in bfloat16; a kernel that materialises them would need them at least
// twice. Queries, keys and values, their gradients and the result take 8 MiB each.
TEST(CudaKernels, AttentionMaterialisesNoWeightsForTraining) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for (const int64_t kv_heads : {16, 4}) {
    const auto input = [&](int64_t heads) {
      return at::randn({1, 4096, heads * 64}, at::dtype(at::kBFloat16).device(at::kCUDA)).requires_grad_(true);
    };
    const std::vector<at::Tensor> inputs = {input(16), input(kv_heads), input(kv_heads)};
    const MemoryScope memory;
    const at::Tensor y = apply_operation(CausalAttention{16, kv_heads}, {}, inputs, Numerics::wide, Derivatives::first);
    torch::autograd::grad({y.sum()}, inputs);
    EXPECT_LT(memory.peak_bytes(), int64_t{256} << 20) << kv_heads << " key heads";
  }
}

}  // namespace
}  // namespace hessian::tests
