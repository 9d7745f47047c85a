#include <gtest/gtest.h>

#include "loader_support.h"
#include "pickle/pickle.h"
#include "refusal.h"

using hessian::models::Pickle;
using hessian::support::refusal_of;
using Kind = Pickle::Kind;
using namespace std::string_literals;

namespace hessian::tests {
namespace {

Pickle parse(const std::string& bytes) {
  return Pickle::parse(support::as_bytes(bytes), "data.pkl");
}

std::string refusal(const std::string& bytes) {
  return refusal_of([&] { parse(bytes); });
}

const Pickle::Node& value(const Pickle& pickle, const char* key) {
  return pickle[pickle.find(pickle.root(), key).value()];
}

// pickle.dumps({'n': None, 'yes': True, 'i': -5, 'big': 1 << 40, 'neg': -(1 << 40), 'huge': 1 << 80, 'f': 0.1,
//               's': 'é', 'b': b'\x00\xff', 't': (1, 2), 'l': [1, 'a'], 'set': {7}}, protocol)
TEST(Pickle, ReadsPlainValuesOfProtocol2And4) {
  const std::string protocol2 =
      "\x80\x02}(X\x01\0\0\0nNX\x03\0\0\0yes\x88X\x01\0\0\0iJ\xfb\xff\xff\xffX\x03\0\0\0big\x8a\x06\0\0\0\0\0\x01"
      "X\x03\0\0\0neg\x8a\x06\0\0\0\0\0\xffX\x04\0\0\0huge\x8a\x0b\0\0\0\0\0\0\0\0\0\0\x01"
      "X\x01\0\0\0fG?\xb9\x99\x99\x99\x99\x99\x9aX\x01\0\0\0sX\x02\0\0\0\xc3\xa9X\x01\0\0\0tK\x01K\x02\x86"
      "X\x01\0\0\0l](K\x01X\x01\0\0\0aeu."s;
  const std::string protocol4 =
      "\x80\x04\x95\0\0\0\0\0\0\0\0}\x94(\x8c\x01n\x94N\x8c\x03yes\x94\x88\x8c\x01i\x94J\xfb\xff\xff\xff"
      "\x8c\x03"
      "big\x94\x8a\x06\0\0\0\0\0\x01\x8c\x03neg\x94\x8a\x06\0\0\0\0\0\xff"
      "\x8c\x04huge\x94\x8a\x0b\0\0\0\0\0\0\0\0\0\0\x01\x8c\x01"
      "f\x94G?\xb9\x99\x99\x99\x99\x99\x9a"
      "\x8c\x01s\x94\x8c\x02\xc3\xa9\x94\x8c\x01t\x94K\x01K\x02\x86\x94\x8c\x01l\x94]\x94(K\x01\x8c\x01"
      "a\x94"
      "e"
      "\x8c\x01"
      "b\x94"
      "C\x02\0\xff\x94\x8c\x03set\x94\x8f\x94(K\x07\x90u."s;
  for (const auto& bytes : {protocol2, protocol4}) {
    const Pickle pickle = parse(bytes);
    EXPECT_TRUE(pickle.is_dict(pickle.root()));
    EXPECT_EQ(value(pickle, "n").kind, Kind::none);
    EXPECT_EQ(value(pickle, "yes").kind, Kind::boolean);
    EXPECT_EQ(value(pickle, "yes").integer, 1);
    EXPECT_EQ(value(pickle, "i").integer, -5);
    EXPECT_EQ(value(pickle, "big").integer, std::int64_t{1} << 40);
    EXPECT_EQ(value(pickle, "neg").integer, -(std::int64_t{1} << 40));
    EXPECT_EQ(value(pickle, "huge").kind, Kind::big_integer);
    EXPECT_EQ(value(pickle, "f").real, 0.1);
    EXPECT_EQ(value(pickle, "s").text, "é");
    EXPECT_EQ(value(pickle, "t").kind, Kind::tuple);
    EXPECT_EQ(pickle[value(pickle, "t").items[1]].integer, 2);
    EXPECT_EQ(pickle[value(pickle, "l").items[1]].text, "a");
    EXPECT_FALSE(pickle.find(pickle.root(), "absent"));
  }
  const Pickle pickle = parse(protocol4);
  EXPECT_EQ(value(pickle, "b").text, "\0\xff"s);
  EXPECT_EQ(pickle[value(pickle, "set").items[0]].integer, 7);
}

TEST(Pickle, KeepsACallAsANameAndArgumentsAndRunsNothing) {
  const support::TemporaryFolder folder;
  const std::string command = "touch " + (folder / "owned");
  const Pickle pickle = parse(
      "\x80\x02"
      "cposix\nsystem\nX" +
      support::little_endian(static_cast<std::uint32_t>(command.size())) + command + "\x85R.");
  EXPECT_TRUE(pickle.is_call_of(pickle.root(), "posix system"));
  EXPECT_EQ(pickle[pickle.arguments(pickle.root())[0]].text, command);
  EXPECT_EQ(models::describe(pickle, pickle.root()), "a call of 'posix system'");
  EXPECT_FALSE(std::filesystem::exists(folder / "owned"));
}

TEST(Pickle, FillsAnOrderedDictAndKeepsItsState) {
  const Pickle pickle = parse(
      "\x80\x02"
      "ccollections\nOrderedDict\n)R(X\x01\0\0\0aK\x01X\x01\0\0\0aK\x02u}b."s);
  EXPECT_TRUE(pickle.is_dict(pickle.root()));
  EXPECT_EQ(value(pickle, "a").integer, 2) << "the last one of two equal keys, as in Python";
}

TEST(Pickle, ReadsACycle) {
  const Pickle pickle = parse("\x80\x02]q\0h\0a."s);  // l = []; l.append(l)
  EXPECT_EQ(pickle[pickle.root()].items.at(0), pickle.root());
}

TEST(Pickle, ReadsADeepTreeWithoutRecursion) {
  const std::size_t depth = 1'000'000;
  const Pickle pickle = parse("\x80\x02" + std::string(depth, ']') + std::string(depth - 1, 'a') + ".");
  EXPECT_EQ(pickle.size(), depth);
}

TEST(Pickle, LimitsTheMemoryThatAHostileFileUses) {
  EXPECT_EQ(refusal("\x80\x02" + std::string(2'000'001, 'N') + "."),
            "data.pkl: the pickle holds more than the 2000000 values that are read here");
  EXPECT_EQ(refusal("\x80\x04N" + std::string(2'000'001, '\x94') + "."),
            "data.pkl: the pickle is damaged at byte 2000003: it remembers more values than it can have");
  EXPECT_EQ(refusal(std::string((std::size_t{32} << 20) + 1, 'N')),
            "data.pkl: the pickle has 33554433 bytes, more than the 33554432 that are read here");
  EXPECT_EQ(refusal("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx."s),
            "data.pkl: the pickle ends at its byte 13, in the middle of a value");
}

TEST(Pickle, RefusesDamagedPickles) {
  EXPECT_EQ(refusal(""), "data.pkl: the pickle ends at its byte 0, in the middle of a value");
  EXPECT_EQ(refusal("\x80\x06N."), "data.pkl: the pickle has protocol 6; protocols 2 to 5 are read here");
  EXPECT_EQ(refusal("I1\n."),
            "data.pkl: the pickle has opcode 0x49 at byte 0, which is not read here (protocols 2 to 5 are)");
  EXPECT_EQ(refusal("."), "data.pkl: the pickle is damaged at byte 0: it ends too early");
  EXPECT_EQ(refusal("NN."), "data.pkl: the pickle is damaged at byte 2: it ends too early");
  EXPECT_EQ(refusal("h\x05."), "data.pkl: the pickle is damaged at byte 0: it refers to a value that is not there");
  EXPECT_EQ(refusal("t."), "data.pkl: the pickle is damaged at byte 0: there is no mark");
  EXPECT_EQ(refusal("N(a."), "data.pkl: the pickle is damaged at byte 2: the stack is empty");
  EXPECT_EQ(refusal("NNa."),
            "data.pkl: the pickle is damaged at byte 2: values are appended to something that is no list");
  EXPECT_EQ(refusal("NNNs."),
            "data.pkl: the pickle is damaged at byte 3: keys are stored in something that is no dict");
  EXPECT_EQ(refusal("}(Nu."), "data.pkl: the pickle is damaged at byte 3: a key has no value");
  EXPECT_EQ(refusal("NNb."),
            "data.pkl: the pickle is damaged at byte 2: a state is given to something that is no object");
  EXPECT_EQ(refusal("NN\x93."), "data.pkl: the pickle is damaged at byte 2: the name of a global is not a string");
}

}  // namespace
}  // namespace hessian::tests
