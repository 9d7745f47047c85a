#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace hessian::models {

/// Position of the bytes of one entry, from the start of the archive.
struct ZipEntry {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

/// Returns whether the bytes start with the signature of a zip archive.
bool looks_like_zip(std::span<const std::byte> file);

/// Reads the directory of a zip archive whose entries are stored without compression, as torch.save writes it. Supports
/// zip64. Does not compare checksums, which torch.save can omit.
/// \param source  the file's name, for the messages
/// \return        the entries by name
/// \throws std::runtime_error  one line, for a damaged, truncated, encrypted or compressed archive
/// Source: PKWARE, .ZIP File Format Specification (APPNOTE.TXT) 6.3, sections 4.3 and 4.5.3.
std::map<std::string, ZipEntry> read_zip_directory(std::span<const std::byte> file, const std::string& source);

}  // namespace hessian::models
