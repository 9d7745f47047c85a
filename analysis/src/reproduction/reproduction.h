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

/// The result files of the experiments for the paper's figures, and how they were made.
struct ReproductionFiles {
  std::string command;  ///< without --figure and --resume: `hessian-reproduce --scale cpu --out DIR`
  std::string scale;
  std::vector<std::string> plan;    ///< the planned runs, in words
  std::filesystem::path synthetic;  ///< this and the following are empty if not requested
  std::filesystem::path step_times;
  std::vector<ReproducedSweep> curvature;  ///< one rate, every site probed
  std::vector<ReproducedSweep> stability;  ///< learning rates swept; sizes of a family ascend
};

/// Whether a claim of the paper holds at this scale.
enum class Verdict { holds, does_not_hold, undecided };

/// A claim of the paper next to our measurement.
struct Claim {
  std::string text;
  std::string figure;  ///< letter
  std::string paper;   ///< the paper's number
  std::string ours;    ///< ours, with its spread
  Verdict verdict = Verdict::undecided;
  std::string rule;  ///< the condition under which it holds
};

/// Compares the results with the paper's claims. Writes OUT/report.html, OUT/claims.csv, and into OUT/figures each
/// figure as SVG and CSV and each table as CSV. Files that are missing or not finished are named in the report as
/// warnings.
/// \return  the claims with their verdicts
/// \throws std::runtime_error  one line, if a file cannot be written or gnuplot is missing
std::vector<Claim> write_reproduction(const ReproductionFiles& files, const std::filesystem::path& out);

/// Formats the claims as text for a terminal.
std::string format_claims(const std::vector<Claim>& claims);

}  // namespace hessian::analysis
