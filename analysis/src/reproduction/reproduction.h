#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hessian::analysis {

/// A sweep over the norm placements of one model.
struct ReproducedSweep {
  std::string family;          ///< `llama2`
  std::string size;            ///< `small`
  int64_t parameters = 0;      ///< of the PreNorm model
  std::filesystem::path file;  ///< sweep.h5
};

/// Where the experiments behind the paper's figures have left their results, and what made them.
struct ReproductionFiles {
  std::string command;  ///< with neither --figure nor --resume: `hessian-reproduce --scale cpu --out DIR`
  std::string scale;
  std::vector<std::string> plan;    ///< what was run, in words
  std::filesystem::path synthetic;  ///< empty where it was not asked for, as are the others
  std::filesystem::path step_times;
  std::vector<ReproducedSweep> curvature;  ///< one rate, every site probed
  std::vector<ReproducedSweep> stability;  ///< learning rates swept; sizes of a family ascend
};

/// Whether a claim of the paper is found again at this scale.
enum class Verdict { holds, does_not_hold, undecided };

/// A claim, and what was found.
struct Claim {
  std::string text;
  std::string figure;  ///< letter
  std::string paper;   ///< the paper's number
  std::string ours;    ///< ours, with its spread
  Verdict verdict = Verdict::undecided;
  std::string rule;  ///< what counts as holding
};

/// Holds the results against the paper's claims and writes OUT/report.html, and below OUT/figures each figure as SVG
/// and CSV and OUT/claims.csv. What is missing or not finished is said there, and the rest is shown.
/// \return  the claims
/// \throws std::runtime_error  one line, if a file cannot be written or gnuplot is missing
std::vector<Claim> write_reproduction(const ReproductionFiles& files, const std::filesystem::path& out);

/// The claims as a table for people.
std::string format_claims(const std::vector<Claim>& claims);

}  // namespace hessian::analysis
