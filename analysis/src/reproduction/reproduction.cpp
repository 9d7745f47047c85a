#include "reproduction/reproduction.h"

#include <fmt/format.h>

#include "output/csv.h"
#include "output/gnuplot.h"
#include "output/text_file.h"
#include "reproduction/curvature.h"
#include "reproduction/sections.h"
#include "reproduction/stability.h"
#include "run_file/output_file.h"

namespace hessian::analysis {
namespace {

const char* word_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::holds:
      return "holds";
    case Verdict::does_not_hold:
      return "does not hold";
    default:
      return "undecided";
  }
}

/// Makes the sections whose files were requested, in the order of their letters.
std::vector<ClaimSection> sections_of(const ReproductionFiles& files) {
  std::vector<ClaimSection> sections;
  if (!files.synthetic.empty()) {
    sections.push_back(maps_section(files.synthetic));
  }
  if (!files.curvature.empty()) {
    const CurvatureResults curvature = read_curvature(files.curvature);
    sections.push_back(norms_section(curvature));
    sections.push_back(scales_section(curvature));
  }
  const StabilityResults stability = read_stability(files.stability);
  if (!files.stability.empty()) {
    sections.push_back(rates_section(stability));
    sections.push_back(losses_section(stability));
  }
  if (!files.step_times.empty()) {
    sections.push_back(cost_section(files.step_times));
  }
  if (!files.stability.empty()) {
    sections.push_back(thresholds_section(stability));
  }
  return sections;
}

Table claims_table(const std::vector<Claim>& claims) {
  Table table{
      "Claims of arXiv 2602.01212", {"claim", "figure", "the paper", "here", "verdict", "what counts as holding"}, {}};
  for (const Claim& claim : claims) {
    table.rows.push_back({claim.text, claim.figure, claim.paper, claim.ours, word_of(claim.verdict), claim.rule});
  }
  return table;
}

std::string csv_of(const Table& table) {
  std::string text = csv_row(table.header);
  for (const auto& row : table.rows) {
    text += csv_row(row);
  }
  return text;
}

Report report_of(const ReproductionFiles& files, std::vector<ClaimSection> sections, const std::vector<Claim>& claims) {
  Report report;
  report.title = "SimpleGPT's claims, at scale " + files.scale;
  report.summary =
      "The claims of arXiv 2602.01212 about the Hessian of activations and learning rates, measured again.";
  Section overview{"Claims", {}, {}, {files.command}, {claims_table(claims)}, {}};
  overview.paragraphs = {
      "Every verdict is about this scale alone, by the rule in its row; the models are far smaller than the paper's. "
      "Numbers in brackets are ranges over seeds."};
  report.sections.push_back(std::move(overview));
  for (auto& [own_claims, section] : sections) {
    section.commands.push_back(files.command + " --resume --figure " + own_claims.front().figure);
    section.tables.insert(section.tables.begin(), claims_table(own_claims));
    section.tables.front().title = "Claims";
    report.sections.push_back(std::move(section));
  }
  report.sections.push_back({"What was run", files.plan, {}, {}, {}, {}});
  return report;
}

/// Writes each figure as SVG and CSV, and each table as CSV.
void write_figures(const std::vector<ClaimSection>& sections, const std::filesystem::path& folder) {
  for (const auto& [claims, section] : sections) {
    for (const Figure& figure : section.figures) {
      draw(figure, "svg", folder / (figure.id + ".svg"));
      write_text(folder / (figure.id + ".csv"), csv_of(figure));
    }
    for (std::size_t i = 0; i < section.tables.size(); ++i) {
      write_text(folder / fmt::format("{}-table-{}.csv", claims.front().figure, i + 1), csv_of(section.tables[i]));
    }
  }
}

}  // namespace

std::vector<Claim> write_reproduction(const ReproductionFiles& files, const std::filesystem::path& out) {
  std::vector<ClaimSection> sections = sections_of(files);
  std::vector<Claim> claims;
  for (const ClaimSection& section : sections) {
    claims.insert(claims.end(), section.claims.begin(), section.claims.end());
  }
  const std::filesystem::path folder = out / "figures";
  experiments::make_folder(folder);
  write_figures(sections, folder);
  write_text(out / "claims.csv", csv_of(claims_table(claims)));
  write_report(report_of(files, std::move(sections), claims), out / "report.html", folder);
  return claims;
}

std::string format_claims(const std::vector<Claim>& claims) {
  std::string text;
  for (const Claim& claim : claims) {
    text += fmt::format("({}) {}\n    paper: {}; here: {}\n    {} ({})\n", claim.figure, claim.text, claim.paper,
                        claim.ours, word_of(claim.verdict), claim.rule);
  }
  return text;
}

}  // namespace hessian::analysis
