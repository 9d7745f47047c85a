#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/options.h"
#include "hessian/eigenvalues.h"
#include "hessian/models/forward.h"

namespace hessian::experiments {

/// What one Hessian covers: all entries of a sequence, or those of one position.
enum class Unit { sequence, token };

enum class Method { lanczos, power, spectra };

/// How Hessian-vector products are computed: by the tangent tape, or by LibTorch's autograd, differentiating twice.
enum class Engine { tape, autograd };

/// What hessian-probe measures; the defaults are its defaults.
struct ProbeOptions {
  std::string model = {};
  std::string layers = "all";
  std::string layers_option = "--layer";  ///< the option's name in messages
  std::vector<models::Site> sites = {models::Site::residual};
  std::string data = "builtin";
  std::string tokenizer = {};   ///< of text data; empty: the one in the model's folder; bytes: none
  bool begin_token = false;     ///< begin each window with the tokenizer's beginning token
  std::string token_type = {};  ///< of a token file without a header; empty: uint16
  int64_t sequences = 0;        ///< 0: all sequences of the data if it defines their number, otherwise 8
  int64_t seq_len = 0;          ///< 0: the length that the data defines, otherwise min(128, the model's maximum)
  Unit unit = Unit::sequence;
  Method method = Method::lanczos;
  Ends ends = Ends::dominant;  ///< dominant: only the end that determines the spectral norm
  double tolerance = 1e-3;
  double certify = 0.01;                     ///< largest distance of an upper bound from its norm, relative to the norm
  std::string certify_option = "--certify";  ///< the option's name in messages
  double confidence = 0.999;                 ///< probability with which all bounds of the run hold
  int64_t joint_sets = 1;  ///< number of sets of norms (probes, groups, maps) whose bounds hold together
  int64_t max_iterations = 200;
  std::optional<Engine> engine = {};  ///< absent: the tape if it runs on the device, otherwise autograd
  at::ScalarType dtype = at::kFloat;
  std::string device = "auto";
  std::optional<int64_t> memory_bytes = {};  ///< limit per process; absent: 3/4 of its share of the free memory
  std::optional<int64_t> vocab_size = {};    ///< vocabulary size of a newly initialised model
  uint64_t seed = 0;
  bool check = false;
};

/// Run file that a program writes, and the command line that it records.
struct ProbeOutput {
  std::filesystem::path path = {};  ///< run file
  bool overwrite = false;
  std::string command_line = {};
};

/// Returns the options of hessian-probe that set ProbeOptions, with their keys in a run file's configuration.
ProgramOptions probe_options(ProbeOptions& options);

/// Returns the options --out and --overwrite.
ProgramOptions output_options(ProbeOutput& output);

/// Scales of an activation over all sequences, positions and features.
struct ActivationScale {
  double rms = 0;
  double abs_max = 0;
  double abs_mean = 0;
  double feature_outlier = 0;  ///< largest root mean square of one feature, divided by `rms`
};

/// Relative differences of one Hessian-vector product of the first sequence, found by --check.
struct ProductDifferences {
  double central_differences = 0;  ///< of the product in float64 from central differences of the gradient
  double own_precision = 0;        ///< of the product in the probe's precision from that in float64
};

/// The curvature at one site of one layer; vectors have one entry per sequence.
struct ProbeRow {
  models::Site site = models::Site::residual;
  int64_t layer = 0;
  std::vector<double> spectral_norm;
  std::vector<double> lambda_max;
  std::vector<double> lambda_min;        ///< NaN if this end was not requested, as is lambda_max
  std::vector<double> norm_upper;        ///< certified upper bound of spectral_norm; NaN if there is none
  std::vector<double> lambda_max_upper;  ///< bounds of both ends; NaN unless both were requested
  std::vector<double> lambda_min_lower;
  std::vector<double> residual_norm;
  std::vector<double> asymmetry;  ///< see ExtremalEigenvalues; NaN unless the method is Lanczos
  std::vector<int32_t> iterations;
  std::vector<uint8_t> converged;
  ActivationScale scale;
  std::optional<ProductDifferences> check;
};

/// The results of a probe, as in its run file.
struct ProbeReport {
  Ends ends = Ends::dominant;
  c10::ScalarType dtype = c10::kFloat;
  double certify = 0;     ///< see ProbeOptions
  double confidence = 0;  ///< see ProbeOptions
  std::string model_description;
  std::string device;
  int64_t step = 0;
  int64_t sequences = 0;
  int64_t seq_len = 0;
  std::vector<double> losses;
  std::vector<ProbeRow> rows;            ///< sorted by layer, and within a layer in the options' order of sites
  std::vector<std::string> plan;         ///< how the memory is used, a line per site, and the expected time
  bool weights_streamed = false;         ///< whether weights were read layer by layer, because they do not fit
  std::optional<int64_t> planned_bytes;  ///< planned peak memory: weights, residuals, Hessians, vectors
  int64_t peak_memory_bytes = 0;
  std::optional<double> planned_seconds;  ///< expected time after planning, for a typical number of products
  double seconds = 0;                     ///< actual time after planning
};

/// Called during the work with the number of finished site-and-layer pairs and their total.
using Progress = std::function<void(int64_t done, int64_t total)>;

/// Called once before the first eigenproblem, with the report as far as it is known.
using Announce = std::function<void(const ProbeReport& report)>;

/// Probes a model and writes its run file, site by site. If the weights and a product together exceed the memory limit,
/// the weights are streamed from the checkpoint, layer by layer, for each product.
///
/// The processes of a job (see job_place.h) divide the sequences among themselves, and if there are more processes than
/// sequences, also the layers. The results are the same as with one process. The first process writes the file; all
/// return the report.
///
/// \throws std::invalid_argument  if an option requests something that the model or the machine lacks
/// \throws std::runtime_error     for unreadable input, too little memory, or a run file that cannot be written
/// Cost: per site and layer, one eigenproblem of `iterations` + 2 Hessian-vector products for all sequences together;
/// with the tape, all layers of a site are solved together.
ProbeReport run_probe(const ProbeOptions& options, const ProbeOutput& output, const Progress& progress = {},
                      const Announce& announce = {});

/// Largest relative difference between a product and its central difference in float64 that --check accepts. The limit of
/// the difference between the probe's precision and float64 is ProbeOptions::certify.
inline constexpr double check_limit = 1e-5;

/// Parses "all" or a list such as "0,3,5-7" of layers from 0 to `last`.
/// \param option  the option's name in messages
/// \throws std::invalid_argument  for another form or a layer after `last`
std::vector<int64_t> parse_layers(const std::string& text, int64_t last, const std::string& option = "--layer");

/// Parses names of sites and removes duplicates; "all" means every site.
/// \throws std::invalid_argument  naming the accepted words
std::vector<models::Site> parse_sites(const std::vector<std::string>& words);

/// Returns the requested engine, or the fastest one that runs on the device.
/// \throws std::invalid_argument  if the requested one does not run there
Engine choose_engine(std::optional<Engine> requested, at::Device device);

/// Words for units, methods, engines and ends on the command line and in run files, in the order of the enumerations.
extern const std::vector<std::string> unit_words;
extern const std::vector<std::string> method_words;
extern const std::vector<std::string> engine_words;
extern const std::vector<std::string> ends_words;

/// Parses a word of ends_words.
/// \throws std::invalid_argument  naming the accepted words
Ends parse_ends(const std::string& word);

}  // namespace hessian::experiments
