// Compares the learning-rate schedules with numbers of the official recipes and with formulas written out here.

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>

#include "train/schedule.h"

namespace hessian::tests {
namespace {

using experiments::LearningRateSchedule;
using experiments::multiplier;

// A multiplier takes a handful of operations on numbers of order 1.
constexpr double rounding = 1e-14;

struct Number {
  int64_t step;
  double multiplier;
  double tolerance;  // half of the last printed digit
};

void expect_numbers(const LearningRateSchedule& schedule, std::initializer_list<Number> numbers) {
  for (const auto& [step, expected, tolerance] : numbers) {
    EXPECT_NEAR(multiplier(schedule, step), expected, tolerance) << "step " << step;
  }
}

// The official SimpleGPT code's own schedule returned these numbers for its training configurations.
TEST(Schedule, GivesTheOfficialMultipliersOfTheSevenAndEightBillionRecipe) {
  expect_numbers(
      {"linear", 20000, 200, 1, 0.0},
      {{0, 0.004975, 5e-7}, {199, 0.995025, 5e-7}, {200, 1.0, 0.0}, {10000, 0.505051, 5e-7}, {19999, 5.05e-5, 5e-8}});
}

TEST(Schedule, GivesTheOfficialMultipliersOfTheOneBillionRecipe) {
  expect_numbers({"linear", 200000, 2000, 1, 0.0}, {{0, 4.9975e-4, 5e-9},
                                                    {1999, 0.99950, 5e-6},
                                                    {2000, 1.0, 0.0},
                                                    {100000, 0.505051, 5e-7},
                                                    {199999, 5.05e-6, 5e-9}});
}

TEST(Schedule, RisesLinearlyAndReachesExactlyOneAtTheEndOfTheWarmUp) {
  for (const std::string& name : experiments::schedule_words()) {
    for (const int64_t warmup : {0, 1, 7, 40}) {
      SCOPED_TRACE(name + ", warm-up of " + std::to_string(warmup));
      const LearningRateSchedule schedule{name, 100, warmup, 20, 0.25};
      for (int64_t step = 0; step < warmup; ++step) {
        EXPECT_NEAR(multiplier(schedule, step), static_cast<double>(step + 1) / static_cast<double>(warmup + 1),
                    rounding);
      }
      EXPECT_EQ(multiplier(schedule, warmup), 1.0);
    }
  }
}

TEST(Schedule, FollowsTheFormulasOfEveryKindAtEveryStep) {
  const auto steps = 57.0;
  const auto warmup = 9.0;
  const auto decay = 13.0;
  for (const double end : {0.0, 0.1, 1.0}) {
    for (int64_t step = 9; step < 57; ++step) {
      SCOPED_TRACE("step " + std::to_string(step) + ", final fraction " + std::to_string(end));
      const auto s = static_cast<double>(step);
      const double p = (s - warmup) / (steps - warmup);
      const double cosine = end + (1 - end) * 0.5 * (1 + std::cos(p * std::numbers::pi));
      // Written in terms of the remaining steps of the decay.
      const double wsd = s <= steps - decay ? 1.0 : end + (1 - end) * (steps - s) / decay;
      EXPECT_NEAR(multiplier({"linear", 57, 9, 13, end}, step), 1 - (1 - end) * p, rounding);
      EXPECT_NEAR(multiplier({"cosine", 57, 9, 13, end}, step), cosine, rounding);
      EXPECT_NEAR(multiplier({"wsd", 57, 9, 13, end}, step), wsd, rounding);
      EXPECT_EQ(multiplier({"constant", 57, 9, 13, end}, step), 1.0);
    }
  }
}

TEST(Schedule, StaysAtOneUntilTheDecayOfWsdBeginsAndEndsOneStepBeforeItsFinalFraction) {
  const LearningRateSchedule schedule{"wsd", 100, 10, 30, 0.4};
  EXPECT_EQ(multiplier(schedule, 70), 1.0);
  EXPECT_LT(multiplier(schedule, 71), 1.0);
  EXPECT_NEAR(multiplier(schedule, 99), 0.4 + 0.6 / 30, rounding);
}

TEST(Schedule, OfWsdIsLinearIfItsDecayFillsTheStepsAfterTheWarmUp) {
  for (int64_t step = 0; step < 50; ++step) {
    EXPECT_NEAR(multiplier({"wsd", 50, 6, 44, 0.1}, step), multiplier({"linear", 50, 6, 1, 0.1}, step), rounding);
  }
}

TEST(Schedule, IsOneInTheOnlyStepOfTheShortestRun) {
  for (const std::string& name : experiments::schedule_words()) {
    EXPECT_EQ(multiplier({name, 1, 0, 1, 0.0}, 0), 1.0) << name;
  }
}

TEST(Schedule, RefusesOtherNames) {
  EXPECT_THROW(multiplier({"polynomial", 10, 0, 1, 0.0}, 5), std::invalid_argument);
}

}  // namespace
}  // namespace hessian::tests
