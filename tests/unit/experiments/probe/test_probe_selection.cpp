#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <variant>

#include "probe/probe.h"
#include "refusal.h"

namespace hessian::tests {
namespace {

using experiments::parse_layers;
using experiments::parse_sites;
using experiments::ProbeOptions;
using models::Site;
using testing::ElementsAre;

TEST(ProbeSelection, ReadsNumbersAndRangesInOrderAndOnce) {
  EXPECT_THAT(parse_layers("all", 3), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(parse_layers("0,3,5-7", 8), ElementsAre(0, 3, 5, 6, 7));
  EXPECT_THAT(parse_layers("5-6,0,6", 8), ElementsAre(0, 5, 6));
  EXPECT_THAT(parse_layers("4-4", 4), ElementsAre(4));
}

TEST(ProbeSelection, RefusesInvalidSelectionsOfLayers) {
  for (const char* text :
       {"", ",", "1,", ",1", "a", "1-", "-1", "3-1", "9", "0-9", "1.5", "0x1", " 1", "99999999999999999999"}) {
    EXPECT_THAT(support::refusal_of<std::invalid_argument>([&] { parse_layers(text, 4); }),
                testing::HasSubstr("expected all, or numbers and ranges from 0 to 4"))
        << "'" << text << "'";
  }
}

TEST(ProbeSelection, ReadsSitesInTheOrderOfTheLayer) {
  EXPECT_THAT(parse_sites({"ffn_in", "residual", "ffn_in"}), ElementsAre(Site::residual, Site::ffn_in));
  EXPECT_EQ(parse_sites({"all"}), models::all_sites());
  EXPECT_THROW(parse_sites({"nowhere"}), std::invalid_argument);
}

TEST(ProbeSelection, ReadsTheWordsOfUnitsAndMethodsThatItWrites) {
  ProbeOptions written;
  ProbeOptions read;
  const auto word_of = [](ProbeOptions& options, const std::string& key) {
    const auto declared = experiments::probe_options(options);
    const auto found =
        std::find_if(declared.begin(), declared.end(), [&key](const auto& option) { return option.field.key == key; });
    return std::get<experiments::WordTarget>(found->field.target);
  };
  for (const auto unit : {experiments::Unit::sequence, experiments::Unit::token}) {
    written.unit = unit;
    word_of(read, "unit").set(word_of(written, "unit").get());
    EXPECT_EQ(read.unit, unit);
  }
  for (const auto method : {experiments::Method::lanczos, experiments::Method::power, experiments::Method::spectra}) {
    written.method = method;
    word_of(read, "method").set(word_of(written, "method").get());
    EXPECT_EQ(read.method, method);
  }
  EXPECT_THROW(word_of(read, "unit").set("batch"), std::invalid_argument);
  EXPECT_THROW(word_of(read, "method").set(""), std::invalid_argument);
}

}  // namespace
}  // namespace hessian::tests
