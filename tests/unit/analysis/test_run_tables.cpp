#include "output/run_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "run_contents.h"

using testing::ElementsAre;
using testing::HasSubstr;

namespace hessian::tests {
namespace {

using analysis::RunContent;
using analysis::Table;

const std::string config_of_five =
    "[data]\nbatch_size = 4\naccumulation = 3\n[probe]\nsharpness = true\nsharpness_sequences = 5\n";

/// Returns the table of a report whose title contains some words.
Table table_of(const std::vector<RunContent>& runs, const std::string& words) {
  for (const analysis::Section& section : report_on(runs, {}, "hessian-plot").sections) {
    for (const Table& table : section.tables) {
      if (table.title.find(words) != std::string::npos) {
        return table;
      }
    }
  }
  throw std::runtime_error("no table has '" + words + "'");
}

TEST(SharpnessTable, HasTheNumberOfSequencesTheClipFactorAndTheCoordinatesThatAreLeftOut) {
  RunContent run = empty_run("run.h5", config_of_five);
  run.sharpness = analysis::SharpnessCurve{{0, 10, 20}, {30, 15, 12}, {1, 1, 1}};
  run.preconditioned_sharpness =
      analysis::SharpnessCurve{{0, 10, 20}, {NAN, 250, 125}, {0, 1, 0}, {NAN, 0.5, 0.25}, {-1, 96, 64}};
  EXPECT_THAT(table_of({run}, "Sharpness").rows,
              ElementsAre(ElementsAre("run.h5", "5", "0", "30", "–", "–", "–", "yes"),
                          ElementsAre("run.h5", "5", "10", "15", "250", "0.5", "96", "yes"),
                          ElementsAre("run.h5", "5", "20", "12", "125", "0.25", "64", "no")));
  // A file from before these numbers were written.
  run.info.config = "";
  run.preconditioned_sharpness = analysis::SharpnessCurve{{0, 10}, {NAN, 250}, {0, 1}};
  EXPECT_THAT(table_of({run}, "Sharpness").rows[1], ElementsAre("run.h5", "–", "10", "15", "250", "–", "–", "yes"));
}

TEST(SweepTableOfAReport, NamesTheSequencesOfTheSharpness) {
  RunContent run = empty_run("sweep.h5", config_of_five);
  run.sweep.emplace();
  run.sweep->models = {"a-prenorm"};
  EXPECT_THAT(table_of({run}, "largest stable").title, HasSubstr("of the mean loss of 5 held-out sequences"));
}

}  // namespace
}  // namespace hessian::tests
