#include "probe/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "hessian/memory.h"
#include "probe/time_plan.h"
#include "program/number_text.h"
#include "program/statistics.h"

namespace hessian::experiments {
namespace {

double smallest(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}
double largest(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

int64_t count_unconverged(const ProbeRow& row) {
  return std::count(row.converged.begin(), row.converged.end(), 0);
}

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

/// Formats the median of a column. Returns a dash if a number is unknown, because that end of the spectrum or a bound was not
/// computed.
std::string median_if_known(const std::vector<double>& values) {
  return all_finite(values) ? fmt::format("{:.4e}", median(values)) : "-";
}

/// Formats the norms of a row: their median, the median of their bounds, and their range.
std::string norms_of(const ProbeRow& row) {
  if (!all_finite(row.spectral_norm)) {
    return fmt::format("{:>12} {:>12} {:>25}", "not finite", "-", "-");
  }
  return fmt::format("{:>12.4e} {:>12} {:>25}", median(row.spectral_norm), median_if_known(row.norm_upper),
                     fmt::format("{:.4e} .. {:.4e}", smallest(row.spectral_norm), largest(row.spectral_norm)));
}

std::string residual_of(const ProbeRow& row) {
  return all_finite(row.residual_norm) ? fmt::format("{:.1e}", largest(row.residual_norm)) : "-";
}

/// Describes how sure the norms are.
std::string certificate_line(const ProbeReport& report) {
  const bool bounded = std::any_of(report.rows.begin(), report.rows.end(), [](const ProbeRow& row) {
    return std::any_of(row.norm_upper.begin(), row.norm_upper.end(), [](double bound) { return !std::isnan(bound); });
  });
  return bounded ? fmt::format(
                       "All norms are at most their upper bounds with probability {}; without *, a bound exceeds its "
                       "norm by at most {:.3g} %.\n",
                       report.confidence, 100 * report.certify)
                 : "The norms are not certified: this method gives no upper bounds.\n";
}

bool check_failed(const ProbeRow& row) {
  return row.check && !(row.check->central_differences <= check_limit);
}

/// Returns whether products in the probe's precision are too inexact for the accuracy that its norms claim.
bool precision_failed(const ProbeRow& row, double certify) {
  return row.check && !(row.check->own_precision <= certify);
}

std::string difference_text(double difference) {
  return number_text(difference, "{:.1e}");
}

/// Returns the largest asymmetry of the products relative to the norm; nothing if the method does not measure it.
std::optional<double> largest_asymmetry(const ProbeReport& report) {
  std::optional<double> largest;
  for (const ProbeRow& row : report.rows) {
    for (std::size_t i = 0; i < row.asymmetry.size(); ++i) {
      const double relative = row.asymmetry[i] / row.spectral_norm[i];
      if (std::isfinite(relative)) {
        largest = std::max(largest.value_or(0), relative);
      }
    }
  }
  return largest;
}

}  // namespace

std::string format_table(const ProbeReport& report) {
  std::string text = fmt::format("{}, step {}, {} sequences of {} tokens, loss {} nats, on {}\n",
                                 report.model_description, report.step, report.sequences, report.seq_len,
                                 number_text(mean(report.losses), "{:.4f}"), report.device);
  const bool checked = !report.rows.empty() && report.rows.front().check.has_value();
  const bool both_ends = report.ends == Ends::both;
  text += fmt::format("{:<13} {:>5} {:>12} {:>12} {:>25}{} {:>10} {:>6} {:>10}{}\n", "site", "layer", "||H_xx||_2",
                      "upper bound", "range over sequences", both_ends ? "   lambda_min" : "", "residual", "iter.",
                      "RMS", checked ? "      check  precision" : "");
  for (const ProbeRow& row : report.rows) {
    text += fmt::format("{:<13} {:>5} {}{} {:>10} {:>6} {:>10}", models::to_string(row.site), row.layer, norms_of(row),
                        both_ends ? fmt::format(" {:>12}", median_if_known(row.lambda_min)) : "", residual_of(row),
                        *std::max_element(row.iterations.begin(), row.iterations.end()),
                        number_text(row.scale.rms, "{:.4f}"));
    if (row.check) {
      text += fmt::format(" {:>10} {:>10}", difference_text(row.check->central_differences),
                          difference_text(row.check->own_precision));
    }
    text += count_unconverged(row) > 0 ? " *\n" : "\n";
  }
  text += fmt::format("||H_xx||_2{}: median over sequences, in nats; residual and iterations: the largest.\n",
                      both_ends ? ", upper bound and lambda_min" : " and upper bound");
  if (checked) {
    text +=
        "check: relative difference of a product in float64 from central differences; precision: of the product in the "
        "probe's precision from that in float64.\n";
  }
  text += certificate_line(report);
  if (const auto asymmetry = largest_asymmetry(report)) {
    text += fmt::format("Products are symmetric up to {:.1e} of the norm.\n", *asymmetry);
  }
  text += fmt::format("peak memory {}", format_bytes(report.peak_memory_bytes));
  if (report.planned_bytes) {
    text += fmt::format(", planned {}", format_bytes(*report.planned_bytes));
  }
  text += fmt::format("; time {}", format_short_seconds(report.seconds));
  if (report.planned_seconds) {
    text += fmt::format(", planned {}", format_short_seconds(*report.planned_seconds));
  }
  text += '\n';
  return text;
}

std::string format_json(const ProbeReport& report) {
  nlohmann::json object;
  object["model"] = report.model_description;
  object["device"] = report.device;
  object["step"] = report.step;
  object["sequences"] = report.sequences;
  object["seq_len"] = report.seq_len;
  object["loss"] = report.losses;
  object["peak_memory_bytes"] = report.peak_memory_bytes;
  object["plan"] = report.plan;
  object["weights_streamed"] = report.weights_streamed;
  object["seconds"] = report.seconds;
  if (report.planned_bytes) {
    object["planned_bytes"] = *report.planned_bytes;
  }
  if (report.planned_seconds) {
    object["planned_seconds"] = *report.planned_seconds;
  }
  object["certify"] = report.certify;
  object["confidence"] = report.confidence;
  object["rows"] = nlohmann::json::array();
  for (const ProbeRow& row : report.rows) {
    nlohmann::json entry;
    entry["site"] = models::to_string(row.site);
    entry["layer"] = row.layer;
    entry["spectral_norm"] = row.spectral_norm;
    entry["lambda_max"] = row.lambda_max;
    entry["lambda_min"] = row.lambda_min;
    entry["norm_upper"] = row.norm_upper;
    if (report.ends == Ends::both) {
      entry["lambda_max_upper"] = row.lambda_max_upper;
      entry["lambda_min_lower"] = row.lambda_min_lower;
    }
    entry["residual_norm"] = row.residual_norm;
    entry["asymmetry"] = row.asymmetry;
    entry["iterations"] = row.iterations;
    entry["converged"] = std::vector<bool>(row.converged.begin(), row.converged.end());
    entry["rms"] = row.scale.rms;
    entry["abs_max"] = row.scale.abs_max;
    entry["abs_mean"] = row.scale.abs_mean;
    entry["feature_outlier"] = row.scale.feature_outlier;
    if (row.check) {
      entry["check_relative_difference"] = row.check->central_differences;
      entry["check_precision_difference"] = row.check->own_precision;
    }
    object["rows"].push_back(std::move(entry));
  }
  return object.dump(2) + "\n";
}

std::string overflow_of_products(c10::ScalarType dtype) {
  const std::string cause = "products of the model overflow";
  return dtype == c10::kDouble ? cause + " even in float64" : cause + "; give --dtype float64";
}

std::vector<std::string> warnings_of(const ProbeReport& report) {
  std::vector<std::string> warnings;
  int64_t unconverged = 0;
  int64_t not_finite = 0;
  int64_t all = 0;
  for (const ProbeRow& row : report.rows) {
    unconverged += count_unconverged(row);
    not_finite += std::count_if(row.spectral_norm.begin(), row.spectral_norm.end(),
                                [](double norm) { return !std::isfinite(norm); });
    all += static_cast<int64_t>(row.converged.size());
  }
  if (not_finite > 0) {
    warnings.push_back(
        fmt::format("{} of {} norms are not finite: {}", not_finite, all, overflow_of_products(report.dtype)));
  }
  if (unconverged > not_finite) {
    warnings.push_back(
        fmt::format("{} of {} norms did not converge (marked *): check their residuals and upper bounds, and raise "
                    "--max-iter, --tol or --certify",
                    unconverged - not_finite, all));
  }
  for (const ProbeRow& row : report.rows) {
    const std::string place = fmt::format("{} of layer {}", models::to_string(row.site), row.layer);
    if (check_failed(row)) {
      warnings.push_back(
          fmt::format("{}: the Hessian-vector product differs from central differences by {}, more than {:.0e}; its "
                      "curvature is unreliable",
                      place, difference_text(row.check->central_differences), check_limit));
    }
    if (precision_failed(row, report.certify)) {
      warnings.push_back(fmt::format(
          "{}: the Hessian-vector product in the probe's precision differs from that in float64 by {}, more than "
          "--certify {:.2g}; give --dtype float64, or a larger --certify",
          place, difference_text(row.check->own_precision), report.certify));
    }
  }
  const auto asymmetry = largest_asymmetry(report);
  if (asymmetry && *asymmetry > report.certify) {
    warnings.push_back(
        fmt::format("the products deviate from those of a symmetric matrix by up to {:.1e} of the norm, more than "
                    "--certify {:.2g}: rounding errors dominate; give a wider --dtype, or a larger --certify",
                    *asymmetry, report.certify));
  }
  return warnings;
}

bool checks_passed(const ProbeReport& report) {
  return std::none_of(report.rows.begin(), report.rows.end(), [&report](const ProbeRow& row) {
    return check_failed(row) || precision_failed(row, report.certify);
  });
}

}  // namespace hessian::experiments
