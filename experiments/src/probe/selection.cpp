#include <charconv>
#include <set>
#include <sstream>
#include <stdexcept>

#include "config/words.h"
#include "hessian/tape.h"
#include "probe/probe.h"

namespace hessian::experiments {
namespace {

[[noreturn]] void refuse(const std::string& option, const std::string& text, int64_t last) {
  throw std::invalid_argument(option + " '" + text + "': expected all, or numbers and ranges from 0 to " +
                              std::to_string(last) + " such as 0,3,5-7");
}

}  // namespace

const std::vector<std::string> unit_words = {"sequence", "token"};
const std::vector<std::string> method_words = {"lanczos", "power", "spectra"};
const std::vector<std::string> engine_words = {"tape", "autograd"};
const std::vector<std::string> ends_words = {"both", "dominant"};

Ends parse_ends(const std::string& word) {
  return static_cast<Ends>(index_of_word(word, ends_words));
}

Engine choose_engine(std::optional<Engine> requested, at::Device device) {
  const bool runs = tape_runs_on(device);
  if (requested == Engine::tape && !runs) {
    throw std::invalid_argument("--engine tape: this build has no kernels for " + device.str() +
                                "; they need nvcc and a LibTorch for its version of CUDA. Use --engine autograd");
  }
  return requested.value_or(runs ? Engine::tape : Engine::autograd);
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

}  // namespace hessian::experiments
