#include "config/words.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

const std::vector<std::string> target_words = {"activations", "parameters"};
const std::vector<std::string> matrix_words = {"hessian", "ggn", "fisher", "mc-fisher", "fd-hessian"};
const std::vector<std::string> trace_words = {"hutch++", "hutchinson"};

Target parse_target(const std::string& word) {
  return static_cast<Target>(index_of_word(word, target_words));
}

CurvatureMatrix parse_matrix(const std::string& word) {
  return static_cast<CurvatureMatrix>(index_of_word(word, matrix_words));
}

TraceMethod parse_trace_method(const std::string& word) {
  return static_cast<TraceMethod>(index_of_word(word, trace_words));
}

}  // namespace hessian::experiments
