#include <algorithm>
#include <set>
#include <stdexcept>

#include "hessian/run_file.h"
#include "run_file/dataset_checks.h"

namespace hessian::experiments {
namespace {

// Number of bytes that are copied at a time: large enough to hide the cost of a call.
constexpr int64_t copy_bytes = int64_t{4} * 1024 * 1024;

std::string about(const std::string& shown, const std::string& dataset) {
  return shown + ": dataset '" + dataset + "' ";
}

void check_rows_to_keep(const std::string& shown, const std::vector<DatasetSpec>& datasets,
                        const std::map<std::string, int64_t>& rows_to_keep) {
  std::set<std::string_view> appended;
  for (const DatasetSpec& dataset : datasets) {
    if (is_appended_to(dataset)) {
      appended.insert(dataset.path);
      if (!rows_to_keep.contains(dataset.path)) {
        throw std::invalid_argument(about(shown, dataset.path) + "grows, but the number of rows to keep is not given");
      }
    }
  }
  for (const auto& [path, rows] : rows_to_keep) {
    if (!appended.contains(path)) {
      throw std::invalid_argument(about(shown, path) + "is given rows to keep, but does not grow");
    }
    if (rows < 0) {
      throw std::invalid_argument(about(shown, path) + "is to keep " + std::to_string(rows) +
                                  " rows, expected 0 or more");
    }
  }
}

// Checks a dataset of the old file. `wanted` is the shape at creation, with the rows to keep if the dataset grows.
void check_old_dataset(const std::string& shown, const DatasetSpec& found, const DatasetSpec& dataset,
                       const Shape& wanted) {
  const std::string what = about(shown, dataset.path);
  if (found.type != dataset.type) {
    throw std::runtime_error(what + "holds " + std::string(element_type_name(found.type)) + ", expected " +
                             std::string(element_type_name(dataset.type)));
  }
  const bool same_rows =
      found.shape.size() == wanted.size() && std::equal(found.shape.begin() + 1, found.shape.end(), wanted.begin() + 1);
  if (!same_rows || (!is_appended_to(dataset) && found.shape != wanted)) {
    throw std::runtime_error(what + "is " + to_text(found.shape) + ", expected " +
                             (is_appended_to(dataset) ? "at least " : "") + to_text(wanted));
  }
  if (found.shape.front() < wanted.front()) {
    throw std::runtime_error(what + "has " + std::to_string(found.shape.front()) + " rows, expected at least " +
                             std::to_string(wanted.front()) + " to continue from");
  }
}

void check_nothing_is_lost(const std::string& shown, const RunFileReader& old,
                           const std::vector<DatasetSpec>& datasets) {
  for (const DatasetSpec& found : old.datasets()) {
    const auto same_path = [&](const DatasetSpec& dataset) { return dataset.path == found.path; };
    if (std::none_of(datasets.begin(), datasets.end(), same_path)) {
      throw std::runtime_error(about(shown, found.path) + "would be lost: the resumed run does not write it");
    }
  }
}

template <typename T>
void copy_rows(const RunFileReader& old, RunFileWriter& writer, const DatasetSpec& dataset, int64_t rows) {
  Shape row = dataset.shape;
  row.front() = 1;
  const int64_t element_bytes = std::max(static_cast<int64_t>(sizeof(T)), dataset.text_bytes);
  const int64_t rows_at_once =
      std::max<int64_t>(copy_bytes / std::max<int64_t>(element_bytes * element_count(row), 1), 1);
  for (int64_t first = 0; first < rows; first += rows_at_once) {
    const auto rows_read = old.read_rows<T>(dataset.path, first, std::min(rows_at_once, rows - first));
    const std::span<const T> values = rows_read.values;
    if (is_appended_to(dataset)) {
      writer.append(dataset.path, values);
    } else {
      Shape offset(rows_read.shape.size(), 0);
      offset.front() = first;
      writer.write(dataset.path, offset, rows_read.shape, values);
    }
  }
}

void copy_dataset(const RunFileReader& old, RunFileWriter& writer, const DatasetSpec& dataset, int64_t rows) {
  switch (dataset.type) {
    case ElementType::float64:
      return copy_rows<double>(old, writer, dataset, rows);
    case ElementType::int64:
      return copy_rows<int64_t>(old, writer, dataset, rows);
    case ElementType::int32:
      return copy_rows<int32_t>(old, writer, dataset, rows);
    case ElementType::uint8:
      return copy_rows<uint8_t>(old, writer, dataset, rows);
    case ElementType::text:
      return copy_rows<std::string>(old, writer, dataset, rows);
  }
}

}  // namespace

RunFileWriter RunFileWriter::continue_from(const std::filesystem::path& path, const RunInfo& info,
                                           const std::vector<DatasetSpec>& datasets,
                                           const std::map<std::string, int64_t>& rows_to_keep) {
  const std::string shown = path.string();
  check_datasets(shown, datasets);
  check_rows_to_keep(shown, datasets, rows_to_keep);
  const auto rows_of = [&](const DatasetSpec& dataset) {
    return is_appended_to(dataset) ? rows_to_keep.at(dataset.path) : dataset.shape.front();
  };

  const RunFileReader old(path);
  for (const DatasetSpec& dataset : datasets) {
    Shape wanted = dataset.shape;
    wanted.front() = rows_of(dataset);
    check_old_dataset(shown, old.describe(dataset.path), dataset, wanted);
  }
  check_nothing_is_lost(shown, old, datasets);

  return create_filled(path, info, old.created(), datasets, true, [&](RunFileWriter& writer) {
    for (const DatasetSpec& dataset : datasets) {
      copy_dataset(old, writer, dataset, rows_of(dataset));
    }
    writer.set_peak_memory_bytes(old.peak_memory_bytes());
  });
}

}  // namespace hessian::experiments
