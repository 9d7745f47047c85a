#include "content/sharpness_sequences.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <set>

namespace hessian::analysis {

std::optional<SharpnessSequences> sharpness_sequences(const RunContent& run) {
  try {
    const toml::table config = toml::parse(run.info.config);
    const auto number = [&config](const char* section, const char* key) {
      return config[section][key].value<int64_t>();
    };
    const auto batch_size = number("data", "batch_size");
    const auto accumulation = number("data", "accumulation");
    if (!config["probe"]["sharpness"].value_or(false) || !batch_size || !accumulation) {
      return std::nullopt;
    }
    const int64_t of_update = *batch_size * *accumulation;
    // Before there was a key of its own, the sharpness was that of the probe's sequences.
    const auto measured = number("probe", "sharpness_sequences");
    return SharpnessSequences{!measured        ? number("probe", "sequences").value_or(0)
                              : *measured == 0 ? of_update
                                               : *measured,
                              of_update};
  } catch (const toml::parse_error&) {
    return std::nullopt;
  }
}

std::string sharpness_sequences_text(const std::vector<RunContent>& runs) {
  std::set<int64_t> numbers;
  for (const RunContent& run : runs) {
    if (const auto sequences = sharpness_sequences(run)) {
      numbers.insert(sequences->measured);
    }
  }
  if (numbers.empty()) {
    return "";
  }
  return numbers.size() == 1 ? fmt::format("{} held-out sequences", *numbers.begin())
                             : fmt::format("{} to {} held-out sequences", *numbers.begin(), *numbers.rbegin());
}

std::optional<std::string> sharpness_sequences_warning(const RunContent& run, const std::string& label) {
  const auto sequences = sharpness_sequences(run);
  if (!sequences || sequences->measured >= sequences->of_update) {
    return std::nullopt;
  }
  return fmt::format("{}: the sharpness is that of {} sequences, fewer than the {} of an update, and biased upwards",
                     label, sequences->measured, sequences->of_update);
}

}  // namespace hessian::analysis
