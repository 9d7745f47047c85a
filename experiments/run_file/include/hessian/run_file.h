#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hessian::experiments {

/// The format that this version writes, and the newest that it reads.
inline constexpr int run_file_format_version = 1;

enum class ElementType { float64, int64, int32, uint8, text };

/// `float64`, `int64`, `int32`, `uint8` or `text`.
std::string_view element_type_name(ElementType type);

using Shape = std::vector<int64_t>;

/// A dataset of a run file.
///
/// On disk it is little-endian, chunked and extensible in every dimension, and what was never written reads as NaN
/// (float64), -1 (signed integers), 0 (uint8) or the empty text. Texts are UTF-8 padded with NUL bytes to one length,
/// because HDF5 cannot write texts of any length while others read.
struct DatasetSpec {
  std::string path;  ///< absolute, such as `/probe/residual/spectral_norm`
  ElementType type = ElementType::float64;
  Shape shape;  ///< at creation; a first dimension of 0 announces rows to be appended
  std::string units;
  std::string long_name;
  int64_t text_bytes = 0;  ///< of the longest text, 1 to 1 MiB; 0 for numbers, and where another tool left it open

  bool operator==(const DatasetSpec&) const = default;
};

/// What decided a run: the root attributes that are known when it starts.
struct RunInfo {
  std::string program;
  std::string command_line;
  std::string git_commit;
  uint64_t seed = 0;
  std::string device;
  std::string dtype;
  std::string config;  ///< TOML text
  std::string model;   ///< JSON of the architecture

  bool operator==(const RunInfo&) const = default;
};

/// Writes a run file that others may read meanwhile, and that survives the writer's death.
///
/// The file appears under its name only once it is laid out and holds what it is created with, and HDF5's single-writer /
/// multiple-reader (SWMR) mode keeps it readable from then on. A process killed at any instant leaves no file of that
/// name, or one that RunFileReader opens and that holds everything written before the last flush(). (A power failure
/// may take more: only create() and finish() wait for the disk.)
///
/// After a failed write the writer refuses any further one; the destructor never throws and prints nothing.
///
///     auto writer = RunFileWriter::create("run.h5", info, {{"/train/loss", ElementType::float64, {0}, "nats",
///     "loss"}}); for (double loss : losses) {
///       writer.append("/train/loss", std::span(&loss, 1));
///       writer.flush();
///     }
///     writer.finish();
///
/// Use one writer from one thread at a time.
class RunFileWriter {
 public:
  /// Lays the file out, with `finished` = 0, and gives it its name.
  ///
  /// \param overwrite  replace a file of that name; readers that have it open keep the old one
  /// \param fill       writes what no file of that name may lack, however early the process dies
  /// \throws std::runtime_error     if the file exists and is not to be replaced, or cannot be written; nothing is left
  ///                                behind
  /// \throws std::invalid_argument  if two datasets have one path, or a path or a shape is malformed
  /// \throws  what `fill` throws; nothing is left behind
  static RunFileWriter create(
      const std::filesystem::path& path, const RunInfo& info, const std::vector<DatasetSpec>& datasets,
      bool overwrite = false, const std::function<void(RunFileWriter&)>& fill = [](RunFileWriter&) {});

  /// Goes on with a run that was cut short: replaces its file by a new one that holds the rows to keep.
  ///
  /// The old file, finished or left by a killed writer, stays as it is until the new one is complete, and for good if
  /// anything fails; readers that have it open keep it. No one may be writing it. The new file is laid out as create()
  /// does, with `finished` = 0, and keeps the old one's `created` and `peak_memory_bytes`. Datasets of fixed size are
  /// copied whole.
  ///
  /// \param rows_to_keep  for each dataset of `datasets` whose first dimension is 0, how many of its first rows
  /// \throws std::runtime_error     one line that names the file and the dataset, if the old file lacks a dataset or
  ///                                rows of it, holds it with another type or shape, or holds one that would be lost;
  ///                                also as create() and the constructor of RunFileReader
  /// \throws std::invalid_argument  as create(), if `rows_to_keep` names other datasets or a negative number, or if a
  ///                                text of the old file is longer than the new text_bytes
  /// Memory: a few MiB, or a row where that is more.
  static RunFileWriter continue_from(const std::filesystem::path& path, const RunInfo& info,
                                     const std::vector<DatasetSpec>& datasets,
                                     const std::map<std::string, int64_t>& rows_to_keep);

  RunFileWriter(RunFileWriter&&) noexcept;
  RunFileWriter& operator=(RunFileWriter&&) noexcept;
  ~RunFileWriter();

  /// Writes a block of a dataset, which must lie inside its present shape.
  ///
  /// \param offset, count  first index and extent of the block, one number for each dimension
  /// \param values         the block, last dimension fastest
  /// \throws std::invalid_argument  if there is no such dataset, its type or shape does not fit, or a text is too long
  ///                                or holds a NUL byte; nothing is written then
  /// \throws std::runtime_error     if the file cannot be written
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const double> values);
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const int64_t> values);
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const int32_t> values);
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const uint8_t> values);
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const std::string> values);

  /// Appends whole rows: the first dimension grows by values.size() / (product of the other dimensions).
  ///
  /// Rows wait in memory until flush(), or until some 32 KiB of a dataset have come together, so that one at a time costs
  /// little; so does what stands in the way of writing them.
  /// \throws  as write()
  void append(std::string_view dataset, std::span<const double> values);
  void append(std::string_view dataset, std::span<const int64_t> values);
  void append(std::string_view dataset, std::span<const int32_t> values);
  void append(std::string_view dataset, std::span<const uint8_t> values);
  void append(std::string_view dataset, std::span<const std::string> values);

  /// Present shape of a dataset.
  /// \throws std::invalid_argument  if there is no such dataset
  [[nodiscard]] const Shape& shape(std::string_view dataset) const;

  void set_peak_memory_bytes(int64_t bytes);

  /// Makes everything written so far visible to readers and safe from the death of this process. Free if nothing is
  /// new.
  void flush();

  /// Flushes, sets `finished` = 1, closes the file and waits for the disk. The writer is of no use afterwards.
  void finish();

 private:
  struct State;
  explicit RunFileWriter(std::unique_ptr<State> state);
  static RunFileWriter create_filled(const std::filesystem::path& path, const RunInfo& info, const std::string& created,
                                     const std::vector<DatasetSpec>& datasets, bool overwrite,
                                     const std::function<void(RunFileWriter&)>& fill);
  std::unique_ptr<State> state_;
};

/// The contents of a dataset, last dimension fastest.
template <typename T>
struct DatasetValues {
  std::vector<T> values;
  Shape shape;
};

/// Reads a run file: finished, left by a killed writer, or being written at this moment.
///
///     RunFileReader run("run.h5");
///     while (!run.finished()) {
///       draw(run.read<double>("/train/loss").values);
///       std::this_thread::sleep_for(1s);
///       run.refresh();
///     }
///
/// While a file is being written the datasets of one group may differ in length by the rows of the last flush.
/// Use one reader from one thread at a time.
class RunFileReader {
 public:
  /// \throws std::runtime_error  one line that names the file, if it cannot be opened or is no run file of a known
  ///                             version
  explicit RunFileReader(const std::filesystem::path& path);

  RunFileReader(RunFileReader&&) noexcept;
  RunFileReader& operator=(RunFileReader&&) noexcept;
  ~RunFileReader();

  [[nodiscard]] const RunInfo& info() const;
  [[nodiscard]] int format_version() const;
  /// ISO 8601 in UTC, such as `2025-01-31T12:00:00Z`.
  [[nodiscard]] const std::string& created() const;
  /// As of opening or of the last refresh().
  [[nodiscard]] bool finished() const;
  /// As of opening or of the last refresh(); 0 while unknown.
  [[nodiscard]] int64_t peak_memory_bytes() const;

  [[nodiscard]] bool contains(std::string_view dataset) const;

  /// All datasets of the five element types, by path, with their present shapes.
  [[nodiscard]] std::vector<DatasetSpec> datasets() const;

  /// One dataset's type, shape and attributes.
  /// \throws std::runtime_error  if there is no such dataset, or it is of none of the five element types
  [[nodiscard]] DatasetSpec describe(std::string_view dataset) const;

  /// A whole dataset. T is double, int64_t, int32_t, uint8_t or std::string, and must be the stored type.
  /// \throws std::runtime_error  if there is no such dataset, its type differs, or it cannot be read
  template <typename T>
  [[nodiscard]] DatasetValues<T> read(std::string_view dataset) const;

  /// Rows [first, first + count) of a dataset: that part of its first dimension, all of the others.
  /// \throws std::invalid_argument  if the dataset has no such rows
  /// \throws std::runtime_error     as read()
  template <typename T>
  [[nodiscard]] DatasetValues<T> read_rows(std::string_view dataset, int64_t first, int64_t count) const;

  /// Opens the file anew, to see what has been flushed since.
  /// \throws std::runtime_error  as the constructor; the reader is then of no use until a refresh() succeeds
  void refresh();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hessian::experiments
