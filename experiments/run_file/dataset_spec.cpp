#include "hessian/run_file/dataset_spec.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "run_file/dataset_checks.h"
#include "run_file/element_type.h"

namespace hessian::experiments {
namespace {

void check_text_bytes(const DatasetSpec& dataset, const std::string& what) {
  const int64_t bytes = dataset.text_bytes;
  if (dataset.type != ElementType::text && bytes != 0) {
    throw std::invalid_argument(what + " holds " + std::string(element_type_name(dataset.type)) +
                                " and has text_bytes " + std::to_string(bytes) + ", expected 0");
  }
  if (dataset.type == ElementType::text && (bytes < 1 || bytes > max_text_bytes)) {
    throw std::invalid_argument(what + " holds text and has text_bytes " + std::to_string(bytes) + ", expected 1 to " +
                                std::to_string(max_text_bytes));
  }
}

}  // namespace

std::string_view element_type_name(ElementType type) {
  switch (type) {
    case ElementType::float64:
      return "float64";
    case ElementType::int64:
      return "int64";
    case ElementType::int32:
      return "int32";
    case ElementType::uint8:
      return "uint8";
    case ElementType::text:
      return "text";
  }
  return "unknown";
}

std::string to_text(const Shape& shape) {
  std::string text = "[";
  for (const int64_t extent : shape) {
    text += text.size() > 1 ? ", " : "";
    text += std::to_string(extent);
  }
  return text + "]";
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) {
    count *= extent;
  }
  return count;
}

bool is_appended_to(const DatasetSpec& dataset) {
  return dataset.shape.front() == 0;
}

void check_datasets(const std::string& file, const std::vector<DatasetSpec>& datasets) {
  std::set<std::string_view> seen;
  for (const DatasetSpec& dataset : datasets) {
    const std::string& path = dataset.path;
    const Shape& shape = dataset.shape;
    const std::string what = file + ": dataset '" + path + "'";
    if (path.size() < 2 || path.front() != '/' || path.back() == '/' || path.find("//") != std::string::npos) {
      throw std::invalid_argument(what + " is not an absolute path, such as /train/loss");
    }
    if (shape.empty() || std::any_of(shape.begin(), shape.end(), [](int64_t extent) { return extent < 0; })) {
      throw std::invalid_argument(what + " has shape " + to_text(shape) +
                                  ", expected one or more dimensions, none negative");
    }
    check_text_bytes(dataset, what);
    if (!seen.insert(path).second) {
      throw std::invalid_argument(what + " is given twice");
    }
  }
}

}  // namespace hessian::experiments
