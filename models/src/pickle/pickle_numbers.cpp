#include "pickle/pickle_numbers.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <variant>

namespace hessian::models {
namespace {

using NodeId = Pickle::NodeId;
using Kind = Pickle::Kind;
using Scalar = std::variant<std::int64_t, double, bool>;

/// Returns the bytes of a bytes object. Below protocol 3, pickle writes them as a call of `_codecs.encode` with the text
/// that has one character, U+0000 to U+00FF, per byte.
std::optional<std::string> as_byte_string(const Pickle& pickle, NodeId id) {
  if (pickle[id].kind == Kind::bytes) {
    return pickle[id].text;
  }
  const auto arguments = pickle.arguments(id);
  if (!pickle.is_call_of(id, "_codecs encode") || arguments.empty() || pickle[arguments[0]].kind != Kind::string) {
    return std::nullopt;
  }
  const std::string& text = pickle[arguments[0]].text;
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
      continue;
    }
    // U+0080 to U+00FF in UTF-8: 110000xx 10xxxxxx.
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if ((lead != 0xc2 && lead != 0xc3) || (next & 0xc0U) != 0x80) {
      return std::nullopt;
    }
    bytes += static_cast<char>(((lead & 3U) << 6U) | (next & 0x3fU));
    ++i;
  }
  return bytes;
}

struct Dtype {
  char kind = 0;  ///< as in numpy: i, u, f, b
  std::size_t size = 0;
  bool big_endian = false;
};

/// Reads a dtype object: a call of `numpy.dtype` with ('i8', ...), whose state is (version, byte order, ...).
std::optional<Dtype> as_dtype(const Pickle& pickle, NodeId id) {
  const auto arguments = pickle.arguments(id);
  if (!pickle.is_call_of(id, "numpy dtype") || arguments.empty() || pickle[arguments[0]].kind != Kind::string) {
    return std::nullopt;
  }
  std::string_view word = pickle[arguments[0]].text;
  Dtype dtype;
  if (word.starts_with('<') || word.starts_with('>') || word.starts_with('=') || word.starts_with('|')) {
    dtype.big_endian = word.front() == '>';
    word.remove_prefix(1);
  }
  if (word.size() != 2 || std::string_view("iufb").find(word[0]) == std::string_view::npos || word[1] < '1' ||
      word[1] > '8') {
    return std::nullopt;
  }
  dtype.kind = word[0];
  dtype.size = static_cast<std::size_t>(word[1] - '0');
  const auto& items = pickle[id].items;
  if (items.size() > 2 && pickle[items[2]].kind == Kind::tuple && pickle[items[2]].items.size() > 1) {
    const auto& order = pickle[pickle[items[2]].items[1]];
    dtype.big_endian = order.kind == Kind::string && order.text == ">";
  }
  return dtype;
}

std::optional<double> real_of_bits(std::uint64_t bits, std::size_t size) {
  if (size == 8) {
    return std::bit_cast<double>(bits);
  }
  if (size == 4) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  }
  if (size != 2) {
    return std::nullopt;
  }
  constexpr int bias = 15;  // IEEE 754 binary16
  const auto exponent = static_cast<int>((bits >> 10U) & 0x1fU);
  const auto fraction = static_cast<double>(bits & 0x3ffU);
  double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias - 10) : std::ldexp(1024 + fraction, exponent - bias - 10);
  if (exponent == 0x1f) {
    magnitude = fraction == 0 ? INFINITY : NAN;
  }
  return (bits >> 15U) != 0 ? -magnitude : magnitude;
}

std::optional<Scalar> as_numpy_scalar(const Pickle& pickle, NodeId id) {
  const bool scalar =
      pickle.is_call_of(id, "numpy.core.multiarray scalar") || pickle.is_call_of(id, "numpy._core.multiarray scalar");
  const auto arguments = pickle.arguments(id);
  if (!scalar || arguments.size() < 2) {
    return std::nullopt;
  }
  const auto dtype = as_dtype(pickle, arguments[0]);
  auto bytes = as_byte_string(pickle, arguments[1]);
  if (!dtype || !bytes || bytes->size() != dtype->size) {
    return std::nullopt;
  }
  if (dtype->big_endian) {
    std::ranges::reverse(*bytes);
  }
  std::uint64_t bits = 0;
  std::memcpy(&bits, bytes->data(), bytes->size());
  switch (dtype->kind) {
    case 'b':
      return Scalar(bits != 0);
    case 'f':
      if (const auto real = real_of_bits(bits, dtype->size)) {
        return Scalar(*real);
      }
      return std::nullopt;
    case 'u':
      if (bits > static_cast<std::uint64_t>(INT64_MAX)) {
        return std::nullopt;
      }
      return Scalar(static_cast<std::int64_t>(bits));
    default: {
      const std::size_t unused = 64 - 8 * dtype->size;  // the shift back extends the sign
      return Scalar(static_cast<std::int64_t>(bits << unused) >> unused);
    }
  }
}

std::optional<Scalar> as_scalar(const Pickle& pickle, NodeId id) {
  const auto& node = pickle[id];
  switch (node.kind) {
    case Kind::integer:
      return Scalar(node.integer);
    case Kind::real:
      return Scalar(node.real);
    case Kind::boolean:
      return Scalar(node.integer != 0);
    case Kind::call:
      return as_numpy_scalar(pickle, id);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::int64_t> exact_integer(double value) {
  constexpr double largest = 9007199254740992.0;  // 2^53
  return std::abs(value) <= largest && std::trunc(value) == value ? std::optional(static_cast<std::int64_t>(value))
                                                                  : std::nullopt;
}

std::optional<std::int64_t> as_integer(const Pickle& pickle, NodeId id) {
  const auto scalar = as_scalar(pickle, id);
  if (scalar && std::holds_alternative<double>(*scalar)) {
    return exact_integer(std::get<double>(*scalar));
  }
  return scalar && std::holds_alternative<std::int64_t>(*scalar) ? std::optional(std::get<std::int64_t>(*scalar))
                                                                 : std::nullopt;
}

std::optional<double> as_real(const Pickle& pickle, NodeId id) {
  const auto scalar = as_scalar(pickle, id);
  if (scalar && std::holds_alternative<std::int64_t>(*scalar)) {
    return static_cast<double>(std::get<std::int64_t>(*scalar));
  }
  return scalar && std::holds_alternative<double>(*scalar) ? std::optional(std::get<double>(*scalar)) : std::nullopt;
}

std::optional<bool> as_boolean(const Pickle& pickle, NodeId id) {
  const auto scalar = as_scalar(pickle, id);
  return scalar && std::holds_alternative<bool>(*scalar) ? std::optional(std::get<bool>(*scalar)) : std::nullopt;
}

}  // namespace hessian::models
