#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hessian/eigenvalues.h"
#include "hessian/models/forward.h"

namespace hessian::experiments {

/// What one Hessian spans: all entries of a sequence, or those of one of its positions.
enum class Unit { sequence, token };

enum class Method { lanczos, power, spectra };

/// What makes Hessian-vector products: the tangent tape, or LibTorch's autograd, differentiating twice.
enum class Engine { tape, autograd };

/// What hessian-probe is asked for; the defaults are its defaults.
struct ProbeOptions {
  std::string model;
  std::string layers = "all";
  std::string layers_option = "--layer";  ///< what the user calls it
  std::vector<models::Site> sites = {models::Site::residual};
  std::string data = "builtin";
  int64_t sequences = 0;  ///< 0: the data's own number, or 8
  int64_t seq_len = 0;    ///< 0: the data's own length, or the smaller of 128 and the model's longest
  Unit unit = Unit::sequence;
  Method method = Method::lanczos;
  hessian::Ends ends = hessian::Ends::both;  ///< or dominant, which is enough for the spectral norm
  double tolerance = 1e-3;
  int64_t max_iterations = 200;
  std::optional<Engine> engine;  ///< absent: the tape, wherever it runs
  at::ScalarType dtype = at::kFloat;
  std::string device = "auto";
  std::optional<int64_t> memory_bytes;  ///< of this process; absent: three quarters of its share of what is free
  int64_t processes_sharing_memory = 1;
  std::optional<int64_t> vocab_size;  ///< of a fresh model
  uint64_t seed = 0;
  bool check = false;
  std::filesystem::path out;
  bool overwrite = false;
  std::string command_line;
};

/// Scales of an activation over all sequences, positions and features.
struct ActivationScale {
  double rms = 0;
  double abs_max = 0;
  double abs_mean = 0;
  double feature_outlier = 0;  ///< largest root mean square of one feature, over the rms of all
};

/// The curvature at one site of one layer; vectors have one entry for each sequence.
struct ProbeRow {
  models::Site site = models::Site::residual;
  int64_t layer = 0;
  std::vector<double> spectral_norm;
  std::vector<double> lambda_max;
  std::vector<double> lambda_min;  ///< as lambda_max, NaN where that end was not sought
  std::vector<double> residual_norm;
  std::vector<int32_t> iterations;
  std::vector<uint8_t> converged;
  ActivationScale scale;
  std::optional<double> check_relative_difference;
};

/// What a probe found; the same as in its run file.
struct ProbeReport {
  std::string model_description;
  std::string device;
  int64_t step = 0;
  int64_t sequences = 0;
  int64_t seq_len = 0;
  std::vector<double> losses;
  std::vector<ProbeRow> rows;     ///< layers ascend, and within a layer the sites are in the order of the options
  std::vector<std::string> plan;  ///< how the memory allowed is used, a line for each site
  bool weights_streamed = false;  ///< block by block from the checkpoint, where they do not fit
  std::optional<int64_t> planned_bytes;  ///< the most memory that is planned: weights, residuals, Hessians, vectors
  int64_t peak_memory_bytes = 0;
  std::optional<double> planned_seconds;  ///< from the plan to the end, with as many products as is usual
  double seconds = 0;                     ///< that it took
};

/// Called as work proceeds, with the number of site-and-layer pairs done and their total.
using Progress = std::function<void(int64_t done, int64_t total)>;

/// Called once, before the first eigenproblem, with the report so far.
using Announce = std::function<void(const ProbeReport& report)>;

/// Probes a model and writes the run file `options.out`, site by site. Weights that do not fit into the memory allowed
/// beside what a product takes are streamed from the checkpoint, block by block, for each product.
///
/// The processes of a job (see job_place.h) divide the sequences among themselves, and where there are more processes
/// than sequences, the layers; numbers are those of one process. The first writes the file; all have the report.
///
/// \throws std::invalid_argument  if an option asks for what the model or the machine does not have
/// \throws std::runtime_error     for unreadable input, too little memory, or a run file that cannot be written
/// Cost: for each site and layer, one eigenproblem (`iterations` + 2 Hessian-vector products for all sequences at
/// once), those of all layers together where the engine is the tape.
ProbeReport run_probe(const ProbeOptions& options, const Progress& progress = {}, const Announce& announce = {});

/// Largest relative difference that --check lets pass between a product and its central difference in float64.
inline constexpr double check_limit = 1e-5;

/// Reads "all" or "0,3,5-7" against the layers 0 ... last.
/// \param option  what the user calls it
/// \throws std::invalid_argument  for another form or a layer beyond the last
std::vector<int64_t> parse_layers(const std::string& text, int64_t last, const std::string& option = "--layer");

/// Reads site names; "all" stands for every site. Each site is taken once.
/// \throws std::invalid_argument  naming the accepted words
std::vector<models::Site> parse_sites(const std::vector<std::string>& words);

/// The engine that is asked for, or the best one for the device.
/// \throws std::invalid_argument  if the one asked for does not run there
Engine choose_engine(std::optional<Engine> asked, at::Device device);

/// The words for units, methods, engines and ends on the command line and in run files, in the order of their
/// enumerations.
extern const std::vector<std::string> unit_words;
extern const std::vector<std::string> method_words;
extern const std::vector<std::string> engine_words;
extern const std::vector<std::string> ends_words;

const std::string& to_string(Unit unit);
const std::string& to_string(Method method);
const std::string& to_string(Engine engine);
const std::string& to_string(hessian::Ends ends);

/// \throws std::invalid_argument  naming the accepted words
Unit parse_unit(const std::string& word);
Method parse_method(const std::string& word);
Engine parse_engine(const std::string& word);
hessian::Ends parse_ends(const std::string& word);

}  // namespace hessian::experiments
