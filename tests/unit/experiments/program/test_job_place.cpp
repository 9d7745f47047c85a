#include "program/job_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

#include "refusal.h"

namespace hessian::tests {
namespace {

using experiments::first_host;
using experiments::job_place;
using experiments::JobPlace;

using Variables = std::map<std::string, std::string>;

/// Sets variables of a launcher, and clears all others, while it exists.
class Environment {
 public:
  explicit Environment(const Variables& variables) {
    clear();
    for (const auto& [name, value] : variables) {
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  ~Environment() { clear(); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  static void clear() {
    for (const std::string& name : experiments::job_place_variables()) {
      ::unsetenv(name.c_str());
    }
    for (const char* name : {"SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"}) {
      ::unsetenv(name);
    }
  }
};

std::string refusal() {
  return support::refusal_of<std::invalid_argument>([] { job_place(); });
}

TEST(JobPlace, IsASingleProcessWithoutALauncher) {
  const Environment environment(Variables{});
  EXPECT_EQ(job_place().size, 1);
  EXPECT_TRUE(job_place().is_first());
}

TEST(JobPlace, ReadsTorchrunsVariables) {
  const Environment environment(Variables{{"RANK", "5"},
                                          {"WORLD_SIZE", "8"},
                                          {"LOCAL_RANK", "1"},
                                          {"LOCAL_WORLD_SIZE", "4"},
                                          {"MASTER_ADDR", "node1"},
                                          {"MASTER_PORT", "29500"},
                                          {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                          {"TORCHELASTIC_RESTART_COUNT", "2"}});
  const JobPlace place = job_place();
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.size, 8);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_size, 4);
  EXPECT_EQ(place.address, "node1");
  EXPECT_EQ(place.port, 29500);
  EXPECT_TRUE(place.store_is_up);
  EXPECT_EQ(place.attempt, "2");
}

TEST(JobPlace, ReadsTheVariablesOfASlurmStepAndUsesItsFirstHost) {
  const Environment environment(Variables{{"SLURM_PROCID", "3"},
                                          {"SLURM_STEP_NUM_TASKS", "8"},
                                          {"SLURM_LOCALID", "3"},
                                          {"SLURM_STEP_TASKS_PER_NODE", "4(x2)"},
                                          {"SLURM_STEP_NODELIST", "gpu[07-08]"},
                                          {"SLURM_JOB_ID", "1234567"},
                                          {"SLURM_STEP_ID", "1"}});
  const JobPlace place = job_place();
  EXPECT_EQ(place.rank, 3);
  EXPECT_EQ(place.size, 8);
  EXPECT_EQ(place.local_rank, 3);
  EXPECT_EQ(place.local_size, 4);
  EXPECT_EQ(place.address, "gpu07");
  EXPECT_EQ(place.port, 20000 + (1234567 + 1) % 20000);
  EXPECT_FALSE(place.store_is_up);
}

TEST(JobPlace, IsASingleProcessInABatchScriptBeforeItsStepBegins) {
  const Environment environment(Variables{{"SLURM_PROCID", "0"}});
  EXPECT_EQ(job_place().size, 1);
}

TEST(JobPlace, RefusesIncompleteVariablesNamingTheMissingOne) {
  {
    const Environment environment(Variables{{"WORLD_SIZE", "2"}});
    EXPECT_THAT(refusal(), testing::HasSubstr("RANK is not set"));
  }
  {
    const Environment environment(Variables{{"WORLD_SIZE", "2"}, {"RANK", "-1"}});
    EXPECT_THAT(refusal(), testing::HasSubstr("RANK is '-1', expected a whole number from 0 to 1"));
  }
  {
    const Environment environment(Variables{{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}});
    EXPECT_THAT(refusal(), testing::HasSubstr("SLURM_STEP_NODELIST is not set"));
  }
}

TEST(FirstHost, ReadsSlurmsLists) {
  EXPECT_EQ(first_host("node1"), "node1");
  EXPECT_EQ(first_host("node1,node2"), "node1");
  EXPECT_EQ(first_host("n[1-3,7],m2"), "n1");
  EXPECT_EQ(first_host("n[007,9-12]"), "n007");
  EXPECT_EQ(first_host("a,n[1-2]"), "a");
  EXPECT_EQ(first_host("rack[2-3].site,m"), "rack2.site");
}

}  // namespace
}  // namespace hessian::tests
