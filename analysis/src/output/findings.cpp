#include "output/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "content/summary.h"

namespace hessian::analysis {
namespace {

constexpr std::size_t max_listed = 7;  // longer lists are cut to their ends

std::string number_text(double value) {
  return fmt::format("{:.3g}", value);
}

/// Joins items as in a sentence: `a`, `a and b`, `a, b and c`.
std::string list_text(const std::vector<std::string>& items) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == items.size() ? " and " : ", ") + items[i];
  }
  return text;
}

// Learning rates

/// A model of a sweep with the rates that bracket the edge of stability; NaN if there is none.
struct RateBracket {
  std::string model;
  double stable = std::nan("");
  double unstable = std::nan("");
};

std::vector<RateBracket> brackets_of(const SweepRuns& sweep) {
  std::vector<RateBracket> brackets;
  for (const std::string& model : sweep.models) {
    brackets.push_back(
        {model, sweep.summary_number(model, "largest_stable_lr"), sweep.summary_number(model, "smallest_unstable_lr")});
  }
  return brackets;
}

/// Returns the smallest rate at which the model diverged; NaN if it did at none.
double smallest_diverged_rate(const SweepRuns& sweep, const std::string& model) {
  double smallest = std::nan("");
  for (std::size_t i = 0; i < sweep.model.size(); ++i) {
    if (sweep.model[i] == model && sweep.status[i] == "diverged") {
      smallest = std::fmin(smallest, sweep.lr[i]);
    }
  }
  return smallest;
}

std::string rates_text(const SweepRuns& sweep, const std::vector<RateBracket>& brackets) {
  std::vector<std::string> rates;
  for (const RateBracket& bracket : brackets) {
    const double diverged = smallest_diverged_rate(sweep, bracket.model);
    if (std::isfinite(bracket.stable) && std::isfinite(bracket.unstable)) {
      rates.push_back(number_text(bracket.stable) + " for " + bracket.model);
    } else if (std::isfinite(bracket.stable)) {
      rates.push_back(fmt::format("at least {} for {} (no run at a larger rate diverged)", number_text(bracket.stable),
                                  bracket.model));
    } else if (std::isfinite(diverged)) {
      rates.push_back(
          fmt::format("below {} for {} (the smallest rate diverged)", number_text(diverged), bracket.model));
    }
  }
  if (rates.empty()) {
    return "";
  }
  const std::set<int64_t> seeds(sweep.seed.begin(), sweep.seed.end());
  const std::string seeds_text = seeds.size() == 1 ? "one seed" : fmt::format("{} seeds", seeds.size());
  return fmt::format("The largest stable learning rate, with {} per rate, is {}.", seeds_text, list_text(rates));
}

/// Formats the quotient of two largest stable rates with the range that the brackets leave: `16 for B (the grid leaves 8
/// to 32)`.
std::optional<std::string> ratio_text(const RateBracket& own, const RateBracket& baseline) {
  if (!std::isfinite(own.stable) || !std::isfinite(baseline.stable)) {
    return std::nullopt;
  }
  const std::string ratio = number_text(own.stable / baseline.stable);
  const double low = own.stable / baseline.unstable;
  const double high = own.unstable / baseline.stable;
  if (std::isfinite(low) && std::isfinite(high)) {
    return fmt::format("{} for {} (the grid leaves {} to {})", ratio, own.model, number_text(low), number_text(high));
  }
  if (std::isfinite(low)) {
    return fmt::format("at least {} for {}", number_text(low), own.model);
  }
  if (std::isfinite(high)) {
    return fmt::format("at most {} for {}", number_text(high), own.model);
  }
  return std::nullopt;
}

/// Compares models with the PreNorm model of their size.
std::string ratios_text(const std::vector<RateBracket>& brackets) {
  const std::string suffix = "-prenorm";
  std::string text;
  for (const RateBracket& baseline : brackets) {
    if (!baseline.model.ends_with(suffix)) {
      continue;
    }
    const std::string size = baseline.model.substr(0, baseline.model.size() - suffix.size());
    std::vector<std::string> ratios;
    for (const RateBracket& own : brackets) {
      const bool of_size = own.model.substr(0, own.model.rfind('-')) == size;
      if (const auto ratio = ratio_text(own, baseline); of_size && own.model != baseline.model && ratio) {
        ratios.push_back(*ratio);
      }
    }
    if (!ratios.empty()) {
      text += fmt::format(" The ratio to that of {} is {}.", baseline.model, list_text(ratios));
    }
  }
  return text;
}

std::string open_runs_text(const SweepRuns& sweep) {
  const auto count = [&sweep](const char* status) {
    return std::count(sweep.status.begin(), sweep.status.end(), status);
  };
  std::string text;
  if (const auto pending = count("pending"); pending > 0) {
    text += fmt::format(" {} of {} runs are not finished; these rates may still change.", pending, sweep.status.size());
  }
  if (const auto failed = count("failed"); failed > 0) {
    text += fmt::format(" {} of {} runs failed and are not counted.", failed, sweep.status.size());
  }
  return text;
}

void add_rates(const std::vector<RunContent>& runs, const std::vector<std::string>& labels,
               std::vector<std::string>& findings) {
  const auto sweeps =
      std::count_if(runs.begin(), runs.end(), [](const RunContent& run) { return run.sweep.has_value(); });
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!runs[i].sweep) {
      continue;
    }
    const std::vector<RateBracket> brackets = brackets_of(*runs[i].sweep);
    if (const std::string rates = rates_text(*runs[i].sweep, brackets); !rates.empty()) {
      findings.push_back((sweeps > 1 ? labels[i] + ": " : "") + rates + ratios_text(brackets) +
                         open_runs_text(*runs[i].sweep));
    }
  }
}

// Spectral norms and activation scales

/// A run with its probes of the site that the findings describe.
struct ProbedRun {
  std::string label;
  const SiteProbes* probes;
};

/// Returns the probes of the residual stream or, if no run has them, of the first site that one has.
std::vector<ProbedRun> probed_runs(const std::vector<RunContent>& runs, const std::vector<std::string>& labels) {
  std::set<std::string> sites;
  for (const RunContent& run : runs) {
    for (const SiteProbes& probes : run.sites) {
      if (!probes.steps.empty()) {
        sites.insert(probes.site);
      }
    }
  }
  std::vector<ProbedRun> probed;
  if (sites.empty()) {
    return probed;
  }
  const std::string site = sites.contains("residual") ? "residual" : *sites.begin();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const SiteProbes& probes : runs[i].sites) {
      if (probes.site == site && !probes.steps.empty()) {
        probed.push_back({labels[i], &probes});
      }
    }
  }
  return probed;
}

std::string site_text(const std::vector<ProbedRun>& runs) {
  const std::string& site = runs.front().probes->site;
  return site == "residual" ? "the residual stream" : "site " + site;
}

/// Formats the step of the runs' first or last probe: `step 150`; empty if the runs differ.
std::string step_text(const std::vector<ProbedRun>& runs, bool last) {
  std::set<int64_t> steps;
  for (const ProbedRun& run : runs) {
    steps.insert(last ? run.probes->steps.back() : run.probes->steps.front());
  }
  return steps.size() == 1 ? fmt::format("step {}", *steps.begin()) : "";
}

/// A number of a run and the layer that has it.
struct LayerValue {
  std::string label;
  int64_t layer = 0;
  double value = 0;
  std::string detail;  ///< follows the number in brackets, may be empty
};

/// Returns the maximum over layers of the median norm in one probe; nothing if there is none yet.
std::optional<LayerValue> largest_norm(const ProbedRun& run, std::size_t probe) {
  std::optional<LayerValue> largest;
  for (std::size_t row = 0; row < run.probes->layers.size(); ++row) {
    const double norm = summarise(run.probes->over_sequences(run.probes->spectral_norm, probe, row)).median;
    if (std::isfinite(norm) && (!largest || norm > largest->value)) {
      largest = LayerValue{run.label, run.probes->layers[row], norm, ""};
    }
  }
  return largest;
}

/// Formats the layers of values: `at layer 0 in every run`, or `at layer 0 in A and B and at layer 3 in C`.
std::string layers_text(const std::vector<LayerValue>& values) {
  std::set<int64_t> layers;
  for (const LayerValue& value : values) {
    layers.insert(value.layer);
  }
  if (layers.size() == 1) {
    return fmt::format("at layer {}{}", *layers.begin(), values.size() > 1 ? " in every run" : "");
  }
  std::vector<std::string> texts;
  for (const int64_t layer : layers) {
    std::vector<std::string> labels;
    for (const LayerValue& value : values) {
      if (value.layer == layer) {
        labels.push_back(value.label);
      }
    }
    texts.push_back(labels.size() > max_listed ? fmt::format("at layer {} in {} runs", layer, labels.size())
                                               : fmt::format("at layer {} in {}", layer, list_text(labels)));
  }
  return list_text(texts);
}

/// Lists values in ascending order, ties together: `A (0.1 nats), B and C (0.2 nats each)`.
std::string order_text(std::vector<LayerValue> values) {
  std::stable_sort(values.begin(), values.end(),
                   [](const LayerValue& a, const LayerValue& b) { return a.value < b.value; });
  std::vector<std::string> groups;
  for (auto first = values.begin(); first != values.end();) {
    const auto last = std::find_if(first, values.end(), [&](const LayerValue& value) {
      return number_text(value.value) != number_text(first->value);
    });
    std::vector<std::string> labels;
    std::transform(first, last, std::back_inserter(labels), [](const LayerValue& value) { return value.label; });
    groups.push_back(labels.size() > max_listed
                         ? fmt::format("{} runs ({} nats each)", labels.size(), number_text(first->value))
                         : fmt::format("{} ({} nats{})", list_text(labels), number_text(first->value),
                                       labels.size() > 1 ? " each" : ""));
    first = last;
  }
  if (groups.size() == 1) {
    return fmt::format("this maximum is {} nats in every run", number_text(values.front().value));
  }
  if (groups.size() > max_listed) {
    return fmt::format("this maximum ranges from {} to {}", groups.front(), groups.back());
  }
  return "in ascending order of this maximum, the runs are " + list_text(groups);
}

std::string unconverged_text(const std::vector<ProbedRun>& runs, bool last) {
  int64_t open = 0;
  std::size_t all = 0;
  for (const ProbedRun& run : runs) {
    open += run.probes->unconverged(last ? run.probes->steps.size() - 1 : 0);
    all += run.probes->layers.size() * static_cast<std::size_t>(run.probes->sequences);
  }
  return open == 0
             ? ""
             : fmt::format(" {} of these {} estimates did not reach their tolerance and may be too small.", open, all);
}

/// Describes one probe of each run: where the norm is largest, and the order of the runs.
std::string norms_text(const std::vector<ProbedRun>& runs, bool last, const std::string& when) {
  std::vector<LayerValue> values;
  for (const ProbedRun& run : runs) {
    if (const auto value = largest_norm(run, last ? run.probes->steps.size() - 1 : 0)) {
      values.push_back(*value);
    }
  }
  if (values.empty()) {
    return "";
  }
  const std::string text = fmt::format("{}, ‖Hₓₓ‖₂ of {} is largest {}", when, site_text(runs), layers_text(values));
  return text +
         (values.size() == 1 ? fmt::format(" ({} nats).", number_text(values.front().value))
                             : "; " + order_text(values) + ".") +
         unconverged_text(runs, last);
}

/// Returns a sentence on the number of sequences that norms are medians over.
std::string sequences_text(const std::vector<ProbedRun>& runs) {
  std::set<int64_t> counts;
  for (const ProbedRun& run : runs) {
    counts.insert(run.probes->sequences);
  }
  const int64_t most = *counts.rbegin();
  return counts.size() > 1 ? " Norms are medians over sequences."
         : most == 1       ? " Norms are those of one sequence."
                           : fmt::format(" Norms are medians over {} sequences.", most);
}

void add_norms(const std::vector<ProbedRun>& runs, std::vector<std::string>& findings) {
  std::vector<ProbedRun> trained;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(trained),
               [](const ProbedRun& run) { return run.probes->steps.size() > 1; });
  std::string text;
  if (trained.size() == runs.size()) {
    const std::string step = step_text(runs, false);
    text = norms_text(
        runs, false,
        step == "step 0" ? "Before training (step 0)" : "At the first probe" + (step.empty() ? "" : " (" + step + ")"));
  }
  const std::string step = step_text(runs, true);
  const std::string when = "At the last probe" + (step.empty() ? "" : " (" + step + ")");
  if (const std::string last = norms_text(runs, true, when); !last.empty()) {
    text += (text.empty() ? "" : " ") + last;
  }
  if (!text.empty()) {
    findings.push_back(text + sequences_text(runs));
  }
}

/// Returns the layer whose RMS changed by the largest factor from the first to the last probe.
std::optional<LayerValue> largest_drift(const ProbedRun& run) {
  const SiteProbes& probes = *run.probes;
  const std::size_t layers = probes.layers.size();
  std::optional<LayerValue> largest;
  for (std::size_t row = 0; row < layers && probes.steps.size() > 1 && !probes.rms.empty(); ++row) {
    const double before = probes.rms[row];
    const double after = probes.rms[(probes.steps.size() - 1) * layers + row];
    const double factor = std::max(after / before, before / after);
    if (before > 0 && after > 0 && std::isfinite(factor) && (!largest || factor > largest->value)) {
      largest = LayerValue{
          run.label, probes.layers[row], factor,
          fmt::format("layer {}, from {} to {}", probes.layers[row], number_text(before), number_text(after))};
    }
  }
  return largest;
}

void add_drifts(const std::vector<ProbedRun>& runs, std::vector<std::string>& findings) {
  std::vector<LayerValue> drifts;
  std::vector<ProbedRun> moved;
  for (const ProbedRun& run : runs) {
    if (const auto drift = largest_drift(run)) {
      drifts.push_back(*drift);
      moved.push_back(run);
    }
  }
  if (drifts.empty()) {
    return;
  }
  std::stable_sort(drifts.begin(), drifts.end(),
                   [](const LayerValue& a, const LayerValue& b) { return a.value < b.value; });
  const auto text_of = [&](const LayerValue& drift) {
    const std::string where = runs.size() > 1 ? " in " + drift.label : "";
    return fmt::format("{}{} ({})", number_text(drift.value), where, drift.detail);
  };
  std::vector<std::string> texts;
  std::transform(drifts.begin(), drifts.end(), std::back_inserter(texts), text_of);
  const std::string list =
      texts.size() > max_listed ? fmt::format("{} to {}", texts.front(), texts.back()) : list_text(texts);
  const std::string from = step_text(moved, false);
  const std::string to = step_text(moved, true);
  const std::string period =
      from.empty() || to.empty() ? "From the first to the last probe" : fmt::format("From {} to {}", from, to);
  findings.push_back(
      fmt::format("{}, the RMS of a layer of {} changed at most by a factor of {}.", period, site_text(runs), list));
}

void add_seeds(const std::vector<RunContent>& runs, std::vector<std::string>& findings) {
  std::set<uint64_t> seeds;
  std::size_t probed = 0;
  for (const RunContent& run : runs) {
    if (!run.sites.empty()) {
      seeds.insert(run.info.seed);
      ++probed;
    }
  }
  if (probed > 1 && seeds.size() == 1) {
    findings.push_back(
        fmt::format("All {} probed runs have seed {}: how much norms and scales vary between seeds is not known.",
                    probed, *seeds.begin()));
  }
}

}  // namespace

std::vector<std::string> findings_of(const std::vector<RunContent>& runs, const std::vector<std::string>& labels) {
  std::vector<std::string> findings;
  add_rates(runs, labels, findings);
  if (const std::vector<ProbedRun> probed = probed_runs(runs, labels); !probed.empty()) {
    const std::size_t before = findings.size();
    add_norms(probed, findings);
    add_drifts(probed, findings);
    if (findings.size() > before) {
      add_seeds(runs, findings);
    }
  }
  return findings;
}

}  // namespace hessian::analysis
