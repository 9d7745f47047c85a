#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "loader_support.h"

namespace hessian::support {

/// Returns a text as GGUF stores it.
inline std::string gguf_text(const std::string& text) {
  return little_endian<std::uint64_t>(text.size()) + text;
}

/// Writes GGUF files, from the description of the format.
class GgufWriter {
 public:
  std::uint32_t version = 3;
  std::size_t alignment = 32;  ///< of the data; written to the metadata only by number()

  void number(const std::string& key, std::uint32_t value) { raw(key, 4, little_endian(value)); }
  void real(const std::string& key, float value) { raw(key, 6, little_endian(value)); }
  void flag(const std::string& key, bool value) { raw(key, 7, std::string(1, value ? '\x01' : '\0')); }
  void text(const std::string& key, const std::string& value) { raw(key, 8, gguf_text(value)); }
  void texts(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes;
    for (const auto& value : values) {
      bytes += gguf_text(value);
    }
    array(key, 8, values.size(), bytes);
  }
  void numbers(const std::string& key, const std::vector<std::int32_t>& values) {
    std::string bytes;
    for (const std::int32_t value : values) {
      bytes += little_endian(value);
    }
    array(key, 5, values.size(), bytes);
  }
  void reals(const std::string& key, const std::vector<float>& values) {
    std::string bytes;
    for (const float value : values) {
      bytes += little_endian(value);
    }
    array(key, 6, values.size(), bytes);
  }
  void array(const std::string& key, std::uint32_t type, std::uint64_t count, const std::string& bytes) {
    raw(key, 9, little_endian(type) + little_endian(count) + bytes);
  }
  /// Adds a value, or replaces the one of this key.
  void raw(const std::string& key, std::uint32_t type, const std::string& bytes) {
    remove(key);
    values_.emplace_back(key, little_endian(type) + bytes);
  }
  void repeat_last_value() { values_.push_back(values_.back()); }
  void remove(const std::string& key) {
    std::erase_if(values_, [&](const auto& value) { return value.first == key; });
  }

  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> sizes;  ///< of adjacent entries first
    std::uint32_t type = 0;
    std::string data;
    std::uint64_t shift = 0;  ///< added to the offset in the header
  };
  std::vector<Tensor> tensors;

  /// Returns the file.
  std::string bytes() const {
    std::string header = "GGUF" + little_endian(version) + little_endian<std::uint64_t>(tensors.size()) +
                         little_endian<std::uint64_t>(values_.size());
    for (const auto& [key, value] : values_) {
      header += gguf_text(key) + value;
    }
    std::string data;
    for (const Tensor& tensor : tensors) {
      header += gguf_text(tensor.name) + little_endian(static_cast<std::uint32_t>(tensor.sizes.size()));
      for (const std::uint64_t size : tensor.sizes) {
        header += little_endian(size);
      }
      header += little_endian(tensor.type) + little_endian<std::uint64_t>(data.size() + tensor.shift);
      data += tensor.data;
      pad(data);
    }
    pad(header);
    return header + data;
  }

 private:
  void pad(std::string& bytes) const { bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0'); }

  std::vector<std::pair<std::string, std::string>> values_;
};

}  // namespace hessian::support
