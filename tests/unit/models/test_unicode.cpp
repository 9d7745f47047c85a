#include "tokenizers/unicode.h"

#include <gtest/gtest.h>

#include <string>

using hessian::models::NormalizationForm;
using hessian::models::normalized;

namespace hessian::tests {
namespace {

std::string repeated(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) {
    result += text;
  }
  return result;
}

const std::string below = "\u0316";  // combining class 220
const std::string acute = "\u0301";  // combining class 230

TEST(Unicode, NormalizesShortAndLongRunsOfMarksAlike) {
  for (const int count : {1, 10, 16, 100, 100'000}) {
    const std::string text = "e" + repeated(acute + below, count) + "x";
    EXPECT_EQ(normalized(text, NormalizationForm::nfd), "e" + repeated(below, count) + repeated(acute, count) + "x");
    EXPECT_EQ(normalized(text, NormalizationForm::nfc),
              "\u00e9" + repeated(below, count) + repeated(acute, count - 1) + "x");
  }
}

TEST(Unicode, NormalizesMarksThatAreDecomposed) {
  for (const int count : {1, 10, 100}) {
    // A starter by itself, but its decomposition is U+0F71 U+0F72, with the classes 129 and 130.
    const std::string expected = "\u0f40" + repeated("\u0f71", count) + repeated("\u0f72", count);
    EXPECT_EQ(normalized("\u0f40" + repeated("\u0f73", count), NormalizationForm::nfd), expected);
    EXPECT_EQ(normalized("\u0f40" + repeated("\u0f73", count), NormalizationForm::nfc), expected);
    EXPECT_EQ(normalized("e" + repeated("\u0344" + below, count), NormalizationForm::nfkd),
              "e" + repeated(below, count) + repeated("\u0308" + acute, count));
  }
}

TEST(Unicode, LeavesMarksOfLaterVersionsWhereTheyAre) {
  // U+0898 (Unicode 14, class 230) is unknown to the reference, so that the marks on its two sides stay apart.
  const std::string text = "e" + repeated(acute + below, 20) + "\u0898" + below;
  EXPECT_EQ(normalized(text, NormalizationForm::nfd),
            "e" + repeated(below, 20) + repeated(acute, 20) + "\u0898" + below);
}

}  // namespace
}  // namespace hessian::tests
