#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hessian/estimate.h"
#include "hessian/spectral_density.h"
#include "probe/probe.h"

namespace hessian::experiments {

/// Variables with respect to which the loss is differentiated.
enum class Target { activations, parameters };

/// Curvature matrices of the loss. Only the Hessian is available for activations.
enum class CurvatureMatrix {
  hessian,
  ggn,         ///< exact Gauss-Newton matrix of softmax cross-entropy
  fisher,      ///< empirical Fisher: the targets are the labels
  mc_fisher,   ///< Monte-Carlo Fisher: labels drawn from the model
  fd_hessian,  ///< Hessian by central differences of the gradient
};

enum class TraceMethod { hutch_plus_plus, hutchinson };

/// What hessian-probe measures beyond the norms of activation Hessians.
struct SpectrumOptions {
  ProbeOptions probe = {};  ///< model, data, layers, sites, device, tolerance, seed, ...
  Target target = Target::activations;
  CurvatureMatrix matrix = CurvatureMatrix::hessian;
  std::vector<std::string> params = {"*"};  ///< globs of parameter names, one matrix each
  bool adam = false;                        ///< c P^-1/2 H P^-1/2 instead of H, from a training checkpoint of Adam
  int64_t top = 0;                          ///< number of eigenvalues at each end; 0: none
  int64_t block_width = 1;                  ///< block width of block Lanczos; 1: ordinary Lanczos
  bool vectors = false;                     ///< also stores the eigenvectors
  bool density = false;
  std::optional<TraceMethod> trace = {};  ///< also computes Frobenius norm and effective rank; absent: none
  bool diagonal = false;
  bool decompose = false;  ///< norms of the two terms of H_xx at each linear map
  int64_t samples = 8;     ///< random vectors of a density; trace, norm and diagonal take four times as many
  int64_t steps = 64;      ///< Lanczos steps per random vector of a density

  /// Returns whether eigenvalues, a density, a trace or a diagonal are requested.
  bool has_spectra() const { return top > 0 || density || trace || diagonal; }
  /// Returns whether anything beyond hessian-probe's table of norms is requested.
  bool is_requested() const { return has_spectra() || decompose || target == Target::parameters; }
};

/// Returns the options of hessian-probe that SpectrumOptions adds to ProbeOptions, with their keys in a run file's
/// configuration.
ProgramOptions spectrum_options(SpectrumOptions& options);

/// Factors of the matrix that --adam measures, c P^-1/2 H P^-1/2 on the n coordinates that updates have moved.
struct AdamFactors {
  double clip_factor = 1;  ///< c
  int64_t left_out = 0;    ///< number of the other coordinates
  at::Tensor coordinates;  ///< [n] int64, places of the moved ones among the entries of the parameters
};

/// One matrix, or one per sequence.
struct SpectrumGroup {
  std::string name;                      ///< `residual-3`, or a glob as a component of a path: `layers.0.attention`
  std::string description;               ///< "residual of layer 3", "parameters 'layers.0.*'"
  int64_t problems = 1;                  ///< S, the number of matrices
  int64_t dim = 0;                       ///< n
  std::optional<AdamFactors> adam = {};  ///< with --adam
};

/// Eigenpairs at one end of the spectra of a group.
struct SpectrumEnd {
  at::Tensor values;     ///< [S, k]
  at::Tensor residuals;  ///< [S, k], ||H v - lambda v||
  at::Tensor converged;  ///< [S, k], 1 or 0
  at::Tensor vectors;    ///< [S, k, n]; undefined unless requested
};

/// The results of a group. Only requested members have values. Tensors are float64 on the CPU.
struct GroupSpectrum {
  SpectrumGroup group;
  std::optional<SpectrumEnd> upper = {};
  std::optional<SpectrumEnd> lower = {};
  at::Tensor iterations = {};                   ///< [S], products of the eigensolver; undefined without eigenpairs
  std::optional<Estimate> trace = {};           ///< [S]
  std::optional<Estimate> frobenius_norm = {};  ///< [S]
  std::optional<Estimate> effective_rank = {};  ///< [S]
  /// [S], 1 where the trace differs from zero by at least 2 standard errors; otherwise the effective rank says nothing
  at::Tensor effective_rank_determined = {};
  std::optional<Estimate> diagonal = {};        ///< [S, n]
  at::Tensor diagonal_unknown = {};             ///< [S], whether the diagonal is NaN; outlives it in a report
  std::optional<SpectralDensity> density = {};  ///< mean over all S matrices: tensors without the first dimension

  /// Releases eigenvectors and diagonal, which only the run file needs; notes where the diagonal is NaN.
  void release_large();
};

/// A linear map of a layer.
struct LayerMap {
  int64_t layer = 0;
  std::string name;         ///< name of its weight, without the layer: `attention.wq`
  bool normalised = false;  ///< whether a norm follows the map
};

/// Spectral norms of both terms of H_xx at a linear map, float64 [S] on the CPU; see hessian/map_curvature.h.
struct MapAnatomy {
  LayerMap map;
  at::Tensor gain_norm = {};       ///< spectral norm of the gain term J^T H_zz J
  at::Tensor gain_residual = {};   ///< residual norm of that eigenpair
  at::Tensor curvature_norm = {};  ///< spectral norm of the curvature term C
  at::Tensor curvature_residual = {};
  at::Tensor norm = {};  ///< spectral norm of H_xx, the sum of both terms
  at::Tensor residual = {};
  at::Tensor cosine = {};     ///< |cosine| between the dominant eigenvectors of both terms
  at::Tensor converged = {};  ///< 1 or 0
};

struct SpectrumReport {
  SpectrumOptions options;
  std::string model_description;
  std::string device;
  std::string matrix;  ///< "Hessian", "preconditioned Hessian", ...
  int64_t step = 0;
  int64_t sequences = 0;
  int64_t seq_len = 0;
  double loss = 0;                    ///< mean over the sequences, nats
  std::vector<GroupSpectrum> groups;  ///< without vectors and diagonals
  std::vector<MapAnatomy> maps;       ///< results of --decompose
  int64_t peak_memory_bytes = 0;
};

/// Measures everything that the options request and writes it to the run file, group by group. The processes of a job
/// take the groups in turn.
///
/// \throws std::invalid_argument, std::runtime_error  as run_probe; also for a glob that matches no parameter, --adam
///                                                    without a training checkpoint, or too little memory for
///                                                    the vectors
SpectrumReport run_spectrum(const SpectrumOptions& options, const ProbeOutput& output, const Progress& progress = {});

/// The words on the command line and in run files, in the order of the enumerations.
extern const std::vector<std::string> target_words;
extern const std::vector<std::string> matrix_words;
extern const std::vector<std::string> trace_words;

/// Formats the report as tables.
std::string format_text(const SpectrumReport& report);
/// Formats the report as one JSON object.
std::string format_json(const SpectrumReport& report);
/// Returns warnings, one line each: eigenpairs that did not converge, and numbers that are not finite.
std::vector<std::string> warnings_of(const SpectrumReport& report);

}  // namespace hessian::experiments
