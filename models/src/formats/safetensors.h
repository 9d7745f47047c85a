#pragma once

#include <map>
#include <memory>
#include <string>

#include "formats/safetensors_header.h"
#include "hessian/parameters.h"
#include "io/mapped_file.h"

namespace hessian::models {

/// The contents of a safetensors file. The tensors are views of the mapped file, which they keep alive.
struct SafetensorsFile {
  Parameters tensors;  ///< in the order and the types of the file
  std::map<std::string, std::string> metadata;
};

/// Maps a safetensors file.
/// \throws std::runtime_error  one line, beginning with the path, for anything that is not a valid safetensors file
SafetensorsFile load_safetensors(const std::string& path);

/// Does the same for a mapped file whose header has been parsed.
SafetensorsFile tensors_of(const std::shared_ptr<const MappedFile>& file, SafetensorsHeader header);

/// Writes tensors (from any device, of any layout) and metadata; the file appears whole or not at all. Wider types come
/// first, so that every tensor is aligned to its element size; otherwise the order is kept.
/// \throws std::runtime_error  one line, beginning with the path; also for a dtype that StoredType does not have
void save_safetensors(const std::string& path, const Parameters& tensors,
                      const std::map<std::string, std::string>& metadata);

}  // namespace hessian::models
