#include <ATen/ATen.h>

#include "config/dtype.h"
#include "config/options.h"
#include "probe/probe.h"
#include "program/program.h"
#include "tokens/token_file.h"

namespace hessian::experiments {
namespace {

WordListTarget sites_target(std::vector<models::Site>& sites) {
  return {[&sites] {
            std::vector<std::string> words;
            for (const models::Site site : sites) {
              words.emplace_back(models::to_string(site));
            }
            return words;
          },
          [&sites](const std::vector<std::string>& words) { sites = parse_sites(words); }};
}

std::string check_token_type(const std::string& word) {
  try {
    models::parse_token_type(word);
    return {};
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

WordTarget dtype_target(at::ScalarType& dtype) {
  return {{"float32", "float64", "bfloat16"},
          [&dtype] { return dtype_name(dtype); },
          [&dtype](const std::string& word) { dtype = parse_dtype(word); }};
}

}  // namespace

ProgramOptions probe_options(ProbeOptions& o) {
  return {
      {.flag = "--model",
       .field = {"model", &o.model,
                 "model.safetensors, a ckpt.pt, a GGUF file, a folder of a known form or of a run of hessian-train "
                 "(its newest "
                 "checkpoint), or new:FAMILY-SIZE[-PLACEMENT]"},
       .check = check_not_empty,
       .required = true},
      {.flag = "--layer",
       .field = {"layers", &o.layers,
                 "all, or layers such as 0,3,5-7; the number of layers stands for the input of the final norm"}},
      {.flag = "--site",
       .field = {"sites", sites_target(o.sites), "residual, attn_in, attn_proj_in, ffn_in, ffn_down_in, or all"}},
      {.flag = "--data",
       .field =
           {"data", &o.data,
            "text (UTF-8; .txt, .jsonl, also with .gz; a folder; or several texts with commas between them, in this "
            "order), tokens (.bin), a safetensors file with tokens and targets, or builtin"},
       .check = check_not_empty},
      {.flag = "--tokenizer",
       .field =
           {"tokenizer", &o.tokenizer,
            "file or folder of the tokenizer for text (the one in the model's folder, or the bytes that the model was "
            "trained on); bytes: a token per byte"},
       .check = check_not_empty},
      {.flag = "--bos", .field = {"bos", &o.begin_token, "begin each sequence with the tokenizer's beginning token"}},
      {.flag = "--token-type",
       .field = {"token_type", &o.token_type,
                 "type of a token file without a header: uint8, uint16, uint32, int32 or int64 (uint16)"},
       .check = check_token_type},
      {.flag = "--sequences",
       .field = {"sequences", &o.sequences, "number of sequences (8)"},
       .check = check_positive_integer},
      {.flag = "--seq-len",
       .field = {"seq_len", &o.seq_len, "tokens per sequence (128, or the model's maximum if that is less)"},
       .check = check_positive_integer},
      {.flag = "--unit",
       .field = {"unit", word_target(o.unit, unit_words), "what one Hessian covers: a sequence, or one of its tokens"}},
      {.flag = "--method", .field = {"method", word_target(o.method, method_words), "eigensolver"}},
      {.flag = "--engine",
       .field = {"engine", word_target(o.engine, engine_words),
                 "how Hessian-vector products are computed: by the tangent tape, or by differentiating twice with "
                 "autograd (tape)"}},
      {.flag = "--ends",
       .field =
           {"ends", word_target(o.ends, ends_words),
            "ends of the spectrum to compute: the eigenvalue of largest magnitude (dominant), which determines the "
            "norm, or both"}},
      {.flag = "--tol",
       .field = {"tolerance", &o.tolerance, "residual norm ||H v - lambda v|| relative to the spectral norm"},
       .check = check_positive_number},
      {.flag = "--certify",
       .field = {"certify", &o.certify,
                 "distance between a norm and its upper bound, relative to the norm, below which the norm is certified "
                 "(Lanczos only)"},
       .check = check_positive_number},
      {.flag = "--confidence",
       .field = {"confidence", &o.confidence, "probability with which all upper bounds of the run hold"},
       .check = check_probability},
      {.flag = "--max-iter",
       .field = {"max_iterations", &o.max_iterations, "maximum number of products per eigenproblem"},
       .check = check_positive_integer},
      {.flag = "--dtype", .field = {"dtype", dtype_target(o.dtype), "precision of the model"}},
      {.flag = "--device", .field = {"device", &o.device, "auto, cpu, cuda or cuda:N"}},
      {.flag = "--memory",
       .field = {"memory_bytes", BytesTarget{&o.memory_bytes},
                 "memory limit, weights included, such as 8GiB (3/4 of the free memory). Prints the plan and a time "
                 "estimate; streams weights from the file if they do not fit, except for spectra, which hold them; if "
                 "the limit is too small, prints the smallest one that works"}},
      {.flag = "--vocab-size",
       .field = {"vocab_size", &o.vocab_size, "vocabulary size of a fresh model"},
       .check = check_positive_integer},
      {.flag = "--seed",
       .field = {"seed", &o.seed, "seed of fresh weights, windows of the data and start vectors"},
       .check = check_natural_number},
      {.flag = "--check",
       .field = {"check", &o.check,
                 "compare a Hessian-vector product of each site and layer in float64 with central differences, and in "
                 "the probe's precision with float64"}},
  };
}

ProgramOptions output_options(ProbeOutput& output) {
  return {
      {.flag = "--out",
       .field = {"", &output.path, "run file to write (HDF5)"},
       .check = check_not_empty,
       .required = true},
      {.flag = "--overwrite", .field = {"", &output.overwrite, "replace an existing run file"}},
  };
}

}  // namespace hessian::experiments
