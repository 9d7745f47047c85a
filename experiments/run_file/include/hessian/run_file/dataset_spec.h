#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hessian::experiments {

enum class ElementType { float64, int64, int32, uint8, text };

/// Returns `float64`, `int64`, `int32`, `uint8` or `text`.
std::string_view element_type_name(ElementType type);

using Shape = std::vector<int64_t>;

/// A dataset of a run file.
///
/// On disk it is little-endian, chunked and extensible in every dimension. Elements that were never written read as NaN
/// (float64), -1 (signed integers), 0 (uint8) or the empty text. Texts are UTF-8, padded with NUL bytes to a common
/// length, because HDF5 cannot write texts of variable length while other processes read.
struct DatasetSpec {
  std::string path;  ///< absolute, such as `/probe/residual/spectral_norm`
  ElementType type = ElementType::float64;
  Shape shape;  ///< shape when the file is created; a first dimension of 0 means that rows will be appended
  std::string units;
  std::string long_name;
  int64_t text_bytes = 0;  ///< maximum length of a text, 1 to 1 MiB; 0 for numbers, and for variable-length texts that
                           ///< another tool wrote
  std::map<std::string, double> numbers = {};  ///< further attributes, such as the confidence of bounds

  bool operator==(const DatasetSpec&) const = default;
};

}  // namespace hessian::experiments
