#include "hessian/problem_seeds.h"

#include <ATen/CPUGeneratorImpl.h>

#include <stdexcept>
#include <string>

namespace hessian {
namespace {

// Golden-ratio multiplier: spreads neighbouring seeds, problems and streams over all bits (Knuth, The Art of Computer
// Programming, 6.4).
constexpr uint64_t golden_ratio = 0x9E3779B97F4A7C15ULL;

/// Mixes all bits of x into all bits of the result, bijectively.
/// Source: Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators.
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

/// Returns a generator whose whole state depends on all 64 bits of the key. LibTorch's own seeding reads only 32 bits, of
/// which 100 000 random vectors would share some.
at::Generator generator_of(uint64_t key) {
  at::mt19937_data_pod state{};
  state.seed_ = key;
  state.seeded_ = true;
  state.left_ = 1;  // makes the first draw renew the state
  for (uint32_t& word : state.state_) {
    key += golden_ratio;
    word = static_cast<uint32_t>(mixed(key) >> 32U);
  }
  at::mt19937 engine;
  engine.set_data(state);
  at::Generator generator = at::detail::createCPUGenerator();
  generator.get<at::CPUGeneratorImpl>()->set_engine(engine);
  return generator;
}

template <class Draw>
at::Tensor for_each_problem(const LinearOperator& op, const ProblemSeeds& seeds, uint64_t stream, const Draw& draw) {
  std::vector<at::Tensor> rows;
  for (int64_t problem = 0; problem < op.problems(); ++problem) {
    rows.push_back(draw(problem_generator(seeds, problem, stream)));
  }
  return at::stack(rows).to(op.vector_options());
}

}  // namespace

at::Generator problem_generator(const ProblemSeeds& seeds, int64_t problem, uint64_t stream) {
  const int64_t number =
      seeds.problem_numbers.empty() ? problem : seeds.problem_numbers[static_cast<std::size_t>(problem)];
  // Mixing after each of the three keeps them apart: without it, one number's multiple could equal another's.
  const uint64_t of_seed = mixed(seeds.seed + golden_ratio);
  const uint64_t of_problem = mixed(of_seed + static_cast<uint64_t>(number) * golden_ratio);
  return generator_of(mixed(of_problem + stream * golden_ratio));
}

at::Tensor random_unit_vectors(const LinearOperator& op, const ProblemSeeds& seeds, uint64_t stream) {
  return for_each_problem(op, seeds, stream, [&op](const at::Generator& generator) {
    const at::Tensor row = at::randn({op.dim()}, generator, at::dtype(at::kDouble));
    return row / row.norm();
  });
}

at::Tensor random_signs(const LinearOperator& op, const ProblemSeeds& seeds, uint64_t stream) {
  const auto dtype = op.vector_options().dtype();
  return for_each_problem(op, seeds, stream, [&](const at::Generator& generator) {
    return at::randint(0, 2, {op.dim()}, generator, at::dtype(dtype)).mul_(2).sub_(1);
  });
}

void check_problems(const LinearOperator& op, const ProblemSeeds& seeds, const char* caller) {
  if (op.dim() < 1 || op.problems() < 1) {
    throw std::invalid_argument("the operator has " + std::to_string(op.problems()) + " problems of size " +
                                std::to_string(op.dim()) + "; " + caller + " needs at least one of each");
  }
  if (!seeds.problem_numbers.empty() && static_cast<int64_t>(seeds.problem_numbers.size()) != op.problems()) {
    throw std::invalid_argument("there are " + std::to_string(seeds.problem_numbers.size()) + " problem numbers for " +
                                std::to_string(op.problems()) + " problems");
  }
}

}  // namespace hessian
