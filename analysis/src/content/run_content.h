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

/// The probes of a site, as far as they have been written. Dimensions: P probes, N blocks, S sequences.
struct SiteProbes {
  std::string site;
  std::vector<int64_t> layers;          ///< [N]
  std::vector<int64_t> steps;           ///< [P]
  int64_t sequences = 0;                ///< S
  std::vector<double> spectral_norm;    ///< [P, N, S], nats
  std::vector<double> lambda_max;       ///< [P, N, S], nats
  std::vector<double> lambda_min;       ///< [P, N, S], nats
  std::vector<double> residual_norm;    ///< [P, N, S], nats
  std::vector<uint8_t> converged;       ///< [P, N, S]
  std::vector<double> rms;              ///< [P, N]
  std::vector<double> abs_max;          ///< [P, N]
  std::vector<double> abs_mean;         ///< [P, N]
  std::vector<double> feature_outlier;  ///< [P, N]

  /// The numbers of one probe's block over the sequences, of an array [P, N, S].
  [[nodiscard]] std::vector<double> over_sequences(const std::vector<double>& values, std::size_t probe,
                                                   std::size_t row) const;
  /// How many estimates of a probe did not reach their tolerance.
  [[nodiscard]] int64_t unconverged(std::size_t probe) const;
};

/// A curvature of the parameters along training: sharpness or preconditioned sharpness.
struct SharpnessCurve {
  std::vector<int64_t> steps;      ///< [P]
  std::vector<double> lambda_max;  ///< [P], nats
  std::vector<uint8_t> converged;  ///< [P]
};

struct TrainingCurves {
  std::vector<int64_t> steps;      ///< [K]
  std::vector<double> loss;        ///< [K], nats
  std::vector<double> lr;          ///< [K]
  std::vector<double> grad_norm;   ///< [K]
  std::vector<int64_t> val_steps;  ///< [V]
  std::vector<double> val_loss;    ///< [V], nats
};

/// The runs of a sweep and what they come to.
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
  std::map<std::string, std::vector<double>> summary;  ///< each number of a model by its name, [M]
};

/// Everything of a run file that can be drawn.
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
  std::vector<SpectralDensity> densities;
  std::vector<GroupSpectrum> spectra;
  std::optional<Anatomy> anatomy;
  std::vector<experiments::DatasetSpec> datasets;  ///< all that it holds
  std::vector<std::string> problems;               ///< what could not be read, a line each
};

/// Reads what can be read: a dataset that is missing, of another shape or unreadable is left out and named in
/// `problems`.
/// \throws std::runtime_error  one line that names the file, if it is no run file at all
/// Memory: that of the numbers.
RunContent read_run(const std::filesystem::path& path);

}  // namespace hessian::analysis
