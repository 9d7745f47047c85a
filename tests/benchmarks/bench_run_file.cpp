#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "content/run_content.h"
#include "figures/figures.h"
#include "hessian/run_file.h"
#include "output/gnuplot.h"
#include "seconds.h"

// Times run files of a million training steps: appending, reading, continuing and drawing them, each compared with the
// same bytes in a plain file.

namespace hessian::benchmarks {
namespace {

namespace fs = std::filesystem;
using experiments::ElementType;
using experiments::RunFileWriter;

constexpr int64_t rows = 1'000'000;

/// Columns of one number per step, as hessian-train writes them.
const std::vector<std::string> columns = {"/train/loss", "/train/lr", "/train/grad_norm", "/train/step_seconds",
                                          "/train/tokens_per_second"};
const std::vector<std::string> whole_columns = {"/train/tokens", "/train/step"};
const std::size_t row_bytes = 8 * (columns.size() + whole_columns.size());

std::vector<experiments::DatasetSpec> datasets() {
  std::vector<experiments::DatasetSpec> specs;
  for (const std::string& path : columns) {
    specs.push_back({path, ElementType::float64, {0}, "1", path});
  }
  for (const std::string& path : whole_columns) {
    specs.push_back({path, ElementType::int64, {0}, "1", path});
  }
  return specs;
}

double loss_at(int64_t step) {
  return 3 + std::sin(static_cast<double>(step) * 0.37) + (step == rows / 3 ? 50 : 0);
}

/// A temporary folder, removed by the destructor.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("bench_run_file." + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

/// Writes row by row and flushes every 10,000 rows, as a fast run does each second.
void write_run(const fs::path& path) {
  auto writer = RunFileWriter::create(path, {}, datasets(), /*overwrite=*/true);
  for (int64_t row = 0; row < rows; ++row) {
    const double value = loss_at(row);
    for (const std::string& column : columns) {
      writer.append(column, std::span(&value, 1));
    }
    const int64_t step = row + 1;
    for (const std::string& column : whole_columns) {
      writer.append(column, std::span(&step, 1));
    }
    if (row % 10'000 == 0) {
      writer.flush();
    }
  }
  writer.finish();
}

void write_plainly(const fs::path& path) {
  std::ofstream file(path, std::ios::binary);
  std::vector<double> row(row_bytes / 8);
  for (int64_t i = 0; i < rows; ++i) {
    row.assign(row.size(), loss_at(i));
    file.write(reinterpret_cast<const char*>(row.data()), static_cast<std::streamsize>(row_bytes));
    if (i % 10'000 == 0) {
      file.flush();
    }
  }
}

double read_plainly(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<double> values(row_bytes / 8 * rows);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(8 * values.size()));
  return values[7];
}

void continue_run(const fs::path& path) {
  std::map<std::string, int64_t> kept;
  for (const auto& dataset : datasets()) {
    kept[dataset.path] = rows - 1;
  }
  RunFileWriter::continue_from(path, {}, datasets(), kept).finish();
}

/// append_over_plain, read_over_plain and continue_over_plain are times relative to a plain file of the same bytes; for
/// continuing, relative to copying it. draw_seconds is the time to draw all figures as SVG.
void million_steps(benchmark::State& state) {
  for (auto _ : state) {
    const Folder folder;
    const fs::path run = folder / "run.h5";
    const fs::path plain = folder / "plain";
    const double plain_write = seconds_of([&] { write_plainly(plain); });
    const double append = seconds_of([&] { write_run(run); });
    const double plain_read = seconds_of([&] { benchmark::DoNotOptimize(read_plainly(plain)); });
    analysis::RunContent content;
    const double read = seconds_of([&] { content = analysis::read_run(run); });
    const double copy = seconds_of([&] { fs::copy_file(plain, folder / "copy"); });
    const double continue_seconds = seconds_of([&] { continue_run(run); });
    double largest_svg = 0;
    const double draw = seconds_of([&] {
      for (const auto& figure : analysis::figures_of({content})) {
        analysis::draw(figure, "svg", folder / "figure.svg");
        const auto bytes = static_cast<double>(fs::file_size(folder / "figure.svg"));
        largest_svg = std::max(largest_svg, bytes);
      }
    });
    state.SetIterationTime(append + read + continue_seconds + draw);
    state.counters["rows_per_second"] = static_cast<double>(rows) / append;
    state.counters["append_over_plain"] = append / plain_write;
    state.counters["read_over_plain"] = read / plain_read;
    state.counters["continue_over_plain"] = continue_seconds / copy;
    state.counters["read_seconds"] = read;
    state.counters["continue_seconds"] = continue_seconds;
    state.counters["draw_seconds"] = draw;
    state.counters["largest_svg_bytes"] = largest_svg;
    state.counters["file_over_bytes"] = static_cast<double>(fs::file_size(run)) / static_cast<double>(row_bytes * rows);
  }
}

BENCHMARK(million_steps)->UseManualTime()->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace hessian::benchmarks
