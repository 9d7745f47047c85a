#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/parallel.h"
#include "kernels/rows/passes.h"
#include "kernels/rows/run_rows.h"
#include "random_problems.h"
#include "sharing_lanes.h"

// Compares the passes over rows of tangents with several lanes and with the host's single lane.

namespace hessian::tests {
namespace {

using rows::RowMap;
using support::largest;
using support::Random;
using support::run_by_lanes;

/// Sizes that are not multiples of the number of lanes, and rows with fewer entries than lanes.
struct Sizes {
  int64_t sequences;
  int64_t vectors;
  int64_t positions;
  int64_t width;
};

class RowPasses : public testing::TestWithParam<Sizes> {
 protected:
  Sizes sizes = GetParam();
  Random random{static_cast<uint64_t>(sizes.width)};
  RowMap map{sizes.vectors, sizes.positions};
  int64_t rows = sizes.sequences * sizes.vectors * sizes.positions;

  at::Tensor value() { return random.normal({sizes.sequences, sizes.positions, sizes.width}); }
  at::Tensor tangent() { return random.normal({sizes.sequences, sizes.vectors, sizes.positions, sizes.width}); }
  at::Tensor per_row_of_value() { return random.normal({sizes.sequences, sizes.positions}).abs() + 0.5; }
  at::Tensor zeros_like_tangent() const {
    return at::zeros({sizes.sequences, sizes.vectors, sizes.positions, sizes.width}, at::kDouble);
  }
  at::Tensor zeros_per_row() const { return at::zeros({sizes.sequences, sizes.vectors, sizes.positions}, at::kDouble); }
  static const double* in(const at::Tensor& x) { return x.const_data_ptr<double>(); }
  static double* out(const at::Tensor& x) { return x.data_ptr<double>(); }

  /// Runs the pass make(outputs) with one lane and with several, and compares all outputs. The outputs start as copies of
  /// `start`, for passes that work in place.
  template <class Make>
  void expect_same(const Make& make, std::vector<at::Tensor> start) {
    std::vector<at::Tensor> alone;
    std::vector<at::Tensor> shared;
    for (const at::Tensor& tensor : start) {
      alone.push_back(tensor.clone());
      shared.push_back(tensor.clone());
    }
    rows::run_rows(make(alone), rows, sizes.width, at::kCPU);
    run_by_lanes(make(shared), rows);
    for (std::size_t i = 0; i < start.size(); ++i) {
      EXPECT_LT(largest(alone[i] - shared[i]), 1e-12) << "output " << i;
      EXPECT_GT(largest(alone[i] - start[i]), 1e-3) << "output " << i << " was not written";
    }
  }
};

TEST_P(RowPasses, NormsAgreeBetweenOneLaneAndSeveral) {
  const at::Tensor n = value();
  const at::Tensor r = per_row_of_value();
  const at::Tensor gain = random.normal({sizes.width});
  const at::Tensor x = tangent();
  const at::Tensor c = value();
  const at::Tensor m = per_row_of_value();
  const at::Tensor mean = per_row_of_value();
  const at::Tensor a = random.normal(zeros_per_row().sizes());
  const at::Tensor turned = tangent();
  for (const bool centred : {false, true}) {
    const rows::NormValues<double> values{in(n), in(r), in(gain), centred, sizes.width, map};
    expect_same(
        [&](const std::vector<at::Tensor>& to) {
          return rows::NormJvp<double>{values, in(x), out(to[0]), out(to[1]), out(to[2])};
        },
        {zeros_like_tangent(), zeros_like_tangent(), zeros_per_row()});
    expect_same(
        [&](const std::vector<at::Tensor>& to) {
          return rows::NormVjpTangent<double>{values, in(c), in(m), in(mean), in(turned), in(a), in(x), out(to[0])};
        },
        {zeros_like_tangent()});
  }
}

TEST_P(RowPasses, ActivationsAgreeBetweenOneLaneAndSeveral) {
  const std::vector<at::Tensor> of_value = {value(), value(), value(), value()};
  const std::vector<at::Tensor> of_tangent = {tangent(), tangent(), tangent()};
  expect_same(
      [&](const std::vector<at::Tensor>& to) {
        return rows::EntrywiseJvp<double>{in(of_value[0]), sizes.width, map, in(of_tangent[0]), out(to[0])};
      },
      {zeros_like_tangent()});
  expect_same(
      [&](const std::vector<at::Tensor>& to) {
        return rows::EntrywiseVjpTangent<double>{in(of_value[0]),   in(of_value[1]),   sizes.width, map,
                                                 in(of_tangent[0]), in(of_tangent[1]), out(to[0])};
      },
      {zeros_like_tangent()});
  expect_same(
      [&](const std::vector<at::Tensor>& to) {
        return rows::GateJvp<double>{in(of_value[0]),   in(of_value[1]),   sizes.width, map,
                                     in(of_tangent[0]), in(of_tangent[1]), out(to[0])};
      },
      {zeros_like_tangent()});
  expect_same(
      [&](const std::vector<at::Tensor>& to) {
        return rows::GateVjpTangent<double>{
            in(of_value[0]),   in(of_value[1]),   in(of_value[2]),   in(of_value[3]), sizes.width, map,
            in(of_tangent[0]), in(of_tangent[1]), in(of_tangent[2]), out(to[0]),      out(to[1])};
      },
      {zeros_like_tangent(), zeros_like_tangent()});
}

TEST_P(RowPasses, SoftmaxAgreesBetweenOneLaneAndSeveral) {
  const at::Tensor p = at::softmax(value(), -1);
  const at::Tensor e = value();
  const at::Tensor pdot = tangent();
  expect_same(
      [&](const std::vector<at::Tensor>& to) {
        return rows::SoftmaxJvp<double>{in(p), sizes.width, sizes.width, map, out(to[0])};
      },
      {tangent()});
  expect_same(
      [&](const std::vector<at::Tensor>& to) {
        return rows::SoftmaxVjpTangent<double>{in(p), in(e), sizes.width, sizes.width, map, in(pdot), out(to[0])};
      },
      {tangent()});
}

TEST_P(RowPasses, CappedSoftmaxAgreesBetweenOneLaneAndSeveral) {
  const at::Tensor p = at::softmax(value(), -1);
  const at::Tensor t = at::tanh(value());
  const at::Tensor e = value();
  const at::Tensor pdot = tangent();
  const at::Tensor means = random.normal(zeros_per_row().sizes());
  const auto pitch = sizes.width;
  expect_same(
      [&](const std::vector<at::Tensor>& to) {
        return rows::CappedSoftmaxJvp<double>{in(p), in(t), sizes.width, pitch, map, out(to[0]), out(to[1])};
      },
      {tangent(), zeros_per_row()});
  expect_same(
      [&](const std::vector<at::Tensor>& to) {
        return rows::CappedSoftmaxVjpTangent<double>{in(p), in(e), in(t),    1.5,       sizes.width,
                                                     pitch, map,   in(pdot), in(means), out(to[0])};
      },
      {tangent()});
  for (const bool bends : {false, true}) {
    expect_same(
        [&](const std::vector<at::Tensor>& to) {
          return rows::CappedLogitsTangent<double>{in(p), in(t),     bends ? in(e) : nullptr, 1.5, sizes.width,
                                                   map,   out(to[0])};
        },
        {tangent()});
  }
}

TEST_P(RowPasses, RopeAgreesBetweenOneLaneAndSeveral) {
  const int64_t heads = 3;
  const int64_t head_dim = 2 * sizes.width;
  const at::Tensor x = random.normal({sizes.sequences * sizes.vectors, sizes.positions, heads, head_dim});
  const at::Tensor table = random.normal({sizes.positions, 2, sizes.width});
  for (const bool back : {false, true}) {
    const auto pass_to = [&](const at::Tensor& to) {
      return rows::RotatePairs<double>{in(x), in(table), back, sizes.positions, heads, head_dim, out(to)};
    };
    const at::Tensor alone = at::zeros_like(x);
    const at::Tensor shared = at::zeros_like(x);
    rows::run_rows(pass_to(alone), rows * heads, head_dim, at::kCPU);
    run_by_lanes(pass_to(shared), rows * heads);
    EXPECT_LT(largest(alone - shared), 1e-12);
    EXPECT_GT(largest(alone), 1e-3);
  }
}

INSTANTIATE_TEST_SUITE_P(ManySizes, RowPasses,
                         testing::Values(Sizes{1, 1, 1, 1}, Sizes{2, 3, 2, 4}, Sizes{3, 1, 5, 7}, Sizes{2, 4, 3, 33}));

TEST(Tiles, CoverEveryItemOnce) {
  for (const int64_t items : {0, 1, 5, 6, 13}) {
    for (const int64_t elements_per_item : {0, 1, 3, 100}) {
      for (const int64_t elements_per_tile : {1, 6, 10, 16384}) {
        SCOPED_TRACE(std::to_string(items) + " items of " + std::to_string(elements_per_item) + " in tiles of " +
                     std::to_string(elements_per_tile));
        const auto tiles = fused::Tiles::of(items, elements_per_item, elements_per_tile);
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(items));
        fused::for_each_tile(tiles, [&](int64_t tile) {
          // At most the number of elements, except for single items.
          EXPECT_TRUE(tiles.end(tile) - tiles.begin(tile) == 1 ||
                      (tiles.end(tile) - tiles.begin(tile)) * elements_per_item <= elements_per_tile);
          for (int64_t item = tiles.begin(tile); item < tiles.end(tile); ++item) {
            ++visits[static_cast<std::size_t>(item)];
          }
        });
        for (const auto& count : visits) {
          EXPECT_EQ(count.load(), 1);
        }
      }
    }
  }
}

TEST(RowMap, FindsTheValueOfEveryTangent) {
  constexpr int64_t sequences = 3;
  const RowMap map{4, 5};
  int64_t row = 0;
  for (int64_t sequence = 0; sequence < sequences; ++sequence) {
    for (int64_t vector = 0; vector < map.vectors; ++vector) {
      for (int64_t position = 0; position < map.positions; ++position, ++row) {
        EXPECT_EQ(map.value_row(row), sequence * map.positions + position) << "row " << row;
      }
    }
  }
}

}  // namespace
}  // namespace hessian::tests
