#include <gtest/gtest.h>

#include <cmath>

#include "loader_support.h"
#include "pickle/pickle_numbers.h"

using hessian::models::Pickle;
using namespace std::string_literals;

namespace hessian::tests {
namespace {

struct Numbers {
  std::optional<std::int64_t> integer;
  std::optional<double> real;
  std::optional<bool> boolean;
  bool operator==(const Numbers&) const = default;
};

/// Returns what a value, given as opcodes, is read as.
Numbers numbers_of(const std::string& value) {
  const auto pickle = Pickle::parse(support::as_bytes("\x80\x03" + value + "."), "data.pkl");
  const auto id = pickle.root();
  return {models::as_integer(pickle, id), models::as_real(pickle, id), models::as_boolean(pickle, id)};
}

/// Returns a numpy scalar as pickle protocol 3 writes it.
std::string numpy_scalar(const std::string& word, const std::string& bytes, const std::string& order = "<",
                         const std::string& module = "numpy._core.multiarray") {
  const auto text = [](const std::string& value) {
    return "X" + support::little_endian(static_cast<std::uint32_t>(value.size())) + value;
  };
  return "c" + module + "\nscalar\ncnumpy\ndtype\n" + text(word) + "\x89\x88\x87R(K\x03" + text(order) +
         "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbC"s + static_cast<char>(bytes.size()) + bytes + "\x86R";
}

template <typename Number>
std::string scalar(const std::string& word, Number number) {
  return numpy_scalar(word, support::little_endian(number));
}

TEST(PickleNumbers, ReadsPythonsNumbers) {
  EXPECT_EQ(numbers_of("K\x07"), (Numbers{7, 7.0, std::nullopt}));
  EXPECT_EQ(numbers_of("G@\x1c\0\0\0\0\0\0"s), (Numbers{7, 7.0, std::nullopt}));
  EXPECT_EQ(numbers_of("G?\xe0\0\0\0\0\0\0"s), (Numbers{std::nullopt, 0.5, std::nullopt}));
  EXPECT_EQ(numbers_of("\x88"), (Numbers{std::nullopt, std::nullopt, true}));
  EXPECT_EQ(numbers_of("N"), Numbers{});
  EXPECT_EQ(numbers_of("X\x01\0\0\0"s + "7"), Numbers{});
}

TEST(PickleNumbers, ReadsNumpysScalarsOfEveryType) {
  EXPECT_EQ(numbers_of(scalar<std::int64_t>("i8", -5)), (Numbers{-5, -5.0, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::int32_t>("i4", -5)), (Numbers{-5, -5.0, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::int16_t>("i2", -5)), (Numbers{-5, -5.0, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::int8_t>("i1", -5)), (Numbers{-5, -5.0, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::uint8_t>("u1", 250)), (Numbers{250, 250.0, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::uint64_t>("u8", 7)), (Numbers{7, 7.0, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<double>("f8", 0.1)), (Numbers{std::nullopt, 0.1, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<float>("f4", 0.5F)), (Numbers{std::nullopt, 0.5, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<float>("f4", INFINITY)), (Numbers{std::nullopt, INFINITY, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::uint8_t>("b1", 1)), (Numbers{std::nullopt, std::nullopt, true}));
  // IEEE 754 binary16: 1.5, -2, the smallest positive number.
  EXPECT_EQ(numbers_of(scalar<std::uint16_t>("f2", 0x3e00)), (Numbers{std::nullopt, 1.5, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::uint16_t>("f2", 0xc000)), (Numbers{-2, -2.0, std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::uint16_t>("f2", 1)), (Numbers{std::nullopt, std::ldexp(1.0, -24), std::nullopt}));
  EXPECT_EQ(numbers_of(scalar<std::uint16_t>("f2", 0xfc00)), (Numbers{std::nullopt, -INFINITY, std::nullopt}));
}

TEST(PickleNumbers, ReadsBigEndianScalarsAndThoseOfOldNumpy) {
  EXPECT_EQ(numbers_of(numpy_scalar("i4", "\0\0\x01\x02"s, ">")), (Numbers{258, 258.0, std::nullopt}));
  EXPECT_EQ(numbers_of(numpy_scalar("i4", "\x02\x01\0\0"s, "<", "numpy.core.multiarray")),
            (Numbers{258, 258.0, std::nullopt}));
}

// Below protocol 3, which has bytes, they are text: _codecs.encode('\xff\x01', 'latin1').
TEST(PickleNumbers, ReadsTheBytesOfProtocol2) {
  const std::string bytes = "X\x03\0\0\0\xc3\xbf\x01X\x06\0\0\0latin1\x86R"s;
  const std::string head = "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0u2\x89\x88\x87R"s;
  EXPECT_EQ(numbers_of(head + "c_codecs\nencode\n" + bytes + "\x86R"), (Numbers{511, 511.0, std::nullopt}));
  EXPECT_EQ(numbers_of(head + "cposix\nsystem\n" + bytes + "\x86R"), Numbers{});
}

TEST(PickleNumbers, ReadsNothingElse) {
  EXPECT_EQ(numbers_of(numpy_scalar("i8", "1234")), Numbers{});
  EXPECT_EQ(numbers_of(numpy_scalar("U2", "12345678")), Numbers{});
  EXPECT_EQ(numbers_of(numpy_scalar("c8", "12345678")), Numbers{});
  EXPECT_EQ(numbers_of(numpy_scalar("", "12345678")), Numbers{});
  EXPECT_EQ(numbers_of(numpy_scalar("u8", std::string(8, '\xff'))), Numbers{});
  EXPECT_EQ(numbers_of(numpy_scalar("i4", "1234", "<", "mine")), Numbers{});
  EXPECT_EQ(models::exact_integer(1e300), std::nullopt);
  EXPECT_EQ(models::exact_integer(NAN), std::nullopt);
}

}  // namespace
}  // namespace hessian::tests
