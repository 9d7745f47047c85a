#include "gguf/gguf.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "io/byte_reader.h"

namespace hessian::models {
namespace {

constexpr std::string_view magic = "GGUF";
constexpr const char* alignment_key = "general.alignment";

bool is_known(GgufType type) {
  return type <= GgufType::f64;
}

/// Returns the size of a value of a fixed size; 0 for texts and arrays.
std::size_t fixed_size(GgufType type) {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    case GgufType::u64:
    case GgufType::i64:
    case GgufType::f64:
      return 8;
    case GgufType::text:
    case GgufType::array:
      break;
  }
  return 0;
}

/// Returns the size of the smallest value of a type.
std::size_t smallest_size(GgufType type) {
  constexpr std::size_t length = 8;
  return type == GgufType::text ? length : type == GgufType::array ? 4 + length : fixed_size(type);
}

const char* describe(GgufType type) {
  switch (type) {
    case GgufType::f32:
    case GgufType::f64:
      return "a floating-point number";
    case GgufType::boolean:
      return "true or false";
    case GgufType::text:
      return "a text";
    case GgufType::array:
      return "an array";
    default:
      return "an integer";
  }
}

std::optional<std::int64_t> integer_of(GgufType type, std::span<const std::byte> bytes) {
  switch (type) {
    case GgufType::u8:
      return load_little_endian<std::uint8_t>(bytes);
    case GgufType::i8:
      return load_little_endian<std::int8_t>(bytes);
    case GgufType::u16:
      return load_little_endian<std::uint16_t>(bytes);
    case GgufType::i16:
      return load_little_endian<std::int16_t>(bytes);
    case GgufType::u32:
      return load_little_endian<std::uint32_t>(bytes);
    case GgufType::i32:
      return load_little_endian<std::int32_t>(bytes);
    case GgufType::i64:
      return load_little_endian<std::int64_t>(bytes);
    case GgufType::u64: {
      const auto value = load_little_endian<std::uint64_t>(bytes);
      return value > std::numeric_limits<std::int64_t>::max() ? std::nullopt
                                                              : std::optional(static_cast<std::int64_t>(value));
    }
    default:
      return std::nullopt;
  }
}

std::optional<double> number_of(GgufType type, std::span<const std::byte> bytes) {
  if (type == GgufType::f32) {
    return load_little_endian<float>(bytes);
  }
  if (type == GgufType::f64) {
    return load_little_endian<double>(bytes);
  }
  const auto integer = integer_of(type, bytes);
  return integer ? std::optional(static_cast<double>(*integer)) : std::nullopt;
}

std::optional<std::string> text_of(GgufType type, std::span<const std::byte> bytes) {
  if (type != GgufType::text) {
    return std::nullopt;
  }
  return std::string(as_text(bytes.subspan(sizeof(std::uint64_t))));
}

/// Reads the header.
class Parser {
 public:
  Parser(std::span<const std::byte> file, const std::string& source)
      : file_(file), source_(source), reader_(file, source, "the file") {}

  GgufHeader parse() {
    check_start();
    const auto tensors = count("tensors", 24);
    const auto keys = count("metadata keys", 13);
    GgufHeader header{.metadata = GgufMetadata(source_)};
    for (std::uint64_t i = 0; i < keys; ++i) {
      std::string key = text();
      const GgufType type = value_type("the value of " + name_text(key));
      header.metadata.add(std::move(key), value(type));
    }
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t i = 0; i < tensors; ++i) {
      header.tensors.push_back(tensor());
      offsets.push_back(reader_.number<std::uint64_t>());
    }
    header.size = reader_.position();
    place(header, offsets);
    check_names_and_ranges(header);
    return header;
  }

 private:
  void check_start() {
    if (!looks_like_gguf(file_)) {
      fail(source_, "does not begin with 'GGUF'; this is no GGUF file");
    }
    reader_.take(magic.size());
    const auto version = reader_.number<std::uint32_t>();
    // A version in the other byte order has zeros where its value should be.
    if ((version & 0xffffU) == 0) {
      fail(source_, "is a big-endian GGUF file; only little-endian ones are read");
    }
    if (version != 2 && version != 3) {
      fail(source_, "is GGUF version {}, but only versions 2 and 3 are read", version);
    }
  }

  /// Reads a number of things that take `size` bytes each at least.
  std::uint64_t count(const char* what, std::size_t size) {
    const auto number = reader_.number<std::uint64_t>();
    if (number > reader_.remaining() / size) {
      fail(source_, "says that it has {} {}, but only {} bytes follow", number, what, reader_.remaining());
    }
    return number;
  }

  std::string text() { return std::string(as_text(reader_.take(reader_.number<std::uint64_t>()))); }

  GgufType value_type(const std::string& what) {
    const auto type = static_cast<GgufType>(reader_.number<std::uint32_t>());
    if (!is_known(type)) {
      fail(source_, "{} has the unknown type {}", what, static_cast<std::uint32_t>(type));
    }
    return type;
  }

  GgufValue value(GgufType type) {
    const std::size_t begin = reader_.position();
    skip(type, 0);
    return {type, file_.subspan(begin, reader_.position() - begin)};
  }

  void skip(GgufType type, int depth) {
    if (type == GgufType::text) {
      reader_.take(reader_.number<std::uint64_t>());
    } else if (type == GgufType::array) {
      skip_array(depth + 1);
    } else {
      reader_.take(fixed_size(type));
    }
  }

  void skip_array(int depth) {
    constexpr int deepest = 8;
    if (depth > deepest) {
      fail(source_, "has arrays within arrays, more than {} deep", deepest);
    }
    const GgufType type = value_type("an element of an array");
    const auto length = count("elements in an array", smallest_size(type));
    if (const std::size_t size = fixed_size(type); size != 0) {
      reader_.take(length * size);
      return;
    }
    for (std::uint64_t i = 0; i < length; ++i) {
      skip(type, depth);
    }
  }

  GgufTensor tensor() {
    constexpr std::uint32_t max_dimensions = 4;
    GgufTensor result;
    result.name = text();
    const auto dimensions = reader_.number<std::uint32_t>();
    if (dimensions > max_dimensions) {
      fail(source_, "tensor {} has {} dimensions, expected {} or fewer", name_text(result.name), dimensions,
           max_dimensions);
    }
    for (std::uint32_t i = 0; i < dimensions; ++i) {
      const auto size = reader_.number<std::uint64_t>();
      if (size > std::numeric_limits<std::int64_t>::max()) {
        fail(source_, "tensor {} has {} entries in one dimension, which is too many", name_text(result.name), size);
      }
      result.shape.push_back(static_cast<std::int64_t>(size));
    }
    // The format lists the dimension of adjacent entries first.
    std::ranges::reverse(result.shape);
    const auto type = reader_.number<std::uint32_t>();
    result.format = find_block_format(type);
    if (result.format == nullptr) {
      fail(source_, "tensor {} has the unknown type {}", name_text(result.name), type);
    }
    return result;
  }

  std::uint64_t alignment(const GgufMetadata& metadata) const {
    constexpr std::int64_t usual = 32;
    constexpr std::int64_t smallest = 8;
    constexpr std::int64_t largest = std::int64_t{1} << 30;
    const auto value = metadata.integer(alignment_key).value_or(usual);
    if (value < smallest || value > largest || !std::has_single_bit(static_cast<std::uint64_t>(value))) {
      fail(source_, "'{}' is {}, expected a power of two from {} to {}", alignment_key, value, smallest, largest);
    }
    return static_cast<std::uint64_t>(value);
  }

  /// Returns the size of a tensor's data.
  std::uint64_t size_of(const GgufTensor& tensor) const {
    const auto entries = element_count(tensor.shape);
    const std::uint64_t row = tensor.shape.empty() ? 1 : static_cast<std::uint64_t>(tensor.shape.back());
    const BlockFormat& format = *tensor.format;
    if (row % format.values != 0) {
      fail(source_, "tensor {} has rows of {} entries, but {} stores {} together", name_text(tensor.name), row,
           format.name, format.values);
    }
    std::uint64_t bytes = 0;
    if (!entries || __builtin_mul_overflow(*entries / format.values, format.bytes, &bytes)) {
      fail(source_, "tensor {} has shape {}, which is too large", name_text(tensor.name), shape_text(tensor.shape));
    }
    return bytes;
  }

  /// Finds the data of all tensors, which begin at offsets from the end of the header, padded to the alignment.
  void place(GgufHeader& header, const std::vector<std::uint64_t>& offsets) const {
    const std::uint64_t step = alignment(header.metadata);
    const std::uint64_t data = (header.size + step - 1) / step * step;
    const std::uint64_t available = data > file_.size() ? 0 : file_.size() - data;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      GgufTensor& tensor = header.tensors[i];
      const std::uint64_t size = size_of(tensor);
      if (offsets[i] % step != 0) {
        fail(source_, "tensor {} begins at byte {} of the data, expected a multiple of {}", name_text(tensor.name),
             offsets[i], step);
      }
      if (offsets[i] > available || size > available - offsets[i]) {
        fail(source_, "tensor {} takes {} bytes from byte {} of the data on, but the file has {}; it may be cut short",
             name_text(tensor.name), size, offsets[i], available);
      }
      tensor.begin = data + offsets[i];
      tensor.end = tensor.begin + size;
    }
  }

  void check_names_and_ranges(const GgufHeader& header) const {
    std::set<std::string_view> names;
    std::vector<const GgufTensor*> order;
    for (const GgufTensor& tensor : header.tensors) {
      if (!names.insert(tensor.name).second) {
        fail(source_, "tensor {} comes twice", name_text(tensor.name));
      }
      if (tensor.begin != tensor.end) {
        order.push_back(&tensor);
      }
    }
    std::ranges::sort(order, {}, [](const GgufTensor* tensor) { return tensor->begin; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (order[i]->begin < order[i - 1]->end) {
        fail(source_, "tensors {} and {} overlap", name_text(order[i - 1]->name), name_text(order[i]->name));
      }
    }
  }

  std::span<const std::byte> file_;
  const std::string& source_;
  ByteReader reader_;
};

}  // namespace

void GgufMetadata::add(std::string key, GgufValue value) {
  const auto [entry, is_new] = values_.emplace(std::move(key), value);
  if (!is_new) {
    fail(source_, "the metadata has {} twice", name_text(entry->first));
  }
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

void GgufMetadata::refuse(std::string_view key, const GgufValue& value, const char* expected) const {
  fail(source_, "{} is {}, expected {}", name_text(key), describe(value.type), expected);
}

bool GgufMetadata::is_array(std::string_view key) const {
  const GgufValue* value = find(key);
  return value != nullptr && value->type == GgufType::array;
}

std::optional<std::int64_t> GgufMetadata::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const auto result = integer_of(value->type, value->bytes);
  if (!result) {
    refuse(key, *value, "an integer below 2^63");
  }
  return result;
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const auto result = number_of(value->type, value->bytes);
  if (!result) {
    refuse(key, *value, "a number");
  }
  return result;
}

std::optional<bool> GgufMetadata::flag(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->type != GgufType::boolean) {
    refuse(key, *value, "true or false");
  }
  const auto byte = load_little_endian<std::uint8_t>(value->bytes);
  if (byte > 1) {
    fail(source_, "{} is {}, expected 0 (false) or 1 (true)", name_text(key), byte);
  }
  return byte == 1;
}

std::optional<std::string> GgufMetadata::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  auto result = text_of(value->type, value->bytes);
  if (!result) {
    refuse(key, *value, "a text");
  }
  return result;
}

/// Reads the elements of an array. The parser has checked that they are all there.
template <typename Element, typename Read>
std::optional<std::vector<Element>> GgufMetadata::elements(std::string_view key, const char* expected,
                                                           const Read& read) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->type != GgufType::array) {
    refuse(key, *value, expected);
  }
  ByteReader reader(value->bytes, source_, "an array");
  const auto type = static_cast<GgufType>(reader.number<std::uint32_t>());
  const auto count = reader.number<std::uint64_t>();
  std::vector<Element> result;
  // Arrays of arrays are refused below, at the first element.
  result.reserve(type == GgufType::array ? 0 : static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    std::span<const std::byte> bytes;
    if (type == GgufType::text) {
      const auto rest = value->bytes.subspan(reader.position());
      const auto length = reader.number<std::uint64_t>();
      reader.take(length);
      bytes = rest.first(sizeof(std::uint64_t) + static_cast<std::size_t>(length));
    } else {
      bytes = reader.take(fixed_size(type));
    }
    auto element = read(type, bytes);
    if (!element) {
      fail(source_, "{} has {} in it, expected {}", name_text(key), describe(type), expected);
    }
    result.push_back(*std::move(element));
  }
  return result;
}

std::optional<std::vector<std::string>> GgufMetadata::texts(std::string_view key) const {
  return elements<std::string>(key, "an array of texts", text_of);
}

std::optional<std::vector<std::int64_t>> GgufMetadata::integers(std::string_view key) const {
  return elements<std::int64_t>(key, "an array of integers", integer_of);
}

std::optional<std::vector<double>> GgufMetadata::numbers(std::string_view key) const {
  return elements<double>(key, "an array of numbers", number_of);
}

bool looks_like_gguf(std::span<const std::byte> file) {
  return as_text(file).starts_with(magic);
}

GgufHeader parse_gguf(std::span<const std::byte> file, const std::string& source) {
  return Parser(file, source).parse();
}

}  // namespace hessian::models
