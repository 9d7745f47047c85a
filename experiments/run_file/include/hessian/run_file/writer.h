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

#include "hessian/run_file/dataset_spec.h"
#include "hessian/run_file/run_info.h"

namespace hessian::experiments {

/// Writes a run file that other processes may read at the same time, and that survives the death of the writer.
///
/// The file gets its name only once all datasets exist and hold their initial contents. From then on HDF5's
/// single-writer / multiple-reader (SWMR) mode keeps it readable. If the process is killed at any instant, there is
/// either no file of that name, or one that RunFileReader opens and that holds everything written before the last
/// flush(). (A power failure may lose more: only create() and finish() wait for the disk.)
///
/// After a failed write the writer refuses further ones. The destructor never throws and prints nothing.
///
///     auto writer = RunFileWriter::create("run.h5", info,
///                                         {{"/train/loss", ElementType::float64, {0}, "nats", "loss"}});
///     for (double loss : losses) {
///       writer.append("/train/loss", std::span(&loss, 1));
///       writer.flush();
///     }
///     writer.finish();
///
/// Not thread-safe: use a writer from one thread at a time.
class RunFileWriter {
 public:
  /// Creates a file with these datasets and with `finished` = 0.
  ///
  /// \param overwrite  whether to replace a file of that name; readers that have it open keep the old one
  /// \param fill       writes the initial contents; called before the file gets its name, so that readers always see
  ///                   them
  /// \throws std::runtime_error     if the file exists and must not be replaced, or cannot be written
  /// \throws std::invalid_argument  if two datasets have the same path, or a path or a shape is malformed
  /// \throws  any exception that `fill` throws
  /// After an exception no new file is left.
  static RunFileWriter create(
      const std::filesystem::path& path, const RunInfo& info, const std::vector<DatasetSpec>& datasets,
      bool overwrite = false, const std::function<void(RunFileWriter&)>& fill = [](RunFileWriter&) {});

  /// Resumes a run that was cut short: replaces its file by a new one that holds the rows to keep.
  ///
  /// The old file, finished or left by a killed writer, remains until the new one is complete, and for good if anything
  /// fails; readers that have it open keep it. No other process may be writing it. The new file is laid out as by
  /// create(), with `finished` = 0, and keeps `created` and `peak_memory_bytes` of the old one. Datasets of fixed size
  /// are copied whole.
  ///
  /// \param rows_to_keep  for each dataset of `datasets` whose first dimension is 0: how many of its first rows to keep
  /// \throws std::runtime_error     one line that names the file and the dataset, if the old file lacks a dataset or
  ///                                rows of it, has it with another type or shape, or has one that would be lost; also
  ///                                as create() and the constructor of RunFileReader
  /// \throws std::invalid_argument  as create(), if `rows_to_keep` names other datasets or a negative number, or if a
  ///                                text of the old file is longer than the new text_bytes
  /// Memory: a few MiB, or one row if that is larger.
  static RunFileWriter continue_from(const std::filesystem::path& path, const RunInfo& info,
                                     const std::vector<DatasetSpec>& datasets,
                                     const std::map<std::string, int64_t>& rows_to_keep);

  RunFileWriter(RunFileWriter&&) noexcept;
  RunFileWriter& operator=(RunFileWriter&&) noexcept;
  ~RunFileWriter();

  /// Writes a rectangular region of a dataset, which must lie within its current shape.
  ///
  /// \param offset, count  first index and extent of the region, one number per dimension
  /// \param values         its elements, last dimension fastest
  /// \throws std::invalid_argument  if there is no such dataset, its type or shape does not match, or a text is too
  ///                                long or contains a NUL byte; nothing is written then
  /// \throws std::runtime_error     if the file cannot be written
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const double> values);
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const int64_t> values);
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const int32_t> values);
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const uint8_t> values);
  void write(std::string_view dataset, const Shape& offset, const Shape& count, std::span<const std::string> values);

  /// Appends whole rows: the first dimension grows by values.size() / (product of the other dimensions).
  ///
  /// Rows are buffered until flush() or 32 KiB per dataset; write errors are therefore reported late, by a later
  /// append(), flush() or finish().
  /// \throws  as write()
  void append(std::string_view dataset, std::span<const double> values);
  void append(std::string_view dataset, std::span<const int64_t> values);
  void append(std::string_view dataset, std::span<const int32_t> values);
  void append(std::string_view dataset, std::span<const uint8_t> values);
  void append(std::string_view dataset, std::span<const std::string> values);

  /// Returns the current shape of a dataset, buffered rows included.
  /// \throws std::invalid_argument  if there is no such dataset
  [[nodiscard]] const Shape& shape(std::string_view dataset) const;

  /// Sets the root attribute `peak_memory_bytes`.
  void set_peak_memory_bytes(int64_t bytes);

  /// Makes everything written so far visible to readers and safe from the death of this process. Costs nothing if
  /// nothing was written since the last flush().
  void flush();

  /// Flushes, sets `finished` = 1, closes the file and waits for the disk. The writer cannot be used afterwards.
  void finish();

 private:
  struct State;
  explicit RunFileWriter(std::unique_ptr<State> state);
  static RunFileWriter create_filled(const std::filesystem::path& path, const RunInfo& info, const std::string& created,
                                     const std::vector<DatasetSpec>& datasets, bool overwrite,
                                     const std::function<void(RunFileWriter&)>& fill);
  std::unique_ptr<State> state_;
};

}  // namespace hessian::experiments
