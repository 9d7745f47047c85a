#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "content/spectrum_content.h"
#include "hessian/run_file.h"

namespace hessian::analysis {

/// The probes of a site that have been written. Dimensions: P probes, N layers, S sequences.
struct SiteProbes {
  std::string site;
  std::vector<int64_t> layers;          ///< [N]
  std::vector<int64_t> steps;           ///< [P]
  int64_t sequences = 0;                ///< S
  std::vector<double> spectral_norm;    ///< [P, N, S], nats
  std::vector<double> lambda_max;       ///< [P, N, S], nats
  std::vector<double> lambda_min;       ///< [P, N, S], nats
  std::vector<double> norm_upper;       ///< [P, N, S], nats; empty in files without certificates
  std::vector<double> residual_norm;    ///< [P, N, S], nats
  std::vector<uint8_t> converged;       ///< [P, N, S]
  std::vector<double> rms;              ///< [P, N]
  std::vector<double> abs_max;          ///< [P, N]
  std::vector<double> abs_mean;         ///< [P, N]
  std::vector<double> feature_outlier;  ///< [P, N]

  /// Returns the values of one layer in one probe over the sequences, [S], from an array [P, N, S].
  [[nodiscard]] std::vector<double> over_sequences(const std::vector<double>& values, std::size_t probe,
                                                   std::size_t row) const;
  /// Counts the estimates of one layer in one probe that reached their tolerance.
  [[nodiscard]] int64_t converged_count(std::size_t probe, std::size_t row) const;
  /// Counts the estimates of one layer in one probe that were written and did not reach their tolerance.
  [[nodiscard]] int64_t unconverged(std::size_t probe, std::size_t row) const;
  /// Counts such estimates over all layers of a probe.
  [[nodiscard]] int64_t unconverged(std::size_t probe) const;
};

/// Sharpness or preconditioned sharpness along training.
struct SharpnessCurve {
  std::vector<int64_t> steps;      ///< [P]
  std::vector<double> lambda_max;  ///< [P], nats
  std::vector<uint8_t> converged;  ///< [P]
  /// [P], of the preconditioned sharpness: the clip factor c, and the number of coordinates that no update had moved. Empty
  /// for the other kind and in old files.
  std::vector<double> clip_factor = {};
  std::vector<int64_t> left_out = {};
};

struct TrainingCurves {
  std::vector<int64_t> steps;      ///< [K]
  std::vector<double> loss;        ///< [K], nats
  std::vector<double> lr;          ///< [K]
  std::vector<double> grad_norm;   ///< [K]
  std::vector<int64_t> val_steps;  ///< [V]
  std::vector<double> val_loss;    ///< [V], nats
};

/// The runs of a sweep and its summary.
struct SweepRuns {
  std::vector<std::string> model;                      ///< [R]
  std::vector<double> lr;                              ///< [R]
  std::vector<int64_t> seed;                           ///< [R]
  std::vector<std::string> status;                     ///< [R]
  std::vector<double> final_loss;                      ///< [R], nats
  std::vector<double> initial_loss;                    ///< [R], nats
  std::vector<int64_t> diverged_at;                    ///< [R], steps
  std::vector<std::string> run_file;                   ///< [R], relative to the folder of the sweep's file
  std::vector<std::string> models;                     ///< [M]
  std::map<std::string, std::vector<double>> summary;  ///< numbers of the models by name, [M] each

  /// Returns a number of the summary, such as `largest_stable_lr`, for a model; NaN if there is none.
  [[nodiscard]] double summary_number(const std::string& of_model, const std::string& name) const;
};

/// The contents of a run file that can be drawn.
struct RunContent {
  std::filesystem::path path;
  experiments::RunInfo info;
  std::string created;
  bool finished = false;
  int format_version = 0;
  int64_t peak_memory_bytes = 0;
  std::vector<SiteProbes> sites;
  std::optional<SharpnessCurve> sharpness;
  std::optional<SharpnessCurve> preconditioned_sharpness;
  std::optional<TrainingCurves> training;
  std::optional<SweepRuns> sweep;
  std::vector<DensityCurve> densities;
  std::vector<GroupSpectrum> spectra;
  std::optional<Anatomy> anatomy;
  std::vector<experiments::DatasetSpec> datasets;  ///< every dataset of the file
  std::vector<std::string> problems;               ///< datasets that could not be read, a line each
};

/// Reads a run file. A dataset that is unreadable or of another shape is left out and named in `problems`.
/// \throws std::runtime_error  one line that names the file, if it is not a run file
/// Memory: that of the numbers.
RunContent read_run(const std::filesystem::path& path);

}  // namespace hessian::analysis
