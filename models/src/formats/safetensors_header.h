#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/stored_type.h"

namespace hessian::models {

/// Position of a tensor in a safetensors file. The range is in bytes from the start of the file.
struct SafetensorsEntry {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;        ///< in the order of the file
  std::map<std::string, std::string> metadata;  ///< the `__metadata__` object; empty without one
};

/// Parses and validates the header of a safetensors file, given all of its bytes: the tensors fill the rest of the file
/// without gap or overlap, each range has the size of its shape and dtype, and names are unique. Reads only the header.
/// \param source  the file's name, for the messages
/// \throws std::runtime_error  "model.safetensors: the header says 512 bytes, but only 96 follow" and the like
/// Source: the format's description in huggingface/safetensors, README.md.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& source);

}  // namespace hessian::models
