#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "probe/probe.h"

namespace hessian::experiments {

/// What is differentiated by.
enum class Target { activations, parameters };

/// Curvature matrices of the loss. Of activations there is the Hessian alone.
enum class CurvatureMatrix {
  hessian,
  ggn,         ///< exact Gauss-Newton matrix of softmax cross-entropy
  fisher,      ///< empirical Fisher: the targets are the labels
  mc_fisher,   ///< Monte-Carlo Fisher: labels drawn from the model
  fd_hessian,  ///< Hessian by central differences of the gradient
};

enum class TraceMethod { hutch_plus_plus, hutchinson };

/// What hessian-probe is asked for beyond the norms of activation Hessians.
struct SpectrumOptions {
  ProbeOptions probe;  ///< model, data, layers, sites, device, tolerance, seed, run file, ...
  Target target = Target::activations;
  CurvatureMatrix matrix = CurvatureMatrix::hessian;
  std::vector<std::string> params = {"*"};  ///< globs; a matrix for each
  bool adam = false;                        ///< P^-1/2 H P^-1/2 with Adam's P of a training checkpoint
  int64_t top = 0;                          ///< eigenvalues at each end
  int64_t block_width = 1;                  ///< vectors of block Lanczos
  bool vectors = false;                     ///< store the eigenvectors
  bool density = false;
  bool trace = false;  ///< and Frobenius norm and effective rank
  TraceMethod trace_method = TraceMethod::hutch_plus_plus;
  bool diagonal = false;
  bool decompose = false;  ///< the two terms of H_xx at each linear map
  int64_t samples = 8;     ///< random probes of a density; trace, norm and diagonal take four times as many
  int64_t steps = 64;      ///< Lanczos steps of each probe of a density

  /// Whether anything is asked for that hessian-probe's table of norms does not have.
  bool asks() const { return top > 0 || density || trace || diagonal || decompose || target == Target::parameters; }
};

/// Numbers by the path of their dataset in the run file, float64 on the CPU.
using Numbers = std::map<std::string, at::Tensor>;

/// One matrix, or one for each sequence.
struct SpectrumGroup {
  std::string name;         ///< `residual-3`, or a glob made fit for a path: `layers.0.attention`
  std::string description;  ///< "residual of layer 3", "parameters 'layers.0.*'"
  int64_t blocks = 1;       ///< S
  int64_t dim = 0;          ///< n
};

/// A linear map of a block.
struct BlockMap {
  int64_t layer = 0;
  std::string name;  ///< of its weight, without the layer: `attention.wq`
  bool normalised = false;
};

struct SpectrumReport {
  std::string model_description;
  std::string device;
  std::string matrix;  ///< "Hessian", "preconditioned Hessian", ...
  int64_t step = 0;
  int64_t sequences = 0;
  int64_t seq_len = 0;
  double loss = 0;  ///< mean over the sequences, nats
  std::vector<SpectrumGroup> groups;
  Numbers numbers;             ///< without vectors and diagonals
  std::vector<BlockMap> maps;  ///< of --decompose: each row of /anatomy
  int64_t peak_memory_bytes = 0;
};

/// Measures what is asked for and writes it to the run file `options.probe.out`, group by group. The processes of a job
/// take the groups in turn.
///
/// \throws std::invalid_argument, std::runtime_error  as run_probe; also for a glob without parameters, --adam without a
///                                                    training checkpoint, or too little memory for the vectors
SpectrumReport run_spectrum(const SpectrumOptions& options, const Progress& progress = {});

/// The words on the command line and in run files, in the order of the enumerations.
extern const std::vector<std::string> target_words;
extern const std::vector<std::string> matrix_words;
extern const std::vector<std::string> trace_words;

Target parse_target(const std::string& word);
CurvatureMatrix parse_matrix(const std::string& word);
TraceMethod parse_trace_method(const std::string& word);

/// Tables for people.
std::string format_text(const SpectrumReport& report);
std::string format_json(const SpectrumReport& report);
/// What must not be missed: pairs that did not converge.
std::vector<std::string> warnings_of(const SpectrumReport& report);

}  // namespace hessian::experiments
