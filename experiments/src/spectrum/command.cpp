#include "spectrum/command.h"

#include <CLI/CLI.hpp>
#include <stdexcept>

#include "config/dtype.h"
#include "hessian/memory.h"
#include "program/program.h"

namespace hessian::experiments {
namespace {

/// For CLI::Option::check: says what is wrong with a number of bytes.
std::string check_memory(const std::string& word) {
  try {
    hessian::parse_bytes(word);
    return "";
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

/// What a probe of activations takes, and most of which one of parameters takes too.
void declare_probe(CLI::App& app, ProbeCommand& command) {
  ProbeOptions& options = command.options.probe;
  app.add_option("--model", options.model,
                 "model.safetensors, a nanoGPT ckpt.pt, a Hugging Face folder, or new:FAMILY-SIZE-PLACEMENT")
      ->required()
      ->check(check_not_empty);
  app.add_option("--layer", options.layers,
                 "all, or blocks such as 0,3,5-7; the number of blocks is the final norm's input")
      ->capture_default_str();
  app.add_option("--site", command.sites, "residual, attn_in, attn_proj_in, ffn_in, ffn_down_in, or all")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--data", options.data, "UTF-8 text, tokens (.bin), a safetensors with tokens and targets, or builtin")
      ->check(check_not_empty)
      ->capture_default_str();
  app.add_option("--sequences", options.sequences, "number of sequences (8)")->check(check_positive_integer);
  app.add_option("--seq-len", options.seq_len, "tokens of a sequence (128, or the model's longest if that is less)")
      ->check(check_positive_integer);
  app.add_option("--unit", command.unit, "what one Hessian spans")
      ->check(CLI::IsMember(unit_words))
      ->capture_default_str();
  app.add_option("--method", command.method, "eigensolver")->check(CLI::IsMember(method_words))->capture_default_str();
  app.add_option("--engine", command.engine,
                 "what makes Hessian-vector products: the tangent tape, or autograd differentiating twice (tape)")
      ->check(CLI::IsMember(engine_words));
  app.add_option("--ends", command.ends,
                 "ends of the spectrum to find: both, or the dominant one alone, which is faster")
      ->check(CLI::IsMember(ends_words))
      ->capture_default_str();
  app.add_option("--tol", options.tolerance, "residual norm relative to the spectral norm")
      ->check(check_positive_number)
      ->capture_default_str();
  app.add_option("--max-iter", options.max_iterations, "most products of an eigenproblem")
      ->check(check_positive_integer)
      ->capture_default_str();
  app.add_option("--dtype", command.dtype, "precision of the model")
      ->check(CLI::IsMember({"float32", "float64", "bfloat16"}))
      ->capture_default_str();
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  app.add_option(
         "--memory", command.memory,
         "most memory to hold, as 8GiB (3/4 of what is free); weights that do not fit are streamed from the file, "
         "but for spectra, which hold them beside this much")
      ->check(check_memory);
  app.add_option("--vocab-size", options.vocab_size, "vocabulary of a fresh model")->check(check_positive_integer);
  app.add_option("--seed", options.seed, "seed of fresh weights, windows and start vectors")
      ->check(check_natural_number)
      ->capture_default_str();
  app.add_flag("--check", options.check,
               "compare a product of each site and layer with central differences in float64");
  app.add_option("--out", options.out, "run file to write (HDF5)")->required()->check(check_not_empty);
  app.add_flag("--overwrite", options.overwrite, "replace an existing run file");
  app.add_flag("--json", command.json, "print JSON instead of a table");
}

/// What is asked for beyond the norms of activation Hessians.
void declare_spectrum(CLI::App& app, ProbeCommand& command) {
  SpectrumOptions& options = command.options;
  const std::string group = "Spectra";
  app.add_option("--target", command.target, "what the loss is differentiated by")
      ->check(CLI::IsMember(target_words))
      ->capture_default_str()
      ->group(group);
  app.add_option("--operator", command.matrix, "curvature matrix of parameters")
      ->check(CLI::IsMember(matrix_words))
      ->capture_default_str()
      ->group(group);
  app.add_option("--params", options.params, "parameters by globs, such as 'layers.*.attention.*'; a matrix for each")
      ->delimiter(',')
      ->capture_default_str()
      ->group(group);
  app.add_flag("--adam", options.adam, "precondition with Adam's diagonal, which a training checkpoint holds")
      ->group(group);
  app.add_option("--top", options.top, "eigenvalues at each end of the spectrum")
      ->check(check_positive_integer)
      ->group(group);
  app.add_option("--block-width", options.block_width,
                 "vectors of block Lanczos: finds eigenvalues of multiplicity up to that, and separates clusters")
      ->check(check_positive_integer)
      ->capture_default_str()
      ->group(group);
  app.add_flag("--vectors", options.vectors, "store the eigenvectors of --top")->group(group);
  app.add_flag("--density", options.density, "spectral density by stochastic Lanczos quadrature")->group(group);
  app.add_option("--trace", command.trace, "trace, with Frobenius norm and effective rank; by hutch++ or hutchinson")
      ->expected(0, 1)
      ->default_str(trace_words.front())
      ->check(CLI::IsMember(trace_words))
      ->group(group);
  app.add_flag("--diagonal", options.diagonal, "diagonal, stored with its standard errors")->group(group);
  app.add_flag("--decompose", options.decompose, "H_xx at each linear map in its terms J^T H_zz J and C")->group(group);
  app.add_option("--samples", options.samples,
                 "random probes of a density; trace, norm and diagonal take four times as many")
      ->check(check_positive_integer)
      ->capture_default_str()
      ->group(group);
  app.add_option("--steps", options.steps, "Lanczos steps of each probe of a density")
      ->check(check_positive_integer)
      ->capture_default_str()
      ->group(group);
}

}  // namespace

void declare(CLI::App& app, ProbeCommand& command) {
  declare_probe(app, command);
  declare_spectrum(app, command);
}

SpectrumOptions interpret(const ProbeCommand& command) {
  SpectrumOptions options = command.options;
  ProbeOptions& probe = options.probe;
  probe.unit = parse_unit(command.unit);
  probe.method = parse_method(command.method);
  probe.ends = parse_ends(command.ends);
  probe.dtype = parse_dtype(command.dtype);
  probe.sites = parse_sites(command.sites);
  if (!command.engine.empty()) {
    probe.engine = parse_engine(command.engine);
  }
  if (!command.memory.empty()) {
    probe.memory_bytes = hessian::parse_bytes(command.memory);
  }
  if (options.vectors && options.top == 0) {
    throw std::invalid_argument("--vectors stores the eigenvectors of --top; give --top");
  }
  options.target = parse_target(command.target);
  options.matrix = parse_matrix(command.matrix);
  options.trace = !command.trace.empty();
  if (options.trace) {
    options.trace_method = parse_trace_method(command.trace);
  }
  return options;
}

}  // namespace hessian::experiments
