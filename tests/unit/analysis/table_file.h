#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::tests {

inline experiments::RunInfo info_of(const std::string& program) {
  experiments::RunInfo info;
  info.program = program;
  info.model = "{}";
  return info;
}

/// Returns one member of each row.
template <class Row, class T>
std::vector<T> column_of(const std::vector<Row>& rows, T Row::*member) {
  std::vector<T> column;
  for (const Row& row : rows) {
    column.push_back(row.*member);
  }
  return column;
}

/// Columns of one length as a run file.
class TableFile {
 public:
  void add(const std::string& path, std::vector<double> values) {
    add_as(path, experiments::ElementType::float64, std::move(values));
  }
  void add(const std::string& path, std::vector<int64_t> values) {
    add_as(path, experiments::ElementType::int64, std::move(values));
  }
  void add(const std::string& path, std::vector<uint8_t> values) {
    add_as(path, experiments::ElementType::uint8, std::move(values));
  }
  void add(const std::string& path, std::vector<std::string> values) {
    add_as(path, experiments::ElementType::text, std::move(values));
  }

  void write(const std::filesystem::path& path) const {
    std::filesystem::create_directories(path.parent_path());
    auto writer = experiments::RunFileWriter::create(path, info_of("test"), specs_, true);
    for (const auto& write_column : writes_) {
      write_column(writer);
    }
    writer.finish();
  }

 private:
  template <class T>
  void add_as(const std::string& path, experiments::ElementType type, std::vector<T> values) {
    const auto rows = static_cast<int64_t>(values.size());
    specs_.push_back({path, type, {rows}, "1", "test", type == experiments::ElementType::text ? 80 : 0});
    writes_.emplace_back([path, rows, values = std::move(values)](experiments::RunFileWriter& writer) {
      writer.write(path, {0}, {rows}, std::span<const T>(values));
    });
  }

  std::vector<experiments::DatasetSpec> specs_;
  std::vector<std::function<void(experiments::RunFileWriter&)>> writes_;
};

}  // namespace hessian::tests
