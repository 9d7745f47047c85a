#include "output/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "run_file_support.h"

using hessian::analysis::Report;
using hessian::tests::TemporaryFolder;
using testing::HasSubstr;
using testing::Not;

namespace hessian::tests {
namespace {

std::string page_of(const Report& report, const TemporaryFolder& folder) {
  write_report(report, folder / "report.html");
  std::ifstream file(folder / "report.html");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Report, EscapesSpecialCharactersOfHtml) {
  const TemporaryFolder folder;
  Report report;
  report.title = "<script>alert('x')</script> & more";
  report.sections = {{"a < b",
                      {"<b>paragraph</b>"},
                      {"warn & \"quote\""},
                      {"hessian-plot '<run>.h5'"},
                      {{"table <1>", {"<h>"}, {{"<cell>"}}}},
                      {}}};
  const std::string page = page_of(report, folder);
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert("));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("&lt;b&gt;paragraph&lt;/b&gt;"));
  EXPECT_THAT(page, HasSubstr("warn &amp; "));
  EXPECT_THAT(page, HasSubstr("&lt;cell&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<cell>")));
  EXPECT_THAT(page, Not(HasSubstr("<run>")));
}

TEST(Report, IsSelfContained) {
  if (std::system("command -v gnuplot >/dev/null") != 0) {
    GTEST_SKIP() << "gnuplot is not installed";
  }
  const TemporaryFolder folder;
  Report report;
  report.title = "One";
  analysis::Figure figure;
  figure.id = "losses";
  figure.title = "Losses";
  figure.caption = "A caption.";
  figure.warnings = {"careful"};
  figure.curves = {{"a", "#0072B2", {1, 2}, {3, 4}, {}, {}}};
  report.sections = {{"Figures", {}, {}, {}, {}, {figure}}};
  const std::string page = page_of(report, folder);
  EXPECT_THAT(page, HasSubstr("<figure id=\"losses\""));
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, Not(HasSubstr("<?xml"))) << "the head of a file has no place in a page";
  EXPECT_THAT(page, HasSubstr("careful"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme: dark"));
  // The only addresses are names of XML namespaces.
  for (std::size_t found = page.find("http"); found != std::string::npos; found = page.find("http", found + 1)) {
    EXPECT_THAT(page.substr(found, 20), testing::StartsWith("http://www.w3.org/"));
  }
  EXPECT_EQ(folder.names().size(), 1) << "no other file is left";
}

TEST(Report, UsesExistingDrawings) {
  const TemporaryFolder folder;
  Report report;
  analysis::Figure figure;
  figure.id = "losses";
  report.sections = {{"Figures", {}, {}, {}, {}, {figure}}};
  std::ofstream(folder / "losses.svg") << "<?xml version=\"1.0\"?><svg>drawn before</svg>";
  write_report(report, folder / "report.html", folder.path());
  std::ifstream file(folder / "report.html");
  std::ostringstream page;
  page << file.rdbuf();
  EXPECT_THAT(page.str(), HasSubstr("<svg>drawn before</svg>"));
  EXPECT_THAT(page.str(), Not(HasSubstr("<?xml")));
}

}  // namespace
}  // namespace hessian::tests
