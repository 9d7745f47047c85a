#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "refusal.h"
#include "tokenizers/regex.h"

using hessian::models::Regex;
using hessian::models::RegexSyntax;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

/// Returns the matches of a pattern in a text.
std::vector<std::string> matches(const std::string& pattern, const std::string& text,
                                 RegexSyntax syntax = RegexSyntax::oniguruma) {
  std::vector<std::string> found;
  Regex(pattern, syntax, "t.json").for_each_match(text, [&](std::size_t begin, std::size_t end) {
    found.push_back(text.substr(begin, end - begin));
  });
  return found;
}

using Strings = std::vector<std::string>;

TEST(Regex, FindsWhatTheLibraryOfThePatternFinds) {
  // Expected values: huggingface/tokenizers 0.23.3, which uses Oniguruma.
  EXPECT_EQ(matches(R"(\s)", "a\u180eb\u0085c d"), (Strings{"\u0085", " "}));
  EXPECT_EQ(matches(R"(\w+)", "naïve x² e\u0301t\u0301 ⅓"), (Strings{"naïve", "x²", "e\u0301t\u0301"}));
  EXPECT_EQ(matches(R"(\h+)", "xyz cafe"), Strings{"cafe"});
  EXPECT_EQ(matches(R"((?i:'s))", "it'ſ It'S"), (Strings{"'ſ", "'S"}));
  EXPECT_EQ(matches(R"(\p{Han}+)", "漢字、かな"), Strings{"漢字"});
  EXPECT_EQ(matches(R"(\p{Letter}+|\p{^L})", "ab1"), (Strings{"ab", "1"}));
  EXPECT_EQ(matches("[[:alpha:]]+", "a\u0345b1"), Strings{"a\u0345b"});
  EXPECT_EQ(matches("[]x]", "a]x"), (Strings{"]", "x"}));
  EXPECT_EQ(matches(R"( ?[^(\s|[.,!?])]+)", "Hello, big(world)!"), (Strings{"Hello", " big", "world"}));
}

TEST(Regex, MatchesLinesInOnigurumaAndTheWholeTextInRust) {
  EXPECT_EQ(matches("b$", "ab\nb").size(), 2U);
  EXPECT_EQ(matches("b$", "ab\nb", RegexSyntax::rust).size(), 1U);
  EXPECT_EQ(matches(R"(\w+)", "a\u200db", RegexSyntax::rust), Strings{"a\u200db"});
}

TEST(Regex, SkipsEmptyMatchesAtTheEndOfAMatch) {
  EXPECT_EQ(matches("a*", "baac"), (Strings{"", "aa", ""}));
  EXPECT_EQ(matches("(?=é)", "éé").size(), 2U);
}

TEST(Regex, RefusesWhatPcre2Lacks) {
  const auto refusal = [](const std::string& pattern) {
    return refusal_of([&] { Regex(pattern, RegexSyntax::oniguruma, "t.json"); });
  };
  EXPECT_EQ(refusal("[a&&b]"),
            "t.json: the regular expression '[a&&b]' is not supported: it combines classes of characters");
  EXPECT_EQ(refusal("[a[^b]]"),
            "t.json: the regular expression '[a[^b]]' is not supported: it excludes characters inside a class");
  EXPECT_EQ(refusal(R"([a\W])"),
            R"(t.json: the regular expression '[a\W]' is not supported: it excludes characters inside a class)");
  EXPECT_TRUE(refusal("(a").starts_with("t.json: the regular expression '(a' is not supported: missing "));
}

TEST(Regex, StopsAPatternThatBacktracksExponentially) {
  const std::string text(200, 'a');
  EXPECT_TRUE(refusal_of([&] {
                Regex("(a|aa)+$", RegexSyntax::rust, "t.json").find(text + "c", 0);
              }).starts_with("t.json: the regular expression '(a|aa)+$' cannot be matched at byte 0 of a text: match"));
}

}  // namespace
}  // namespace hessian::tests
