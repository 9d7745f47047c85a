#include "config/options.h"
#include "program/program.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

const std::vector<std::string> target_words = {"activations", "parameters"};
const std::vector<std::string> matrix_words = {"hessian", "ggn", "fisher", "mc-fisher", "fd-hessian"};
const std::vector<std::string> trace_words = {"hutch++", "hutchinson"};

ProgramOptions spectrum_options(SpectrumOptions& o) {
  ProgramOptions options = {
      {.flag = "--target",
       .field = {"target", word_target(o.target, target_words), "what the loss is differentiated by"}},
      {.flag = "--operator",
       .field = {"operator", word_target(o.matrix, matrix_words), "curvature matrix of parameters"}},
      {.flag = "--params",
       .field = {"params", &o.params, "globs of parameters, such as 'layers.*.attention.*'; a matrix for each"}},
      {.flag = "--adam",
       .field = {"adam", &o.adam, "precondition with Adam's diagonal and clipping, which a training checkpoint holds"}},
      {.flag = "--top",
       .field = {"top", &o.top, "number of eigenvalues at each end of the spectrum"},
       .check = check_positive_integer},
      {.flag = "--block-width",
       .field =
           {"block_width", &o.block_width,
            "vectors of block Lanczos: finds eigenvalues of up to this multiplicity, and separates clusters of up to "
            "this size"},
       .check = check_positive_integer},
      {.flag = "--vectors", .field = {"vectors", &o.vectors, "store the eigenvectors of --top"}},
      {.flag = "--density",
       .field = {"density", &o.density, "compute the spectral density by stochastic Lanczos quadrature"}},
      {.flag = "--trace",
       .field = {"trace", word_target(o.trace, trace_words, "none"),
                 "estimate trace, Frobenius norm and effective rank; the trace by hutch++ or hutchinson"},
       .bare_word = trace_words.front()},
      {.flag = "--diagonal",
       .field = {"diagonal", &o.diagonal, "estimate the diagonal; stored with its standard errors"}},
      {.flag = "--decompose",
       .field = {"decompose", &o.decompose, "split H_xx at each linear map into its terms J^T H_zz J and C"}},
      {.flag = "--samples",
       .field = {"samples", &o.samples,
                 "random vectors of a density; trace, norm and diagonal take four times as many"},
       .check = check_positive_integer},
      {.flag = "--steps",
       .field = {"steps", &o.steps, "Lanczos steps per random vector of a density"},
       .check = check_positive_integer},
  };
  for (ProgramOption& option : options) {
    option.group = "Options that compute more than the norm";
  }
  return options;
}

}  // namespace hessian::experiments
