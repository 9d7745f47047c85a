#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::experiments {

/// Holds a table and writes it to a run file, one dataset per column. All columns have `rows` entries.
class Columns {
 public:
  explicit Columns(std::size_t rows) : rows_(static_cast<int64_t>(rows)) {}

  void add(const std::string& path, std::vector<double> values, const std::string& units, const std::string& name);
  void add(const std::string& path, std::vector<int64_t> values, const std::string& units, const std::string& name);
  void add(const std::string& path, std::vector<uint8_t> values, const std::string& units, const std::string& name);
  void add(const std::string& path, std::vector<std::string> values, const std::string& units, const std::string& name);

  /// Returns the specifications of the datasets, for RunFileWriter::create().
  const std::vector<DatasetSpec>& specs() const { return specs_; }
  void write(RunFileWriter& writer) const;

 private:
  template <class T>
  void add_as(ElementType type, const std::string& path, std::vector<T> values, const std::string& units,
              const std::string& name, int64_t text_bytes = 0);

  int64_t rows_;
  std::vector<DatasetSpec> specs_;
  std::vector<std::function<void(RunFileWriter&)>> writes_;
};

/// Writes tables to a run file atomically. Replaces an existing file.
void write_tables(const std::filesystem::path& path, const RunInfo& info, const std::vector<Columns>& tables,
                  bool finished);

/// Returns the column that has the entry value(row) for each row.
template <class Rows, class Value>
auto column(const Rows& rows, const Value& value) {
  std::vector<std::decay_t<decltype(value(rows.front()))>> values;
  for (const auto& row : rows) {
    values.push_back(value(row));
  }
  return values;
}

}  // namespace hessian::experiments
