#include "run_file/columns.h"

#include <algorithm>
#include <utility>

namespace hessian::experiments {

template <class T>
void Columns::add_as(ElementType type, const std::string& path, std::vector<T> values, const std::string& units,
                     const std::string& name, int64_t text_bytes) {
  specs_.push_back({path, type, {rows_}, units, name, text_bytes});
  writes_.emplace_back([path, rows = rows_, values = std::move(values)](RunFileWriter& writer) {
    writer.write(path, {0}, {rows}, std::span<const T>(values));
  });
}

void Columns::add(const std::string& path, std::vector<double> values, const std::string& units,
                  const std::string& name) {
  add_as(ElementType::float64, path, std::move(values), units, name);
}

void Columns::add(const std::string& path, std::vector<int64_t> values, const std::string& units,
                  const std::string& name) {
  add_as(ElementType::int64, path, std::move(values), units, name);
}

void Columns::add(const std::string& path, std::vector<uint8_t> values, const std::string& units,
                  const std::string& name) {
  add_as(ElementType::uint8, path, std::move(values), units, name);
}

void Columns::add(const std::string& path, std::vector<std::string> values, const std::string& units,
                  const std::string& name) {
  std::size_t longest = 1;
  for (const std::string& value : values) {
    longest = std::max(longest, value.size());
  }
  add_as(ElementType::text, path, std::move(values), units, name, static_cast<int64_t>(longest));
}

void Columns::write(RunFileWriter& writer) const {
  for (const auto& write_column : writes_) {
    write_column(writer);
  }
}

void write_tables(const std::filesystem::path& path, const RunInfo& info, const std::vector<Columns>& tables,
                  bool finished) {
  std::vector<DatasetSpec> specs;
  for (const Columns& table : tables) {
    specs.insert(specs.end(), table.specs().begin(), table.specs().end());
  }
  auto writer = RunFileWriter::create(path, info, specs, /*overwrite=*/true, [&tables](RunFileWriter& file) {
    for (const Columns& table : tables) {
      table.write(file);
    }
  });
  if (finished) {
    writer.finish();
  }
}

}  // namespace hessian::experiments
