#include <charconv>
#include <set>
#include <sstream>
#include <stdexcept>

#include "probe/probe.h"
#include "spectrum/spectrum.h"
#include "hessian/tape.h"

namespace experiments {
namespace {

[[noreturn]] void refuse(const std::string& option, const std::string& text, int64_t last) {
  throw std::invalid_argument(option + " '" + text + "': expected all, or numbers and ranges from 0 to " +
                              std::to_string(last) + " such as 0,3,5-7");
}

/// The place of a word in a list.
std::size_t place_of(const std::string& word, const std::vector<std::string>& words) {
  std::string accepted;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == word) {
      return i;
    }
    accepted += (accepted.empty() ? "" : ", ") + words[i];
  }
  throw std::invalid_argument("'" + word + "' is none of " + accepted);
}

}  // namespace

const std::vector<std::string> unit_words = {"sequence", "token"};
const std::vector<std::string> method_words = {"lanczos", "power", "spectra"};
const std::vector<std::string> engine_words = {"tape", "autograd"};
const std::vector<std::string> ends_words = {"both", "dominant"};
const std::vector<std::string> target_words = {"activations", "parameters"};
const std::vector<std::string> matrix_words = {"hessian", "ggn", "fisher", "mc-fisher", "fd-hessian"};
const std::vector<std::string> trace_words = {"hutch++", "hutchinson"};

const std::string& to_string(Unit unit) {
  return unit_words.at(static_cast<std::size_t>(unit));
}

const std::string& to_string(Method method) {
  return method_words.at(static_cast<std::size_t>(method));
}

const std::string& to_string(Engine engine) {
  return engine_words.at(static_cast<std::size_t>(engine));
}

const std::string& to_string(hessian::Ends ends) {
  return ends_words.at(static_cast<std::size_t>(ends));
}

Unit parse_unit(const std::string& word) {
  return static_cast<Unit>(place_of(word, unit_words));
}

Method parse_method(const std::string& word) {
  return static_cast<Method>(place_of(word, method_words));
}

Engine parse_engine(const std::string& word) {
  return static_cast<Engine>(place_of(word, engine_words));
}

hessian::Ends parse_ends(const std::string& word) {
  return static_cast<hessian::Ends>(place_of(word, ends_words));
}

Target parse_target(const std::string& word) {
  return static_cast<Target>(place_of(word, target_words));
}

CurvatureMatrix parse_matrix(const std::string& word) {
  return static_cast<CurvatureMatrix>(place_of(word, matrix_words));
}

TraceMethod parse_trace_method(const std::string& word) {
  return static_cast<TraceMethod>(place_of(word, trace_words));
}

Engine choose_engine(std::optional<Engine> asked, at::Device device) {
  const bool runs = hessian::tape_runs_on(device);
  if (asked == Engine::tape && !runs) {
    throw std::invalid_argument(
        "--engine tape has no kernels for " + device.str() +
        " in this build, which nvcc and a LibTorch for its version of CUDA bring; use --engine autograd");
  }
  return asked.value_or(runs ? Engine::tape : Engine::autograd);
}

std::vector<int64_t> parse_layers(const std::string& text, int64_t last, const std::string& option) {
  std::set<int64_t> layers;
  if (text == "all") {
    for (int64_t layer = 0; layer <= last; ++layer) {
      layers.insert(layer);
    }
    return {layers.begin(), layers.end()};
  }
  const auto number = [&](const std::string& word) {
    int64_t value = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || value < 0 || value > last) {
      refuse(option, text, last);
    }
    return value;
  };
  std::istringstream words(text);
  std::string word;
  while (std::getline(words, word, ',')) {
    const auto dash = word.find('-');
    const int64_t first = number(word.substr(0, dash));
    const int64_t end = dash == std::string::npos ? first : number(word.substr(dash + 1));
    if (end < first) {
      refuse(option, text, last);
    }
    for (int64_t layer = first; layer <= end; ++layer) {
      layers.insert(layer);
    }
  }
  if (layers.empty() || text.back() == ',') {
    refuse(option, text, last);
  }
  return {layers.begin(), layers.end()};
}

std::vector<models::Site> parse_sites(const std::vector<std::string>& words) {
  std::set<models::Site> sites;
  for (const std::string& word : words) {
    if (word == "all") {
      return models::all_sites();
    }
    try {
      sites.insert(models::parse_site(word));
    } catch (const std::runtime_error& error) {
      throw std::invalid_argument(std::string("--site ") + error.what() + ", or all");
    }
  }
  return {sites.begin(), sites.end()};
}

}  // namespace experiments
