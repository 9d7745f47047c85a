#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/block_format.h"
#include "io/messages.h"

namespace hessian::models {

/// The types of metadata values, numbered as in the format.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

/// A metadata value: its type and its bytes in the file. The bytes of an array begin with the type and the number of
/// its elements.
struct GgufValue {
  GgufType type = GgufType::u8;
  std::span<const std::byte> bytes;
};

/// The metadata of a GGUF file. The file must stay in memory. Each function returns nothing if the key is absent, and
/// throws std::runtime_error if its value has another type: "model.gguf: 'llama.block_count' is a text, expected an
/// integer".
class GgufMetadata {
 public:
  /// \param source  the file's name, for messages
  explicit GgufMetadata(std::string source) : source_(std::move(source)) {}

  /// \throws std::runtime_error  if the key was added before
  void add(std::string key, GgufValue value);

  const std::string& source() const { return source_; }
  bool contains(std::string_view key) const { return values_.contains(key); }
  bool is_array(std::string_view key) const;

  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;  ///< an integer or a floating-point number
  std::optional<bool> flag(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  std::optional<std::vector<std::string>> texts(std::string_view key) const;
  std::optional<std::vector<std::int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<double>> numbers(std::string_view key) const;

  /// Returns the value that a function above found.
  /// \throws std::runtime_error  "model.gguf: the metadata has no 'llama.block_count'" if it found none
  template <typename Value>
  Value required(std::optional<Value> value, std::string_view key) const {
    if (!value) {
      fail(source_, "the metadata has no {}", name_text(key));
    }
    return *std::move(value);
  }

 private:
  const GgufValue* find(std::string_view key) const;
  [[noreturn]] void refuse(std::string_view key, const GgufValue& value, const char* expected) const;
  template <typename Element, typename Read>
  std::optional<std::vector<Element>> elements(std::string_view key, const char* expected, const Read& read) const;

  std::string source_;
  std::map<std::string, GgufValue, std::less<>> values_;
};

/// A tensor of a GGUF file. The range is in bytes from the start of the file.
struct GgufTensor {
  std::string name;
  const BlockFormat* format = nullptr;
  std::vector<std::int64_t> shape;  ///< row-major: the blocks divide the last dimension
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct GgufHeader {
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors = {};  ///< in the order of the file
  std::size_t size = 0;                  ///< bytes in front of the tensors' data, without padding
};

/// Returns whether the bytes begin with the magic number of GGUF.
bool looks_like_gguf(std::span<const std::byte> file);

/// Parses and validates the header of a GGUF file of version 2 or 3, given all of its bytes: names are unique, and each
/// tensor is aligned, lies inside the file and does not overlap another. Numbers in the file decide allocations only
/// after they are compared with the bytes that follow. Does not read the tensors' data.
/// \param source  the file's name, for messages
/// \throws std::runtime_error  "model.gguf: tensor 'output.weight' ends at byte 800 of the data, but the file has 512;
///                             it may be cut short" and the like
/// Source: ggml-org/ggml, docs/gguf.md.
GgufHeader parse_gguf(std::span<const std::byte> file, const std::string& source);

}  // namespace hessian::models
