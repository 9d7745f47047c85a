#include <gtest/gtest.h>

#include <vector>

#include "kernels/rows/passes.h"
#include "kernels/rows/run_rows.h"
#include "random_problems.h"
#include "sharing_lanes.h"

// Compares the passes of training with several lanes, by single entries and by packs, and with the host's single lane, in
// float64 and in bfloat16. test_fused_primitives.cpp compares the latter with autograd.

namespace hessian::tests {
namespace {

using rows::Wide;
using support::largest;
using support::Random;

struct Sizes {
  int64_t rows;
  int64_t width;
};

template <class T>
class TrainingPasses : public testing::Test {
 protected:
  static constexpr at::ScalarType type = c10::CppTypeToScalarType<T>::value;
  static constexpr at::ScalarType wide = c10::CppTypeToScalarType<Wide<T>>::value;
  /// Tolerance for sums in another order: a few units of float64, or one unit of 2^-8 for a bfloat16 result that is
  /// rounded the other way.
  static constexpr double tolerance = type == at::kDouble ? 1e-13 : 1.01 / 128;

  /// Widths around the number of lanes, some not multiples of it; with packs, some lanes have none and some several.
  static std::vector<Sizes> sizes() { return {{1, 1}, {4, 7}, {3, 16}, {9, 48}, {5, 104}, {2, 33}}; }

  at::Tensor activations(const Sizes& size) { return random.normal({size.rows, size.width}, type); }
  at::Tensor per_column(const Sizes& size) { return random.normal({size.width}, wide); }
  at::Tensor per_row(const Sizes& size) { return random.normal({size.rows}, wide).abs() + 0.5; }
  static const T* in(const at::Tensor& x) { return x.const_data_ptr<T>(); }
  static const Wide<T>* wide_in(const at::Tensor& x) { return x.const_data_ptr<Wide<T>>(); }
  static T* out(const at::Tensor& x) { return x.data_ptr<T>(); }
  static Wide<T>* wide_out(const at::Tensor& x) { return x.data_ptr<Wide<T>>(); }

  /// Runs the pass make(outputs) with one lane and with several, and compares all outputs, which start as NaN.
  template <class Make>
  void expect_same(const Sizes& size, int64_t calls, const std::vector<at::Tensor>& like, const Make& make) {
    SCOPED_TRACE(std::to_string(size.rows) + " rows of " + std::to_string(size.width));
    const auto fresh = [&like] {
      std::vector<at::Tensor> outputs;
      for (const at::Tensor& x : like) {
        outputs.push_back(at::full_like(x, std::numeric_limits<double>::quiet_NaN()));
      }
      return outputs;
    };
    const auto alone = fresh();
    rows::run_rows(make(alone), calls, size.width, at::kCPU);
    const auto compare = [&](const std::vector<at::Tensor>& shared, const char* how) {
      for (std::size_t i = 0; i < alone.size(); ++i) {
        const at::Tensor expected = alone[i].to(at::kDouble);
        EXPECT_LE(largest(shared[i].to(at::kDouble) - expected), tolerance * largest(expected))
            << "output " << i << " " << how;
        EXPECT_GT(largest(expected), 0) << "output " << i;
      }
    };
    const auto entrywise = fresh();
    support::run_by_lanes(make(entrywise), calls);
    compare(entrywise, "entry by entry");
    const auto packed = fresh();
    const auto pass = make(packed);
    constexpr int entries = rows::entries_in_pack<T>;
    EXPECT_EQ(pass.packs(), size.width % entries == 0);
    if (pass.packs()) {
      support::run_by_lanes<entries>(pass, calls);
      compare(packed, "in packs");
    }
  }

  Random random{3};
};

using Types = testing::Types<double, c10::BFloat16>;
TYPED_TEST_SUITE(TrainingPasses, Types);

TYPED_TEST(TrainingPasses, RmsNormAgreesBetweenOneLaneAndSeveral) {
  using T = TypeParam;
  for (const Sizes& size : this->sizes()) {
    const at::Tensor x = this->activations(size);
    const at::Tensor dy = this->activations(size);
    const at::Tensor gain = this->per_column(size);
    const at::Tensor r = this->per_row(size);
    this->expect_same(size, size.rows, {x, r}, [&](const std::vector<at::Tensor>& to) {
      return rows::RmsNormForward<T>{this->in(x), this->wide_in(gain), 1e-5F,
                                     size.width,  this->out(to[0]),    this->wide_out(to[1])};
    });
    // Groups of several rows, of which the last one is shorter.
    for (const int64_t per_group : {1, 2, 4}) {
      const int64_t groups = (size.rows + per_group - 1) / per_group;
      const at::Tensor gain_sums = at::zeros({groups, size.width}, gain.options());
      this->expect_same(size, groups, {x, gain_sums}, [&](const std::vector<at::Tensor>& to) {
        return rows::RmsNormBackward<T>{this->in(dy), this->in(x), this->wide_in(gain), this->wide_in(r),     size.rows,
                                        per_group,    size.width,  this->out(to[0]),    this->wide_out(to[1])};
      });
    }
  }
}

TYPED_TEST(TrainingPasses, GateOfTwoNormsAgreesBetweenOneLaneAndSeveral) {
  using T = TypeParam;
  for (const Sizes& size : this->sizes()) {
    const at::Tensor gate = this->activations(size);
    const at::Tensor up = this->activations(size);
    const at::Tensor dz = this->activations(size);
    const at::Tensor gate_gain = this->per_column(size);
    const at::Tensor up_gain = this->per_column(size);
    const at::Tensor r = at::stack({this->per_row(size), this->per_row(size)}, 1);
    this->expect_same(size, size.rows, {gate, r}, [&](const std::vector<at::Tensor>& to) {
      return rows::GatedNormForward<T>{
          this->in(gate), this->in(up), this->wide_in(gate_gain), this->wide_in(up_gain), 1e-5F,
          0.1F,           size.width,   this->out(to[0]),         this->wide_out(to[1])};
    });
    for (const int64_t per_group : {1, 2, 4}) {
      const int64_t groups = (size.rows + per_group - 1) / per_group;
      const at::Tensor gain_sums = at::zeros({groups, 2, size.width}, gate_gain.options());
      this->expect_same(size, groups, {gate, up, gain_sums}, [&](const std::vector<at::Tensor>& to) {
        return rows::GatedNormBackward<T>{this->in(dz),
                                          this->in(gate),
                                          this->in(up),
                                          this->wide_in(gate_gain),
                                          this->wide_in(up_gain),
                                          this->wide_in(r),
                                          size.rows,
                                          per_group,
                                          size.width,
                                          this->out(to[0]),
                                          this->out(to[1]),
                                          this->wide_out(to[2])};
      });
    }
  }
}

TYPED_TEST(TrainingPasses, GatesAgreeBetweenOneLaneAndSeveral) {
  using T = TypeParam;
  const auto compare = [this]<class Activation>(Activation /*activation*/) {
    for (const Sizes& size : this->sizes()) {
      const at::Tensor gate = this->activations(size);
      const at::Tensor up = this->activations(size);
      const at::Tensor dy = this->activations(size);
      this->expect_same(size, size.rows, {gate}, [&](const std::vector<at::Tensor>& to) {
        return rows::GateForward<T, Activation>{this->in(gate), this->in(up), size.width, this->out(to[0])};
      });
      this->expect_same(size, size.rows, {gate, up}, [&](const std::vector<at::Tensor>& to) {
        return rows::GateBackward<T, Activation>{this->in(dy), this->in(gate),   this->in(up),
                                                 size.width,   this->out(to[0]), this->out(to[1])};
      });
    }
  };
  compare(rows::Silu{});
  compare(rows::ExactGelu{});
  compare(rows::TanhGelu{});
}

TYPED_TEST(TrainingPasses, CrossEntropyAgreesBetweenOneLaneAndSeveral) {
  using T = TypeParam;
  for (const Sizes& size : this->sizes()) {
    const at::Tensor logits = 3 * this->activations(size);
    const at::Tensor targets = this->random.integers(0, size.width, {size.rows});
    const at::Tensor losses = at::zeros({size.rows}, this->wide);
    const at::Tensor normaliser = at::zeros({size.rows, 2}, this->wide);
    if (size.width > 1) {  // the loss of a single class is zero
      this->expect_same(size, size.rows, {losses, normaliser}, [&](const std::vector<at::Tensor>& to) {
        return rows::CrossEntropyForward<T>{this->in(logits), targets.const_data_ptr<int64_t>(), size.width,
                                            this->wide_out(to[0]), this->wide_out(to[1])};
      });
    }
    const at::Tensor given = at::stack({this->per_row(size) + 5, this->per_row(size)}, 1);
    const at::Tensor dloss = this->per_row(size);
    this->expect_same(size, size.rows, {logits}, [&](const std::vector<at::Tensor>& to) {
      return rows::CrossEntropyBackward<T>{this->wide_in(dloss), this->in(logits), targets.const_data_ptr<int64_t>(),
                                           this->wide_in(given), size.width,       1,
                                           this->out(to[0])};
    });
  }
}

TYPED_TEST(TrainingPasses, GiveNanForATargetThatIsNotAClass) {
  using T = TypeParam;
  const Sizes size{2, 16};
  const at::Tensor logits = this->activations(size);
  for (const int64_t target : {int64_t{-1}, size.width}) {
    const at::Tensor targets = at::tensor({int64_t{3}, target});
    const at::Tensor loss = at::zeros({2}, this->wide);
    const at::Tensor normaliser = at::zeros({2, 2}, this->wide);
    const at::Tensor dlogits = at::zeros_like(logits);
    const int64_t* const ids = targets.const_data_ptr<int64_t>();
    support::run_by_lanes(rows::CrossEntropyForward<T>{this->in(logits), ids, size.width, this->wide_out(loss),
                                                       this->wide_out(normaliser)},
                          size.rows);
    support::run_by_lanes(rows::CrossEntropyBackward<T>{this->wide_in(at::ones({2}, this->wide)), this->in(logits), ids,
                                                        this->wide_in(normaliser), size.width, 1, this->out(dlogits)},
                          size.rows);
    EXPECT_TRUE(at::isfinite(loss[0]).template item<bool>());
    EXPECT_TRUE(at::isnan(loss[1]).template item<bool>());
    EXPECT_TRUE(at::isfinite(dlogits[0]).all().template item<bool>());
    EXPECT_TRUE(at::isnan(dlogits[1]).all().template item<bool>());
  }
}

TEST(Packs, NeedAWidthAndAddressesThatFit) {
  const at::Tensor x = at::zeros({4, 32}, at::kFloat);
  const auto* const data = x.const_data_ptr<float>();
  EXPECT_TRUE(rows::fits_packs<float>(32, data, data + 4));
  EXPECT_FALSE(rows::fits_packs<float>(30, data));
  EXPECT_FALSE(rows::fits_packs<float>(32, data, data + 1));
}

}  // namespace
}  // namespace hessian::tests
