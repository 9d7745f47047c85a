#pragma once

#include <ATen/ATen.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/safetensors.h"

namespace hessian::support {

/// A temporary folder, removed at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "hessian-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::runtime_error("cannot make a temporary folder");
    }
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, error);
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

  /// Writes a file into the folder and returns its path.
  std::string write(const std::string& name, const std::string& contents) const {
    std::ofstream(path_ / name, std::ios::binary) << contents;
    return *this / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

using Tensors = std::map<std::string, at::Tensor>;
using Metadata = std::map<std::string, std::string>;

/// Copies the safetensors file `from` to `to` after changing its tensors and metadata by `change(tensors, metadata)`.
template <typename Change>
void write_changed(const std::string& from, const std::string& to, const Change& change) {
  const auto original = models::load_safetensors(from);
  Tensors tensors(original.tensors.begin(), original.tensors.end());
  Metadata metadata = original.metadata;
  change(tensors, metadata);
  Parameters changed;
  for (const auto& [name, tensor] : tensors) {
    changed.add(name, tensor);
  }
  models::save_safetensors(to, changed, metadata);
}

/// Returns a number as little-endian bytes.
template <typename Number>
std::string little_endian(Number number) {
  std::string bytes(sizeof(Number), '\0');
  std::memcpy(bytes.data(), &number, sizeof(Number));
  return bytes;
}

/// Returns a safetensors file with this header, followed by these bytes.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return little_endian(static_cast<std::uint64_t>(header.size())) + header + data;
}

struct ZipMember {
  std::string name;
  std::string contents;
  std::uint16_t method = 0;
  std::uint16_t flags = 0;
};

/// Returns a zip archive, written from the description of the format; with zip64 records for all entries if `zip64` is
/// set.
inline std::string zip_bytes(const std::vector<ZipMember>& members, bool zip64 = false,
                             const std::string& comment = "") {
  std::string file;
  std::string directory;
  for (const auto& member : members) {
    const auto offset = static_cast<std::uint64_t>(file.size());
    const auto size = static_cast<std::uint64_t>(member.contents.size());
    const std::uint32_t short_size = zip64 ? 0xffffffffU : static_cast<std::uint32_t>(size);
    const std::string sizes = little_endian(short_size) + little_endian(short_size);
    const auto name_size = little_endian(static_cast<std::uint16_t>(member.name.size()));
    const std::string head = little_endian(member.flags) + little_endian(member.method) + std::string(8, '\0') + sizes;
    file += "PK\x03\x04" + little_endian<std::uint16_t>(45) + head + name_size + little_endian<std::uint16_t>(3) +
            member.name + "pad" + member.contents;
    std::string extra;
    if (zip64) {
      extra = little_endian<std::uint16_t>(1) + little_endian<std::uint16_t>(24) + little_endian(size) +
              little_endian(size) + little_endian(offset);
    }
    const std::uint32_t short_offset = zip64 ? 0xffffffffU : static_cast<std::uint32_t>(offset);
    directory += "PK\x01\x02" + std::string(4, '\0') + head + name_size +
                 little_endian(static_cast<std::uint16_t>(extra.size())) + std::string(10, '\0') +
                 little_endian(short_offset) + member.name + extra;
    // The fixed part of a record is 46 bytes: signature 4, versions 4, head 20, lengths 6, disk and attributes 8,
    // offset 4.
  }
  const auto begin = static_cast<std::uint64_t>(file.size());
  const auto size = static_cast<std::uint64_t>(directory.size());
  const auto count = static_cast<std::uint64_t>(members.size());
  file += directory;
  if (zip64) {
    const auto record = static_cast<std::uint64_t>(file.size());
    file += "PK\x06\x06" + little_endian<std::uint64_t>(44) + std::string(12, '\0') + little_endian(count) +
            little_endian(count) + little_endian(size) + little_endian(begin);
    file += std::string("PK\x06\x07") + std::string(4, '\0') + little_endian(record) + little_endian<std::uint32_t>(1);
  }
  const std::uint16_t short_count = zip64 ? 0xffffU : static_cast<std::uint16_t>(count);
  file += "PK\x05\x06" + std::string(4, '\0') + little_endian(short_count) + little_endian(short_count) +
          little_endian(zip64 ? 0xffffffffU : static_cast<std::uint32_t>(size)) +
          little_endian(zip64 ? 0xffffffffU : static_cast<std::uint32_t>(begin)) +
          little_endian(static_cast<std::uint16_t>(comment.size())) + comment;
  return file;
}

}  // namespace hessian::support
