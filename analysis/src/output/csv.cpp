#include "output/csv.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

namespace hessian::analysis {
namespace {

std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) {
    return text;
  }
  std::string quoted = "\"";
  for (const char c : text) {
    quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  }
  return quoted + "\"";
}

/// Formats the shortest text that reads back as the same number; empty for NaN.
std::string cell(double value) {
  return std::isnan(value) ? "" : fmt::format("{}", value);
}

std::string row_of(const std::vector<std::string>& cells) {
  return fmt::format("{}\r\n", fmt::join(cells, ","));
}

std::string rows_of(const HeatMap& map) {
  std::string text;
  for (std::size_t row = 0; row < map.y.size(); ++row) {
    for (std::size_t column = 0; column < map.x.size(); ++column) {
      text += row_of({cell(map.x[column]), cell(map.y[row]), cell(map.values[row * map.x.size() + column])});
    }
  }
  return text;
}

std::string rows_of(const Curve& curve, const std::vector<std::string>& names) {
  const auto x_cell = [&names](double x) {
    const auto i = static_cast<std::size_t>(std::lround(x)) - 1;
    return i < names.size() ? cell(names[i]) : cell(x);
  };
  std::string text;
  for (std::size_t i = 0; i < curve.x.size(); ++i) {
    const bool band = !curve.low.empty();
    const double y = curve.recorded.empty() ? curve.y[i] : curve.recorded[i];
    text += row_of({cell(curve.label), x_cell(curve.x[i]), cell(y), band ? cell(curve.low[i]) : "",
                    band ? cell(curve.high[i]) : ""});
  }
  return text;
}

}  // namespace

std::string csv_row(const std::vector<std::string>& texts) {
  std::vector<std::string> cells;
  for (const std::string& text : texts) {
    cells.push_back(cell(text));
  }
  return row_of(cells);
}

std::string csv_of(const Figure& figure) {
  if (figure.heat_map) {
    return row_of({cell(figure.x.label), cell(figure.y.label), cell(figure.heat_map->label)}) +
           rows_of(*figure.heat_map);
  }
  std::string text = row_of({"curve", cell(figure.x.label), cell(figure.y.label), "low", "high"});
  for (const Curve& curve : figure.curves) {
    text += rows_of(curve, figure.x.names);
  }
  for (const VerticalLine& line : figure.verticals) {
    text += row_of({cell(line.label), cell(line.x), "", "", ""});
  }
  for (const Ticks& ticks : figure.ticks) {
    for (const double x : ticks.x) {
      text += row_of({cell(ticks.label), cell(x), "", "", ""});
    }
  }
  return text;
}

}  // namespace hessian::analysis
