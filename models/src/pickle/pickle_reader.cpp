#include "pickle/pickle_reader.h"

#include <bit>
#include <cstdint>
#include <utility>

#include "io/byte_reader.h"
#include "io/messages.h"
#include "pickle/pickle_opcodes.h"
#include "pickle/pickle_stack.h"

namespace hessian::models {
namespace {

using namespace pickle_opcode;  // NOLINT(google-build-using-namespace): the names of one enumeration

/// Decodes opcodes and applies them to the stack.
class PickleReader {
 public:
  PickleReader(std::span<const std::byte> bytes, const std::string& source)
      : source_(source), reader_(bytes, source, "the pickle"), stack_(source) {}

  Pickle read() {
    while (!step()) {
    }
    return stack_.finish();
  }

 private:
  using Kind = Pickle::Kind;

  /// Runs one opcode. \return whether it was STOP
  bool step();

  // Each runs the opcode if it belongs to the function's group, and returns whether it does.
  bool step_scalar(std::uint8_t opcode);
  bool step_text(std::uint8_t opcode);
  bool step_container(std::uint8_t opcode);
  bool step_memo(std::uint8_t opcode);
  bool step_object(std::uint8_t opcode);

  void push_text(Kind kind, std::uint64_t size) { stack_.push_new(kind).text = as_text(reader_.take(size)); }
  void push_long(std::uint64_t size);
  std::string line();

  const std::string& source_;
  ByteReader reader_;
  PickleStack stack_;
};

bool PickleReader::step() {
  constexpr unsigned newest_protocol = 5;
  stack_.set_position(reader_.position());
  const std::size_t position = reader_.position();
  const auto opcode = reader_.number<std::uint8_t>();
  switch (opcode) {
    case stop:
      return true;
    case proto:
      if (const unsigned version = reader_.number<std::uint8_t>(); version > newest_protocol) {
        fail(source_, "the pickle has protocol {}; protocols 2 to 5 are read here", version);
      }
      return false;
    case frame:
      reader_.take(sizeof(std::uint64_t));  // a hint for buffering only
      return false;
    default:
      break;
  }
  if (!step_scalar(opcode) && !step_text(opcode) && !step_container(opcode) && !step_memo(opcode) &&
      !step_object(opcode)) {
    fail(source_, "the pickle has opcode 0x{:02x} at byte {}, which is not read here (protocols 2 to 5 are)", opcode,
         position);
  }
  return false;
}

bool PickleReader::step_scalar(std::uint8_t opcode) {
  switch (opcode) {
    case none:
      stack_.push_new(Kind::none);
      return true;
    case newtrue:
    case newfalse:
      stack_.push_new(Kind::boolean).integer = opcode == newtrue ? 1 : 0;
      return true;
    case binint:
      stack_.push_integer(reader_.number<std::int32_t>());
      return true;
    case binint1:
      stack_.push_integer(reader_.number<std::uint8_t>());
      return true;
    case binint2:
      stack_.push_integer(reader_.number<std::uint16_t>());
      return true;
    case long1:
      push_long(reader_.number<std::uint8_t>());
      return true;
    case long4:
      push_long(reader_.number<std::uint32_t>());
      return true;
    case binfloat:
      stack_.push_new(Kind::real).real = std::bit_cast<double>(__builtin_bswap64(reader_.number<std::uint64_t>()));
      return true;
    default:
      return false;
  }
}

bool PickleReader::step_text(std::uint8_t opcode) {
  switch (opcode) {
    case short_binunicode:
    case short_binstring:
      push_text(Kind::string, reader_.number<std::uint8_t>());
      return true;
    case binunicode:
    case binstring:
      push_text(Kind::string, reader_.number<std::uint32_t>());
      return true;
    case binunicode8:
      push_text(Kind::string, reader_.number<std::uint64_t>());
      return true;
    case short_binbytes:
      push_text(Kind::bytes, reader_.number<std::uint8_t>());
      return true;
    case binbytes:
      push_text(Kind::bytes, reader_.number<std::uint32_t>());
      return true;
    case binbytes8:
    case bytearray8:
      push_text(Kind::bytes, reader_.number<std::uint64_t>());
      return true;
    default:
      return false;
  }
}

bool PickleReader::step_container(std::uint8_t opcode) {
  switch (opcode) {
    case mark:
      stack_.push_mark();
      return true;
    case empty_list:
      stack_.push_new(Kind::list);
      return true;
    case empty_tuple:
      stack_.push_new(Kind::tuple);
      return true;
    case empty_dict:
      stack_.push_new(Kind::dict);
      return true;
    case empty_set:
      stack_.push_new(Kind::set);
      return true;
    case list:
      stack_.push_group(Kind::list, stack_.pop_to_mark());
      return true;
    case tuple:
      stack_.push_group(Kind::tuple, stack_.pop_to_mark());
      return true;
    case frozenset:
      stack_.push_group(Kind::set, stack_.pop_to_mark());
      return true;
    case tuple1:
    case tuple2:
    case tuple3:
      stack_.push_group(Kind::tuple, stack_.pop_count(opcode - tuple1 + std::size_t{1}));
      return true;
    case dict: {
      const auto entries = stack_.pop_to_mark();
      stack_.push_new(Kind::dict);
      stack_.store(entries);
      return true;
    }
    case append_one:
      stack_.append(stack_.pop_count(1));
      return true;
    case appends:
    case additems:
      stack_.append(stack_.pop_to_mark());
      return true;
    case setitem:
      stack_.store(stack_.pop_count(2));
      return true;
    case setitems:
      stack_.store(stack_.pop_to_mark());
      return true;
    default:
      return false;
  }
}

bool PickleReader::step_memo(std::uint8_t opcode) {
  switch (opcode) {
    case pop_one:
      stack_.pop_value_or_mark();
      return true;
    case pop_mark:
      stack_.pop_to_mark();
      return true;
    case dup:
      stack_.push(stack_.top());
      return true;
    case binget:
      stack_.recall(reader_.number<std::uint8_t>());
      return true;
    case long_binget:
      stack_.recall(reader_.number<std::uint32_t>());
      return true;
    case binput:
      stack_.memoize(reader_.number<std::uint8_t>());
      return true;
    case long_binput:
      stack_.memoize(reader_.number<std::uint32_t>());
      return true;
    case memoize_next:
      stack_.memoize_next();
      return true;
    default:
      return false;
  }
}

bool PickleReader::step_object(std::uint8_t opcode) {
  switch (opcode) {
    case global: {
      const std::string module = line();
      stack_.push_global(module, line());
      return true;
    }
    case stack_global: {
      const auto names = stack_.pop_count(2);
      if (stack_[names[0]].kind != Kind::string || stack_[names[1]].kind != Kind::string) {
        stack_.damaged("the name of a global is not a string");
      }
      stack_.push_global(stack_[names[0]].text, stack_[names[1]].text);
      return true;
    }
    case reduce:
    case newobj:
      stack_.push_group(Kind::call, stack_.pop_count(2));
      return true;
    case newobj_ex:  // class, arguments, keyword arguments
      stack_.push_group(Kind::call, stack_.pop_count(3));
      return true;
    case build:
      stack_.build(stack_.pop());
      return true;
    case binpersid:
      stack_.push_group(Kind::persistent, stack_.pop_count(1));
      return true;
    default:
      return false;
  }
}

void PickleReader::push_long(std::uint64_t size) {
  const auto digits = reader_.take(size);
  if (size > sizeof(std::int64_t)) {
    stack_.push_new(Kind::big_integer).text = as_text(digits);
    return;
  }
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    value |= std::to_integer<std::uint64_t>(digits[i]) << (8 * i);
  }
  const bool negative = !digits.empty() && (digits.back() & std::byte{0x80}) != std::byte{0};
  if (negative && size < sizeof(std::int64_t)) {
    value |= ~std::uint64_t{0} << (8 * size);
  }
  stack_.push_integer(static_cast<std::int64_t>(value));
}

std::string PickleReader::line() {
  std::string text;
  for (char character = reader_.number<char>(); character != '\n'; character = reader_.number<char>()) {
    text += character;
  }
  return text;
}

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& source) {
  constexpr std::size_t largest = std::size_t{32} << 20;
  if (bytes.size() > largest) {
    fail(source, "the pickle has {} bytes, more than the {} that are read here", bytes.size(), largest);
  }
  return PickleReader(bytes, source).read();
}

}  // namespace hessian::models
