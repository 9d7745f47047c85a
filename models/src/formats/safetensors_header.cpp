#include "formats/safetensors_header.h"

#include <algorithm>
#include <tuple>

#include "io/byte_reader.h"
#include "io/json_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr std::size_t length_bytes = 8;
// The limit of the format's reference reader.
constexpr std::uint64_t longest_header = 100'000'000;

const nlohmann::json& field(const nlohmann::json& tensor, const char* key, const std::string& source,
                            const std::string& what) {
  const auto found = tensor.find(key);
  if (found == tensor.end()) {
    fail(source, "{} has no {}", what, key);
  }
  return *found;
}

std::vector<std::int64_t> read_sizes(const nlohmann::json& value, const std::string& source, const std::string& what) {
  if (!value.is_array()) {
    fail(source, "{} is {}, expected a list of integers", what, json_text(value));
  }
  std::vector<std::int64_t> sizes;
  for (const auto& element : value) {
    sizes.push_back(json_size(element, source, what));
  }
  return sizes;
}

SafetensorsEntry read_entry(const std::string& name, const nlohmann::json& tensor, std::uint64_t data_begin,
                            std::uint64_t file_size, const std::string& source) {
  const std::string what = "tensor " + name_text(name);
  if (!tensor.is_object()) {
    fail(source, "{} is {} in the header, expected an object with dtype, shape and data_offsets", what,
         json_text(tensor));
  }
  SafetensorsEntry entry;
  entry.name = name;
  const auto& dtype = field(tensor, "dtype", source, what);
  const auto type =
      dtype.is_string() ? parse_stored_type(dtype.get_ref<const std::string&>()) : std::optional<StoredType>();
  if (!type) {
    fail(source, "{} has dtype {}, which is not read here; F64, F32, F16, BF16, I64, I32, I16, I8, U8 and BOOL are",
         what, json_text(dtype));
  }
  entry.type = *type;
  entry.shape = read_sizes(field(tensor, "shape", source, what), source, "the shape of " + what);
  const auto offsets = read_sizes(field(tensor, "data_offsets", source, what), source, "data_offsets of " + what);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    fail(source, "data_offsets of {} is {}, expected its begin and its end", what, shape_text(offsets));
  }
  const std::uint64_t data_size = file_size - data_begin;
  if (static_cast<std::uint64_t>(offsets[1]) > data_size) {
    fail(source, "{} ends at byte {} of the data, but the file has {}; it may be cut short", what, offsets[1],
         data_size);
  }
  const auto wanted = byte_count(entry.shape, entry.type);
  if (!wanted) {
    fail(source, "{} has shape {}, which is too large", what, shape_text(entry.shape));
  }
  if (*wanted != static_cast<std::uint64_t>(offsets[1] - offsets[0])) {
    fail(source, "{} has {} bytes, but {} {} takes {}", what, offsets[1] - offsets[0], to_string(entry.type),
         shape_text(entry.shape), *wanted);
  }
  entry.begin = data_begin + static_cast<std::uint64_t>(offsets[0]);
  entry.end = data_begin + static_cast<std::uint64_t>(offsets[1]);
  return entry;
}

/// Checks that tensors follow each other without gaps to the end of the file, as the format requires so that no byte is
/// hidden or shared.
void check_coverage(const std::vector<SafetensorsEntry>& tensors, std::uint64_t data_begin, std::uint64_t file_size,
                    const std::string& source) {
  std::uint64_t expected = data_begin;
  for (const auto& entry : tensors) {
    if (entry.begin != expected) {
      fail(source, "tensor {} begins at byte {} of the data, expected {}: tensors {}", name_text(entry.name),
           entry.begin - data_begin, expected - data_begin, entry.begin < expected ? "overlap" : "leave a gap");
    }
    expected = entry.end;
  }
  if (expected != file_size) {
    fail(source, "{} bytes follow the last tensor, expected none", file_size - expected);
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& source) {
  if (file.size() < length_bytes) {
    fail(source, "has {} bytes, too few for a safetensors file", file.size());
  }
  const auto header_size = load_little_endian<std::uint64_t>(file);
  if (header_size > longest_header) {
    fail(source, "the header would be {} bytes long, more than {}; this is no safetensors file", header_size,
         longest_header);
  }
  if (header_size > file.size() - length_bytes) {
    fail(source, "the header says {} bytes, but only {} follow; the file is cut short", header_size,
         file.size() - length_bytes);
  }
  const auto text = as_text(file.subspan(length_bytes, static_cast<std::size_t>(header_size)));
  if (!text.starts_with('{')) {
    fail(source, "the header does not begin with '{{'; this is no safetensors file");
  }
  const nlohmann::json json = parse_json_object(text, source, "the header");

  SafetensorsHeader header;
  const std::uint64_t data_begin = length_bytes + header_size;
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      header.tensors.push_back(read_entry(name, value, data_begin, file.size(), source));
      continue;
    }
    if (!value.is_object()) {
      fail(source, "__metadata__ is {}, expected an object of strings", json_text(value));
    }
    for (const auto& [key, text_value] : value.items()) {
      if (!text_value.is_string()) {
        fail(source, "__metadata__[{}] is {}, expected a string", name_text(key), json_text(text_value));
      }
      header.metadata.emplace(key, text_value.get<std::string>());
    }
  }
  // Empty tensors take no bytes, so several may begin at the same byte.
  std::ranges::sort(header.tensors, [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_coverage(header.tensors, data_begin, file.size(), source);
  return header;
}

}  // namespace hessian::models
