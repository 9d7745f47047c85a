#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "hessian/evaluate.h"
#include "random_problems.h"

// Compares every primitive with loops over its formula in program.h, in float64, for random shapes. The sums have a few
// dozen terms of order one: 1e-13 is a hundred rounding units.

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;

constexpr double rounding = 1e-13;

struct Shape {
  int64_t sequences;
  int64_t positions;
};

template <class Check>
void for_random_shapes(const Check& check) {
  for (uint64_t seed = 0; seed < 15; ++seed) {
    Random random(seed);
    const Shape shape{random.integer(1, 3), random.integer(1, 6)};
    SCOPED_TRACE(std::to_string(shape.sequences) + " sequences of " + std::to_string(shape.positions) + ", seed " +
                 std::to_string(seed));
    check(random, shape);
  }
}

at::Tensor run(const Operation& operation, const Parameters& parameters, const std::vector<at::Tensor>& inputs,
               Numerics numerics = Numerics::wide) {
  return apply_operation(operation, parameters, inputs, numerics);
}

Parameters named(std::vector<std::pair<std::string, at::Tensor>> tensors) {
  Parameters parameters;
  for (auto& [name, tensor] : tensors) {
    parameters.add(name, tensor);
  }
  return parameters;
}

/// Calls `row` with pointers to the row of x and of the result at each position: x [S, T, width] to [S, T, out].
template <class Row>
at::Tensor map_rows(const at::Tensor& x, int64_t out, const Row& row) {
  const at::Tensor in = x.contiguous();
  at::Tensor result = at::zeros({x.size(0), x.size(1), out}, at::kDouble);
  for (int64_t s = 0; s < x.size(0); ++s) {
    for (int64_t t = 0; t < x.size(1); ++t) {
      row(s, t, in[s][t].data_ptr<double>(), result[s][t].data_ptr<double>());
    }
  }
  return result;
}

/// Computes each entry of the result from the same entry of x.
template <class Scalar>
at::Tensor map_scalars(const at::Tensor& x, const Scalar& scalar) {
  return map_rows(x, x.size(2), [&](int64_t, int64_t, const double* in, double* out) {
    for (int64_t i = 0; i < x.size(2); ++i) {
      out[i] = scalar(in[i]);
    }
  });
}

/// Computes attention by its definition: one query at a time, query head i with key head i / group.
at::Tensor attend(const CausalAttention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const int64_t heads = attention.n_heads;
  const int64_t kv_heads = attention.n_kv_heads;
  const double cap = attention.soft_cap;
  const int64_t h = q.size(2) / heads;
  const double factor = attention.scale == 0 ? 1 / std::sqrt(static_cast<double>(h)) : attention.scale;
  const int64_t seen = attention.window == 0 ? q.size(1) : attention.window;
  return map_rows(q, q.size(2), [&](int64_t s, int64_t t, const double* query, double* out) {
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t kv = head / (heads / kv_heads) * h;
      std::vector<double> weights;
      double sum = 0;
      for (int64_t u = 0; u <= t; ++u) {
        double score = 0;
        for (int64_t i = 0; i < h; ++i) {
          score += factor * query[head * h + i] * k[s][u][kv + i].item<double>();
        }
        const double capped = cap == 0 ? score : cap * std::tanh(score / cap);
        weights.push_back(t - u < seen ? std::exp(capped) : 0.0);
        sum += weights.back();
      }
      for (int64_t u = 0; u <= t; ++u) {
        for (int64_t i = 0; i < h; ++i) {
          out[head * h + i] += weights[static_cast<std::size_t>(u)] / sum * v[s][u][kv + i].item<double>();
        }
      }
    }
  });
}

TEST(Linear, IsAMatrixProductWithAndWithoutBias) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t in = random.integer(1, 9);
    const int64_t out = random.integer(1, 9);
    const at::Tensor x = random.normal({shape.sequences, shape.positions, in});
    const at::Tensor w = random.normal({out, in});
    const at::Tensor b = random.normal({out});
    const auto expected = [&](double with_bias) {
      return map_rows(x, out, [&](int64_t, int64_t, const double* row, double* y) {
        for (int64_t o = 0; o < out; ++o) {
          y[o] = with_bias * b[o].item<double>();
          for (int64_t i = 0; i < in; ++i) {
            y[o] += w[o][i].item<double>() * row[i];
          }
        }
      });
    };
    const Parameters parameters = named({{"w", w}, {"b", b}});
    EXPECT_LT(largest(run(Linear{"w", ""}, parameters, {x}) - expected(0)), rounding);
    EXPECT_LT(largest(run(Linear{"w", "b"}, parameters, {x}) - expected(1)), rounding);
  });
}

TEST(RmsNorm, DividesByTheRootMeanSquare) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t width = random.integer(1, 20);
    const at::Tensor x = random.normal({shape.sequences, shape.positions, width});
    const at::Tensor gain = random.normal({width});
    for (const double eps : {0.0, 1e-5, 0.5}) {
      const at::Tensor expected = map_rows(x, width, [&](int64_t, int64_t, const double* row, double* y) {
        double squares = 0;
        for (int64_t i = 0; i < width; ++i) {
          squares += row[i] * row[i];
        }
        for (int64_t i = 0; i < width; ++i) {
          y[i] = gain[i].item<double>() * row[i] / std::sqrt(squares / static_cast<double>(width) + eps);
        }
      });
      EXPECT_LT(largest(run(RmsNorm{"g", eps}, named({{"g", gain}}), {x}) - expected), rounding);
    }
  });
}

TEST(RmsNorm, NormalisesEachHeadAndAddsTheOffsetToTheGain) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t heads = random.integer(1, 4);
    const int64_t width = random.integer(1, 6);
    const at::Tensor x = random.normal({shape.sequences, shape.positions, heads * width});
    const at::Tensor gain = random.normal({width});
    for (const double offset : {0.0, 1.0, -0.25}) {
      const at::Tensor expected = map_rows(x, heads * width, [&](int64_t, int64_t, const double* row, double* y) {
        for (int64_t head = 0; head < heads; ++head) {
          double squares = 0;
          for (int64_t i = head * width; i < (head + 1) * width; ++i) {
            squares += row[i] * row[i];
          }
          for (int64_t i = 0; i < width; ++i) {
            const double r = 1 / std::sqrt(squares / static_cast<double>(width) + 0.01);
            y[head * width + i] = (offset + gain[i].item<double>()) * row[head * width + i] * r;
          }
        }
      });
      const RmsNorm norm{"g", 0.01, heads, offset};
      EXPECT_LT(largest(run(norm, named({{"g", gain}}), {x}) - expected), rounding)
          << heads << " heads of " << width << ", offset " << offset;
    }
  });
}

TEST(LayerNorm, SubtractsTheMeanAndDividesByTheDeviation) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t width = random.integer(2, 20);
    const at::Tensor x = random.normal({shape.sequences, shape.positions, width}) + 3;
    const at::Tensor gain = random.normal({width});
    const at::Tensor bias = random.normal({width});
    const auto expected = [&](double with_bias) {
      return map_rows(x, width, [&](int64_t, int64_t, const double* row, double* y) {
        double mean = 0;
        double variance = 0;
        for (int64_t i = 0; i < width; ++i) {
          mean += row[i] / static_cast<double>(width);
        }
        for (int64_t i = 0; i < width; ++i) {
          variance += (row[i] - mean) * (row[i] - mean) / static_cast<double>(width);
        }
        for (int64_t i = 0; i < width; ++i) {
          y[i] = gain[i].item<double>() * (row[i] - mean) / std::sqrt(variance + 1e-3) +
                 with_bias * bias[i].item<double>();
        }
      });
    };
    const Parameters parameters = named({{"g", gain}, {"b", bias}});
    // If two entries are close, subtracting the mean loses digits.
    EXPECT_LT(largest(run(LayerNorm{"g", "b", 1e-3}, parameters, {x}) - expected(1)), 10 * rounding);
    EXPECT_LT(largest(run(LayerNorm{"g", "", 1e-3}, parameters, {x}) - expected(0)), 10 * rounding);
  });
}

TEST(Rope, TurnsInterleavedPairsByTheirPosition) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t head_dim = 2 * random.integer(1, 4);
    const int64_t width = head_dim * random.integer(1, 3);
    const double theta = 50.0;
    const at::Tensor x = random.normal({shape.sequences, shape.positions, width});
    const at::Tensor expected = map_rows(x, width, [&](int64_t, int64_t t, const double* row, double* y) {
      for (int64_t i = 0; i < width; i += 2) {
        const double exponent = static_cast<double>(i % head_dim) / static_cast<double>(head_dim);
        const double angle = static_cast<double>(t) * std::pow(theta, -exponent);
        y[i] = row[i] * std::cos(angle) - row[i + 1] * std::sin(angle);
        y[i + 1] = row[i] * std::sin(angle) + row[i + 1] * std::cos(angle);
      }
    });
    EXPECT_LT(largest(run(Rope{head_dim, theta}, {}, {x}) - expected), rounding);
  });
}

/// Computes RoPE of sequences of any length by its definition in program.h.
at::Tensor turn(const at::Tensor& x, const Rope& rope) {
  const int64_t rotated = rope.rotated_dim == 0 ? rope.head_dim : rope.rotated_dim;
  const auto d = static_cast<double>(rotated);
  const bool is_long = rope.original_positions > 0 && x.size(1) > rope.original_positions;
  double theta = rope.theta;
  if (is_long && rope.dynamic_factor > 0) {
    const double stretch = static_cast<double>(x.size(1)) / static_cast<double>(rope.original_positions);
    theta *= std::pow(rope.dynamic_factor * stretch - rope.dynamic_factor + 1, d / (d - 2));
  }
  const auto& factors = is_long && !rope.long_factors.empty() ? rope.long_factors : rope.factors;
  return map_rows(x, x.size(2), [&](int64_t, int64_t t, const double* row, double* y) {
    for (int64_t i = 0; i < x.size(2); i += 2) {
      const int64_t entry = i % rope.head_dim;
      const double factor = factors.empty() || entry >= rotated ? 1 : factors[static_cast<std::size_t>(entry / 2)];
      const double angle = static_cast<double>(t) * std::pow(theta, -static_cast<double>(entry) / d) * factor;
      const double cosine = entry < rotated ? rope.scale * std::cos(angle) : 1;
      const double sine = entry < rotated ? rope.scale * std::sin(angle) : 0;
      y[i] = row[i] * cosine - row[i + 1] * sine;
      y[i + 1] = row[i] * sine + row[i + 1] * cosine;
    }
  });
}

TEST(Rope, LeavesTheEntriesBeyondItsRotatedDimAsTheyAre) {
  Random random(20);
  const Rope rope{.head_dim = 8, .theta = 50.0, .rotated_dim = 6, .scale = 1.5};
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::Tensor x = random.normal({2, 5, 24}, dtype);
    const auto kept = [](const at::Tensor& y) { return y.view({2, 5, 3, 8}).narrow(3, 6, 2); };
    const auto turned = [](const at::Tensor& y) { return y.view({2, 5, 3, 8}).narrow(3, 0, 6); };
    for (const Derivatives derivatives : {Derivatives::any, Derivatives::first}) {
      const at::Tensor y = apply_operation(rope, {}, std::array{x}, Numerics::wide, derivatives);
      EXPECT_TRUE(at::equal(kept(y), kept(x))) << dtype;
      EXPECT_GT(largest(turned(y) - turned(x)), 0.1) << dtype;
    }
  }
}

TEST(Rope, FollowsItsFormulaWithEveryField) {
  const std::vector<double> factors = {1.0, 0.5, 0.25};
  const std::vector<double> other = {0.9, 0.3, 0.1};
  const std::vector<Rope> ropes = {
      {.head_dim = 8, .theta = 50.0, .rotated_dim = 6},
      {.head_dim = 8, .theta = 50.0, .rotated_dim = 6, .factors = factors},
      {.head_dim = 6, .theta = 50.0, .scale = 1.25},
      {.head_dim = 6, .theta = 50.0, .factors = factors, .scale = 0.8},
      {.head_dim = 6, .theta = 50.0, .factors = factors, .original_positions = 4, .long_factors = other},
      {.head_dim = 6, .theta = 50.0, .factors = factors, .original_positions = 4},
      {.head_dim = 6, .theta = 50.0, .original_positions = 4, .long_factors = other},
      {.head_dim = 6, .theta = 50.0, .original_positions = 4, .dynamic_factor = 3.0},
      {.head_dim = 8, .theta = 50.0, .rotated_dim = 6, .original_positions = 4, .dynamic_factor = 1.5}};
  for (std::size_t i = 0; i < ropes.size(); ++i) {
    for (const int64_t positions : {1, 3, 4, 5, 9}) {
      SCOPED_TRACE("rope " + std::to_string(i) + ", " + std::to_string(positions) + " positions");
      const at::Tensor x = Random(i).normal({2, positions, 24});
      const at::Tensor expected = turn(x, ropes[i]);
      EXPECT_LT(largest(run(ropes[i], {}, {x}) - expected), rounding);
      EXPECT_LT(largest(apply_operation(ropes[i], {}, std::array{x}, Numerics::wide, Derivatives::first) - expected),
                rounding);
    }
  }
}

TEST(CausalAttention, IsTheSoftmaxAverageOverEarlierPositionsWithGroupedQueries) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t kv_heads = random.integer(1, 3);
    const int64_t heads = kv_heads * random.integer(1, 3);
    const int64_t h = random.integer(1, 4);
    const at::Tensor q = random.normal({shape.sequences, shape.positions, heads * h});
    const at::Tensor k = random.normal({shape.sequences, shape.positions, kv_heads * h});
    const at::Tensor v = random.normal({shape.sequences, shape.positions, kv_heads * h});
    const CausalAttention attention{heads, kv_heads};
    EXPECT_LT(largest(run(attention, {}, {q, k, v}) - attend(attention, q, k, v)), rounding)
        << heads << " heads, " << kv_heads << " key heads of " << h;
  });
}

TEST(CausalAttention, ScalesAndCapsItsScoresAndSeesOnlyAWindow) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t kv_heads = random.integer(1, 2);
    const int64_t heads = kv_heads * random.integer(1, 3);
    const int64_t h = random.integer(1, 4);
    const at::Tensor q = 2 * random.normal({shape.sequences, shape.positions, heads * h});
    const at::Tensor k = random.normal({shape.sequences, shape.positions, kv_heads * h});
    const at::Tensor v = random.normal({shape.sequences, shape.positions, kv_heads * h});
    for (const double scale : {0.0, 0.7}) {
      for (const double cap : {0.0, 1.5}) {
        for (const int64_t window : {int64_t{0}, int64_t{1}, int64_t{2}, shape.positions, shape.positions + 3}) {
          const CausalAttention attention{heads, kv_heads, scale, cap, window};
          const at::Tensor expected = attend(attention, q, k, v);
          EXPECT_LT(largest(run(attention, {}, {q, k, v}) - expected), rounding)
              << "scale " << scale << ", cap " << cap << ", window " << window;
          const at::Tensor trained =
              apply_operation(attention, {}, std::vector{q, k, v}, Numerics::wide, Derivatives::first);
          EXPECT_LT(largest(trained - expected), rounding)
              << "for training, scale " << scale << ", cap " << cap << ", window " << window;
        }
      }
    }
  });
}

TEST(CausalAttention, StaysFiniteForScoresBeyondTheRangeOfExp) {
  const at::Tensor q = at::full({1, 3, 2}, 1e3, at::kDouble);
  const at::Tensor k = at::tensor({1.0, 1.0, 2.0, 2.0, 3.0, 3.0}, at::kDouble).view({1, 3, 2});
  const at::Tensor v = Random(1).normal({1, 3, 2});
  // Each position attends to the largest key so far: itself.
  EXPECT_LT(largest(run(CausalAttention{1, 1}, {}, {q, k, v}) - v), rounding);
}

TEST(Activations, FollowTheirFormulas) {
  for_random_shapes([](Random& random, Shape shape) {
    const at::Tensor x = 2 * random.normal({shape.sequences, shape.positions, 7});
    const at::Tensor up = random.normal(x.sizes());
    const auto silu = [](double a) { return a / (1 + std::exp(-a)); };
    const auto gelu = [](double a) { return a / 2 * (1 + std::erf(a / std::sqrt(2.0))); };
    const auto gelu_tanh = [](double a) {
      return a / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)));
    };
    EXPECT_LT(largest(run(SiluGate{}, {}, {x, up}) - map_scalars(x, silu) * up), rounding);
    EXPECT_LT(largest(run(GeluGate{false}, {}, {x, up}) - map_scalars(x, gelu) * up), rounding);
    EXPECT_LT(largest(run(GeluGate{true}, {}, {x, up}) - map_scalars(x, gelu_tanh) * up), rounding);
    EXPECT_LT(largest(run(Gelu{false}, {}, {x}) - map_scalars(x, gelu)), rounding);
    EXPECT_LT(largest(run(Gelu{true}, {}, {x}) - map_scalars(x, gelu_tanh)), rounding);
    const auto capped = [](double a) { return 1.5 * std::tanh(a / 1.5); };
    EXPECT_LT(largest(run(SoftCap{1.5}, {}, {x}) - map_scalars(x, capped)), rounding);
    EXPECT_LT(largest(run(Scale{-2.5}, {}, {x}) - map_scalars(x, [](double a) { return -2.5 * a; })), rounding);
    EXPECT_TRUE(at::equal(run(Add{}, {}, {x, up}), x + up));
    EXPECT_TRUE(at::equal(run(Identity{}, {}, {x}), x));
  });
}

TEST(Embedding, TakesTheRowsOfTheTokensAndAddsThoseOfThePositions) {
  for_random_shapes([](Random& random, Shape shape) {
    const at::Tensor table = random.normal({9, 5});
    const at::Tensor positions = random.normal({8, 5});
    const at::Tensor tokens = random.integers(0, 9, {shape.sequences, shape.positions});
    const Parameters parameters = named({{"e", table}, {"p", positions}});
    const at::Tensor x = run(Embedding{"e"}, parameters, {tokens});
    const at::Tensor y = run(AddPositions{"p"}, parameters, {x});
    for (int64_t s = 0; s < shape.sequences; ++s) {
      for (int64_t t = 0; t < shape.positions; ++t) {
        EXPECT_TRUE(at::equal(x[s][t], table[tokens[s][t].item<int64_t>()]));
        EXPECT_TRUE(at::equal(y[s][t], x[s][t] + positions[t]));
      }
    }
  });
}

TEST(CrossEntropyHead, IsTheMeanOverThePositionsOfEachSequence) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t vocab = random.integer(1, 12);
    const at::Tensor x = random.normal({shape.sequences, shape.positions, 4});
    const at::Tensor w = random.normal({vocab, 4});
    const at::Tensor targets = random.integers(0, vocab, {shape.sequences, shape.positions});
    const at::Tensor loss = run(CrossEntropyHead{"w"}, named({{"w", w}}), {x, targets});
    ASSERT_EQ(loss.sizes(), at::IntArrayRef({shape.sequences}));
    for (int64_t s = 0; s < shape.sequences; ++s) {
      double sum = 0;
      for (int64_t t = 0; t < shape.positions; ++t) {
        const at::Tensor logits = at::mv(w, x[s][t]);
        sum += std::log(logits.exp().sum().item<double>()) - logits[targets[s][t].item<int64_t>()].item<double>();
      }
      EXPECT_NEAR(loss[s].item<double>(), sum / static_cast<double>(shape.positions), 10 * rounding);
    }
  });
}

TEST(CrossEntropyHead, ReadsCappedLogits) {
  for_random_shapes([](Random& random, Shape shape) {
    const int64_t vocab = random.integer(1, 12);
    const double cap = 1.5;
    const at::Tensor x = random.normal({shape.sequences, shape.positions, 4});
    const at::Tensor w = random.normal({vocab, 4});
    const at::Tensor targets = random.integers(0, vocab, {shape.sequences, shape.positions});
    const Parameters parameters = named({{"w", w}});
    const CrossEntropyHead head{"w", cap};
    for (const Derivatives derivatives : {Derivatives::any, Derivatives::first}) {
      const at::Tensor loss = apply_operation(head, parameters, std::vector{x, targets}, Numerics::wide, derivatives);
      for (int64_t s = 0; s < shape.sequences; ++s) {
        double sum = 0;
        for (int64_t t = 0; t < shape.positions; ++t) {
          double exponentials = 0;
          double chosen = 0;
          for (int64_t word = 0; word < vocab; ++word) {
            const double logit = cap * std::tanh(at::dot(w[word], x[s][t]).item<double>() / cap);
            exponentials += std::exp(logit);
            chosen = word == targets[s][t].item<int64_t>() ? logit : chosen;
          }
          sum += std::log(exponentials) - chosen;
        }
        EXPECT_NEAR(loss[s].item<double>(), sum / static_cast<double>(shape.positions), 10 * rounding);
      }
    }
  });
}

TEST(Primitives, AcceptActivationsThatAreNotContiguous) {
  Random random(2);
  const at::Tensor x = random.normal({4, 6, 2}).permute({2, 1, 0});
  const at::Tensor y = x.contiguous();
  EXPECT_TRUE(at::equal(run(Rope{4, 10.0}, {}, {x}), run(Rope{4, 10.0}, {}, {y})));
  const CausalAttention attention{2, 2};
  EXPECT_LT(largest(run(attention, {}, {x, x, x}) - run(attention, {}, {y, y, y})), rounding);
}

}  // namespace
}  // namespace hessian::tests
