#include "reproduction/reproduction.h"

#include <fmt/format.h>

#include <iterator>

#include "output/csv.h"
#include "output/gnuplot.h"
#include "output/text_file.h"
#include "reproduction/parts.h"
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

std::vector<ReproductionPart> parts_of(const ReproductionFiles& files) {
  std::vector<ReproductionPart> parts;
  if (!files.synthetic.empty()) {
    parts.push_back(maps_part(files));
  }
  if (!files.curvature.empty()) {
    parts.push_back(norms_part(files));
    parts.push_back(scales_part(files));
  }
  if (!files.stability.empty()) {
    parts.push_back(rates_part(files));
    parts.push_back(losses_part(files));
  }
  if (!files.step_times.empty()) {
    parts.push_back(cost_part(files));
  }
  if (!files.stability.empty()) {
    parts.push_back(thresholds_part(files));
  }
  return parts;
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

Report report_of(const ReproductionFiles& files, std::vector<ReproductionPart> parts,
                 const std::vector<Claim>& claims) {
  Report report;
  report.title = "SimpleGPT's claims, at scale " + files.scale;
  report.summary =
      "The claims of arXiv 2602.01212 about the Hessian of activations and learning rates, measured again.";
  Section overview{"Claims", {}, {}, {files.command}, {claims_table(claims)}, {}};
  overview.paragraphs = {
      "Every verdict is of this scale alone, by the rule in its row; the models are far smaller than the paper's. "
      "Numbers in brackets are "
      "ranges over seeds."};
  report.sections.push_back(std::move(overview));
  for (ReproductionPart& part : parts) {
    const std::string letter = part.claims.front().figure;
    part.section.commands.push_back(files.command + " --resume --figure " + letter);
    std::vector<Table> tables = {claims_table(part.claims)};
    tables.front().title = "Claims";
    tables.insert(tables.end(), std::make_move_iterator(part.section.tables.begin()),
                  std::make_move_iterator(part.section.tables.end()));
    part.section.tables = std::move(tables);
    report.sections.push_back(std::move(part.section));
  }
  report.sections.push_back({"What was run", files.plan, {}, {}, {}, {}});
  return report;
}

}  // namespace

std::vector<Claim> write_reproduction(const ReproductionFiles& files, const std::filesystem::path& out) {
  std::vector<ReproductionPart> parts = parts_of(files);
  std::vector<Claim> claims;
  const std::filesystem::path folder = out / "figures";
  experiments::make_folder(folder);
  for (const ReproductionPart& part : parts) {
    claims.insert(claims.end(), part.claims.begin(), part.claims.end());
    for (const Figure& figure : part.section.figures) {
      draw(figure, "svg", folder / (figure.id + ".svg"));
      write_text(folder / (figure.id + ".csv"), csv_of(figure));
    }
    for (std::size_t i = 0; i < part.section.tables.size(); ++i) {
      write_text(folder / fmt::format("{}-table-{}.csv", part.claims.front().figure, i + 1),
                 csv_of(part.section.tables[i]));
    }
  }
  write_text(out / "claims.csv", csv_of(claims_table(claims)));
  write_report(report_of(files, std::move(parts), claims), out / "report.html");
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
