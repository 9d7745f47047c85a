#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::experiments {

/// Columns of one length, to be written as datasets of a run file: a table that is known whole.
class Columns {
 public:
  explicit Columns(std::size_t rows) : rows_(static_cast<int64_t>(rows)) {}

  void add(const std::string& path, std::vector<double> values, const std::string& units, const std::string& name);
  void add(const std::string& path, std::vector<int64_t> values, const std::string& units, const std::string& name);
  void add(const std::string& path, std::vector<uint8_t> values, const std::string& units, const std::string& name);
  void add(const std::string& path, std::vector<std::string> values, const std::string& units, const std::string& name);

  /// Datasets to be laid out.
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

/// Writes tables as a run file, which appears whole; an older one is replaced.
void write_tables(const std::filesystem::path& path, const RunInfo& info, const std::vector<Columns>& tables,
                  bool finished);

/// A column of something that each of some rows has.
template <class Rows, class Value>
auto column(const Rows& rows, const Value& value) {
  std::vector<std::decay_t<decltype(value(rows.front()))>> values;
  for (const auto& row : rows) {
    values.push_back(value(row));
  }
  return values;
}

}  // namespace hessian::experiments
