#include "hessian/device.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "random_problems.h"
#include "refusal.h"

namespace hessian::tests {
namespace {

using support::refusal_of;

TEST(SelectDevice, FindsTheProcessor) {
  EXPECT_TRUE(select_device("cpu").is_cpu());
  EXPECT_EQ(describe_device(at::kCPU), "cpu (" + std::to_string(at::get_num_threads()) + " threads)");
}

TEST(SelectDevice, RefusesOtherWordsAndNamesThoseAccepted) {
  for (const std::string word : {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda0", "cuda:1 ", " cpu", "cpu:0",
                                 "auto:0", "cuda:99999999999999999999"}) {
    EXPECT_EQ(refusal_of<std::invalid_argument>([&] { select_device(word); }),
              "'" + word + "' is not a device; use auto, cpu, cuda or cuda:N");
  }
}

TEST(SelectDevice, FallsBackToTheProcessorOnlyForAuto) {
  if (cuda_is_available()) {
    GTEST_SKIP() << "there is a CUDA device here";
  }
  EXPECT_TRUE(select_device("auto").is_cpu());
  for (const std::string word : {"cuda", "cuda:0", "cuda:3"}) {
    const std::string text = refusal_of([&] { select_device(word); });
    EXPECT_TRUE(text.starts_with("CUDA cannot be used: ")) << text;
    EXPECT_GT(text.size(), std::string("CUDA cannot be used: ").size()) << "no reason given";
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
}

TEST(SelectDevice, FindsTheCudaDevice) {
  if (!cuda_is_available()) {
    GTEST_SKIP() << "no CUDA device here";
  }
  EXPECT_EQ(select_device("auto"), at::Device(at::kCUDA, 0));
  EXPECT_EQ(select_device("cuda"), at::Device(at::kCUDA, 0));
  EXPECT_EQ(select_device("cuda:0"), at::Device(at::kCUDA, 0));
  EXPECT_TRUE(describe_device(select_device("cuda")).starts_with("cuda:0"));
  const std::string text = refusal_of([] { select_device("cuda:99"); });
  EXPECT_TRUE(text.starts_with("there is no device cuda:99; this machine has ")) << text;
}

}  // namespace
}  // namespace hessian::tests
