#include "formats/zip_archive.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "io/byte_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr std::uint32_t local_signature = 0x04034b50;
constexpr std::uint32_t central_signature = 0x02014b50;
constexpr std::uint32_t end_signature = 0x06054b50;
constexpr std::uint32_t end64_signature = 0x06064b50;
constexpr std::uint32_t locator64_signature = 0x07064b50;

constexpr std::size_t local_size = 30;
constexpr std::size_t end_size = 22;
constexpr std::size_t locator64_size = 20;
constexpr std::size_t end64_size = 56;

/// Values of 16 and 32 bit fields that refer to the zip64 record.
constexpr std::uint16_t see_zip64_16 = 0xffff;
constexpr std::uint32_t see_zip64_32 = 0xffffffff;

struct Directory {
  std::uint64_t entries = 0;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
};

/// Returns `count` bytes from `offset` on, if the file has them.
std::optional<std::span<const std::byte>> slice(std::span<const std::byte> file, std::uint64_t offset,
                                                std::uint64_t count) {
  if (offset > file.size() || count > file.size() - offset) {
    return std::nullopt;
  }
  return file.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(count));
}

/// Finds the end record. Only a comment of at most 65535 bytes, whose length the record gives, can follow it.
std::size_t find_end_record(std::span<const std::byte> file, const std::string& source) {
  const std::size_t longest_comment = 0xffff;
  if (file.size() >= end_size) {
    const std::size_t last = file.size() - end_size;
    for (std::size_t comment = 0; comment <= std::min(last, longest_comment); ++comment) {
      const auto record = file.subspan(last - comment, end_size);
      if (load_little_endian<std::uint32_t>(record) == end_signature &&
          load_little_endian<std::uint16_t>(record.subspan(20)) == comment) {
        return last - comment;
      }
    }
  }
  fail(source, "the zip archive has no directory at its end; the file is cut short");
}

Directory read_end_record(std::span<const std::byte> file, const std::string& source) {
  const std::size_t position = find_end_record(file, source);
  ByteReader reader(file.subspan(position, end_size), source, "the zip directory");
  reader.take(4);
  const auto disk = reader.number<std::uint16_t>();
  const auto first_disk = reader.number<std::uint16_t>();
  reader.take(2);
  Directory directory;
  directory.entries = reader.number<std::uint16_t>();
  directory.size = reader.number<std::uint32_t>();
  directory.offset = reader.number<std::uint32_t>();
  const bool zip64 =
      directory.entries == see_zip64_16 || directory.size == see_zip64_32 || directory.offset == see_zip64_32;
  if (!zip64) {
    if (disk != 0 || first_disk != 0) {
      fail(source, "the zip archive is one part of several");
    }
    return directory;
  }
  const auto locator =
      position >= locator64_size ? slice(file, position - locator64_size, locator64_size) : std::nullopt;
  if (!locator || load_little_endian<std::uint32_t>(*locator) != locator64_signature) {
    return directory;  // exactly 65535 entries, or a range that the caller will find to be outside the file
  }
  const auto record = slice(file, load_little_endian<std::uint64_t>(locator->subspan(8)), end64_size);
  if (!record || load_little_endian<std::uint32_t>(*record) != end64_signature) {
    fail(source, "the zip64 directory is not where the archive says");
  }
  directory.entries = load_little_endian<std::uint64_t>(record->subspan(32));
  directory.size = load_little_endian<std::uint64_t>(record->subspan(40));
  directory.offset = load_little_endian<std::uint64_t>(record->subspan(48));
  return directory;
}

struct CentralRecord {
  std::string name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint64_t stored_size = 0;
  std::uint64_t size = 0;
  std::uint64_t header_offset = 0;
};

/// Replaces fields that are too small for their values by those of the zip64 extra field, which contains no others.
void apply_zip64(CentralRecord& record, std::span<const std::byte> extra, const std::string& source) {
  constexpr std::uint16_t zip64_field = 1;
  ByteReader fields(extra, source, "a zip entry's extra field");
  while (fields.remaining() >= 4) {
    const auto id = fields.number<std::uint16_t>();
    const auto body = fields.take(fields.number<std::uint16_t>());
    if (id != zip64_field) {
      continue;
    }
    ByteReader values(body, source, "a zip64 extra field");
    for (std::uint64_t* value : {&record.size, &record.stored_size, &record.header_offset}) {
      if (*value == see_zip64_32) {
        *value = values.number<std::uint64_t>();
      }
    }
    return;
  }
}

CentralRecord read_central_record(ByteReader& reader, const std::string& source) {
  if (reader.number<std::uint32_t>() != central_signature) {
    fail(source, "the zip directory is damaged at its byte {}", reader.position() - 4);
  }
  CentralRecord record;
  reader.take(4);  // versions
  record.flags = reader.number<std::uint16_t>();
  record.method = reader.number<std::uint16_t>();
  reader.take(8);  // time, date, checksum
  record.stored_size = reader.number<std::uint32_t>();
  record.size = reader.number<std::uint32_t>();
  const auto name_size = reader.number<std::uint16_t>();
  const auto extra_size = reader.number<std::uint16_t>();
  const auto comment_size = reader.number<std::uint16_t>();
  reader.take(8);  // disk, attributes
  record.header_offset = reader.number<std::uint32_t>();
  record.name = as_text(reader.take(name_size));
  apply_zip64(record, reader.take(extra_size), source);
  reader.take(comment_size);
  return record;
}

/// Finds the bytes of an entry after its local header, whose name and extra field have their own lengths.
ZipEntry locate(std::span<const std::byte> file, const CentralRecord& record, const std::string& source) {
  constexpr std::uint16_t encrypted = 1;
  const std::string what = "zip entry " + name_text(record.name);
  if ((record.flags & encrypted) != 0) {
    fail(source, "{} is encrypted", what);
  }
  if (record.method != 0 || record.size != record.stored_size) {
    fail(source, "{} is compressed (method {}); torch.save stores without compression, so save it with that", what,
         record.method);
  }
  const auto local = slice(file, record.header_offset, local_size);
  if (!local || load_little_endian<std::uint32_t>(*local) != local_signature) {
    fail(source, "{} is not where the zip directory says", what);
  }
  const auto name_size = load_little_endian<std::uint16_t>(local->subspan(26));
  const auto extra_size = load_little_endian<std::uint16_t>(local->subspan(28));
  const auto name = slice(file, record.header_offset + local_size, name_size);
  if (!name || as_text(*name) != record.name) {
    fail(source, "{} has another name in front of its bytes", what);
  }
  const std::uint64_t offset = record.header_offset + local_size + name_size + extra_size;
  if (!slice(file, offset, record.size)) {
    fail(source, "{} reaches beyond the end of the file", what);
  }
  return {offset, record.size};
}

}  // namespace

bool looks_like_zip(std::span<const std::byte> file) {
  return file.size() >= 4 && (load_little_endian<std::uint32_t>(file) == local_signature ||
                              load_little_endian<std::uint32_t>(file) == end_signature);
}

std::map<std::string, ZipEntry> read_zip_directory(std::span<const std::byte> file, const std::string& source) {
  const Directory directory = read_end_record(file, source);
  const auto records = slice(file, directory.offset, directory.size);
  if (!records) {
    fail(source, "the zip directory reaches beyond the end of the file");
  }
  ByteReader reader(*records, source, "the zip directory");
  std::map<std::string, ZipEntry> entries;
  for (std::uint64_t index = 0; index < directory.entries; ++index) {
    const CentralRecord record = read_central_record(reader, source);
    if (!entries.emplace(record.name, locate(file, record, source)).second) {
      fail(source, "zip entry {} comes twice", name_text(record.name));
    }
  }
  return entries;
}

}  // namespace hessian::models
