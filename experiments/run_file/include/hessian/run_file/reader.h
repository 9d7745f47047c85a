#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hessian/run_file/dataset_spec.h"
#include "hessian/run_file/run_info.h"

namespace hessian::experiments {

/// The contents of a dataset, last dimension fastest.
template <typename T>
struct DatasetValues {
  std::vector<T> values;
  Shape shape;
};

/// Reads a run file, whether it is finished, was left by a killed writer, or is being written.
///
///     RunFileReader run("run.h5");
///     while (!run.finished()) {
///       draw(run.read<double>("/train/loss").values);
///       std::this_thread::sleep_for(1s);
///       run.refresh();
///     }
///
/// While a file is being written, the datasets of one group may differ in length by the rows of the last flush.
/// Not thread-safe: use a reader from one thread at a time.
class RunFileReader {
 public:
  /// \throws std::runtime_error  one line that names the file, if it cannot be opened or is not a run file of a known
  ///                             version
  explicit RunFileReader(const std::filesystem::path& path);

  RunFileReader(RunFileReader&&) noexcept;
  RunFileReader& operator=(RunFileReader&&) noexcept;
  ~RunFileReader();

  [[nodiscard]] const RunInfo& info() const;
  [[nodiscard]] int format_version() const;
  /// Returns the creation time as ISO 8601 in UTC, such as `2025-01-31T12:00:00Z`.
  [[nodiscard]] const std::string& created() const;
  /// Returns whether the run was complete when the file was opened or last refreshed.
  [[nodiscard]] bool finished() const;
  /// Returns the peak memory of the run when the file was opened or last refreshed; 0 while unknown.
  [[nodiscard]] int64_t peak_memory_bytes() const;

  [[nodiscard]] bool contains(std::string_view dataset) const;

  /// Returns all datasets of the five element types, sorted by path, with their current shapes.
  [[nodiscard]] std::vector<DatasetSpec> datasets() const;

  /// Returns the type, shape and attributes of one dataset.
  /// \throws std::runtime_error  if there is no such dataset, or it has none of the five element types
  [[nodiscard]] DatasetSpec describe(std::string_view dataset) const;

  /// Reads a whole dataset. T is double, int64_t, int32_t, uint8_t or std::string, and must be the stored type.
  /// \throws std::runtime_error  if there is no such dataset, its type differs, or it cannot be read
  template <typename T>
  [[nodiscard]] DatasetValues<T> read(std::string_view dataset) const;

  /// Reads the rows first ... first + count - 1 of a dataset. A row has one index of the first dimension and all
  /// indices of the others.
  /// \throws std::invalid_argument  if the dataset has no such rows
  /// \throws std::runtime_error     as read()
  template <typename T>
  [[nodiscard]] DatasetValues<T> read_rows(std::string_view dataset, int64_t first, int64_t count) const;

  /// Reopens the file to see what was flushed since it was last opened.
  /// \throws std::runtime_error  as the constructor; the reader cannot be used until a refresh() succeeds
  void refresh();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hessian::experiments
