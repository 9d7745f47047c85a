#include <CLI/CLI.hpp>

#include "experiments/dtype.h"
#include "experiments/job_place.h"
#include "experiments/log.h"
#include "experiments/probe.h"
#include "experiments/probe_report.h"
#include "experiments/program.h"
#include "experiments/progress.h"
#include "hessian/host_memory.h"
#include "hessian/memory.h"

namespace {

using experiments::ProbeOptions;

/// Options that are words on the command line and something else in ProbeOptions.
struct Words {
  std::vector<std::string> sites = {"residual"};
  std::string unit = "sequence";
  std::string method = "lanczos";
  std::string engine;
  std::string ends = "both";
  std::string dtype = "float32";
  std::string memory;
  bool json = false;
};

/// For CLI::Option::check: says what is wrong with a number of bytes.
std::string check_memory(const std::string& word) {
  try {
    hessian::parse_bytes(word);
    return "";
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

void declare(CLI::App& app, ProbeOptions& options, Words& words) {
  using namespace experiments;
  app.add_option("--model", options.model,
                 "model.safetensors, a nanoGPT ckpt.pt, a Hugging Face folder, or new:FAMILY-SIZE-PLACEMENT")
      ->required()
      ->check(check_not_empty);
  app.add_option("--layer", options.layers,
                 "all, or blocks such as 0,3,5-7; the number of blocks is the final norm's input")
      ->capture_default_str();
  app.add_option("--site", words.sites, "residual, attn_in, attn_proj_in, ffn_in, ffn_down_in, or all")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--data", options.data, "UTF-8 text, tokens (.bin), a safetensors with tokens and targets, or builtin")
      ->check(check_not_empty)
      ->capture_default_str();
  app.add_option("--sequences", options.sequences, "number of sequences (8)")->check(check_positive_integer);
  app.add_option("--seq-len", options.seq_len, "tokens of a sequence (128, or the model's longest if that is less)")
      ->check(check_positive_integer);
  app.add_option("--unit", words.unit, "what one Hessian spans")
      ->check(CLI::IsMember(experiments::unit_words))
      ->capture_default_str();
  app.add_option("--method", words.method, "eigensolver")
      ->check(CLI::IsMember(experiments::method_words))
      ->capture_default_str();
  app.add_option("--engine", words.engine,
                 "what makes Hessian-vector products: the tangent tape, or autograd differentiating twice (tape)")
      ->check(CLI::IsMember(experiments::engine_words));
  app.add_option("--ends", words.ends, "ends of the spectrum to find: both, or the dominant one alone, which is faster")
      ->check(CLI::IsMember(experiments::ends_words))
      ->capture_default_str();
  app.add_option("--tol", options.tolerance, "residual norm relative to the spectral norm")
      ->check(check_positive_number)
      ->capture_default_str();
  app.add_option("--max-iter", options.max_iterations, "most products of an eigenproblem")
      ->check(check_positive_integer)
      ->capture_default_str();
  app.add_option("--dtype", words.dtype, "precision of the model")
      ->check(CLI::IsMember({"float32", "float64", "bfloat16"}))
      ->capture_default_str();
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  app.add_option("--memory", words.memory,
                 "most memory for a Hessian's graph and vectors, as 8GiB (3/4 of what is free)")
      ->check(check_memory);
  app.add_option("--vocab-size", options.vocab_size, "vocabulary of a fresh model")->check(check_positive_integer);
  app.add_option("--seed", options.seed, "seed of fresh weights, windows and start vectors")
      ->check(check_natural_number)
      ->capture_default_str();
  app.add_flag("--check", options.check,
               "compare a product of each site and layer with central differences in float64");
  app.add_option("--out", options.out, "run file to write (HDF5)")->required()->check(check_not_empty);
  app.add_flag("--overwrite", options.overwrite, "replace an existing run file");
  app.add_flag("--json", words.json, "print JSON instead of a table");
}

void interpret(const Words& words, ProbeOptions& options) {
  options.unit = experiments::parse_unit(words.unit);
  options.method = experiments::parse_method(words.method);
  options.ends = experiments::parse_ends(words.ends);
  options.dtype = experiments::parse_dtype(words.dtype);
  options.sites = experiments::parse_sites(words.sites);
  if (!words.engine.empty()) {
    options.engine = experiments::parse_engine(words.engine);
  }
  if (!words.memory.empty()) {
    options.memory_bytes = hessian::parse_bytes(words.memory);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return experiments::run_program("hessian-probe", [&] {
    hessian::keep_freed_memory();
    ProbeOptions options;
    Words words;
    CLI::App app("Spectral norm of the activation Hessian H_xx, layer by layer, and activation scales",
                 "hessian-probe");
    declare(app, options, words);
    if (const auto status = experiments::parse_command_line(app, argc, argv)) {
      return *status;
    }
    interpret(words, options);
    options.command_line = experiments::join_command_line(argc, argv);
    const bool is_first = experiments::job_place().is_first();
    experiments::ProgressLine line("probing");
    const auto report = experiments::run_probe(
        options,
        [&line, is_first](int64_t done, int64_t total) {
          if (is_first) {
            line.update(done, total);
          }
        },
        [&options, is_first](const experiments::ProbeReport& so_far) {
          for (const std::string& use : so_far.plan) {
            if (options.memory_bytes && is_first) {
              experiments::log_note(use);
            }
          }
        });
    if (is_first) {
      experiments::print(words.json ? experiments::format_json(report) : experiments::format_table(report));
      for (const std::string& warning : experiments::warnings_of(report)) {
        experiments::log_warning(warning);
      }
    }
    return experiments::checks_passed(report) ? 0 : 1;
  });
}
