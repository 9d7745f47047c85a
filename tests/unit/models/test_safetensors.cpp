#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::load_safetensors;
using hessian::models::parse_safetensors_header;
using hessian::support::refusal_of;
using hessian::support::safetensors_bytes;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

models::SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(support::as_bytes(file), "m.safetensors");
}

std::string header_refusal(const std::string& file) {
  return refusal_of([&] { parse(file); });
}

/// Returns the refusal of a file with this header and `size` bytes of data.
std::string header_refusal(const std::string& header, std::size_t size) {
  return header_refusal(safetensors_bytes(header, std::string(size, '\0')));
}

TEST(SafetensorsHeader, GivesNamesTypesShapesRangesAndMetadata) {
  const std::string header =
      R"({"__metadata__":{"step":"7"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]},)"
      R"("a":{"dtype":"C64","shape":[],"data_offsets":[0,8]},"e":{"dtype":"I64","shape":[0,9],"data_offsets":[32,32]}})";
  const std::string file = safetensors_bytes(header, std::string(32, '\0'));
  const auto parsed = parse(file);
  ASSERT_EQ(parsed.tensors.size(), 3U);
  EXPECT_EQ(parsed.tensors[0].name, "a");
  EXPECT_EQ(parsed.tensors[0].type, models::StoredType::c64);
  EXPECT_EQ(parsed.tensors[1].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(parsed.tensors[1].begin, file.size() - 24);
  EXPECT_EQ(parsed.tensors[2].end, file.size());
  EXPECT_EQ(parsed.metadata.at("step"), "7");
}

TEST(SafetensorsHeader, RefusesHeadersThatContradictTheFile) {
  EXPECT_EQ(header_refusal("abc"), "m.safetensors: has 3 bytes, too few for a safetensors file");
  EXPECT_EQ(header_refusal(support::little_endian(std::uint64_t{500}) + "{}"),
            "m.safetensors: the header says 500 bytes, but only 2 follow; the file is cut short");
  EXPECT_EQ(header_refusal(support::little_endian(~std::uint64_t{0}) + "{}"),
            "m.safetensors: the header would be 18446744073709551615 bytes long, more than 100000000; this is no "
            "safetensors file");
  EXPECT_EQ(header_refusal("[]", 0), "m.safetensors: the header does not begin with '{'; this is no safetensors file");
  EXPECT_EQ(header_refusal("{}", 3), "m.safetensors: 3 bytes follow the last tensor, expected none");
  const auto tensor = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  EXPECT_NO_THROW(parse(safetensors_bytes(tensor("F32", "[2]", "[0,8]"), std::string(8, '\0'))));
  EXPECT_EQ(header_refusal(tensor("F32", "[2]", "[0,8]"), 7),
            "m.safetensors: tensor 'x' ends at byte 8 of the data, but the file has 7; it may be cut short");
  EXPECT_EQ(header_refusal(tensor("F32", "[3]", "[0,8]"), 8),
            "m.safetensors: tensor 'x' has 8 bytes, but F32 [3] takes 12");
  EXPECT_EQ(header_refusal(tensor("F32", "[2]", "[4,12]"), 12),
            "m.safetensors: tensor 'x' begins at byte 4 of the data, expected 0: tensors leave a gap");
  EXPECT_EQ(header_refusal(tensor("F32", "[2]", "[8,0]"), 8),
            "m.safetensors: data_offsets of tensor 'x' is [8, 0], expected its begin and its end");
  EXPECT_EQ(header_refusal(tensor("F32", "[4294967296,4294967296]", "[0,0]"), 0),
            "m.safetensors: tensor 'x' has shape [4294967296, 4294967296], which is too large");
  EXPECT_EQ(header_refusal(tensor("F32", "[0,4294967296,4294967296]", "[0,0]"), 0),
            "m.safetensors: tensor 'x' has shape [0, 4294967296, 4294967296], which is too large");
  EXPECT_EQ(header_refusal(tensor("F32", "[-2]", "[0,8]"), 8),
            "m.safetensors: the shape of tensor 'x' is -2, expected a non-negative integer");
  EXPECT_EQ(header_refusal(tensor("F32", "[1e30]", "[0,8]"), 8),
            "m.safetensors: the shape of tensor 'x' is 1e+30, expected a non-negative integer");
  EXPECT_EQ(header_refusal(tensor("F32", "[2]", "[0,18446744073709551615]"), 8),
            "m.safetensors: data_offsets of tensor 'x' is 18446744073709551615, expected a non-negative integer");
  EXPECT_EQ(
      header_refusal(tensor("F8_E4M3", "[8]", "[0,8]"), 8),
      "m.safetensors: tensor 'x' has dtype \"F8_E4M3\", which is not read here; F64, F32, F16, BF16, I64, I32, I16, "
      "I8, U8 and BOOL are");
  EXPECT_EQ(header_refusal(R"({"x":3})", 0),
            "m.safetensors: tensor 'x' is 3 in the header, expected an object with dtype, shape and data_offsets");
  EXPECT_EQ(header_refusal(R"({"x":{"dtype":"F32","shape":[]}})", 0), "m.safetensors: tensor 'x' has no data_offsets");
  EXPECT_EQ(header_refusal(R"({"__metadata__":{"config":{}}})", 0),
            "m.safetensors: __metadata__['config'] is {}, expected a string");
}

TEST(SafetensorsHeader, RefusesOverlapsDuplicatesAndDeepNesting) {
  EXPECT_EQ(header_refusal(R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                           R"("y":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                           6),
            "m.safetensors: tensor 'y' begins at byte 2 of the data, expected 4: tensors overlap");
  EXPECT_EQ(header_refusal(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                           1),
            "m.safetensors: the header has 'x' twice");
  EXPECT_EQ(header_refusal(R"({"x":)" + std::string(100000, '[') + std::string(100000, ']') + "}", 0),
            "m.safetensors: the header is nested more than 32 levels deep");
  EXPECT_EQ(header_refusal("{\"x\":\n", 0).substr(0, 44), "m.safetensors: the header is not valid JSON:");
}

TEST(SafetensorsHeader, RefusesAFixtureCutAnywhere) {
  const std::string whole = support::read_file(HESSIAN_FIXTURES "/dense/llama2_prenorm/expected.safetensors");
  ASSERT_NO_THROW(parse(whole));
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    EXPECT_TRUE(header_refusal(whole.substr(0, size)).starts_with("m.safetensors: ")) << size << " bytes";
  }
}

TEST(Safetensors, ReadsATensorInPlaceAndKeepsTheFileMapped) {
  const TemporaryFolder folder;
  const std::string header = R"({"x":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}} )";
  ASSERT_EQ(header.size() % 8, 0U);
  const auto path = folder.write("m.safetensors",
                                 safetensors_bytes(header, support::little_endian(1.5) + support::little_endian(-2.0)));
  at::Tensor x = load_safetensors(path).tensors.at("x");
  std::filesystem::remove(path);
  EXPECT_EQ(x[0].item<double>(), 1.5);
  x.mul_(2);  // copies the page, not the file
  EXPECT_EQ(x[1].item<double>(), -4.0);
}

TEST(Safetensors, CopiesMisalignedTensors) {
  const TemporaryFolder folder;
  const auto path =
      folder.write("m.safetensors", safetensors_bytes(R"({"x":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}})",
                                                      support::little_endian(1.5) + support::little_endian(-2.0)));
  const at::Tensor x = load_safetensors(path).tensors.at("x");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data_ptr()) % 8, 0U);
  EXPECT_TRUE(x.equal(at::tensor({1.5, -2.0}, at::kDouble)));
}

TEST(Safetensors, ReadsBackWhatWasSavedInEveryType) {
  const TemporaryFolder folder;
  hessian::Parameters tensors;
  for (const auto type : {at::kByte, at::kBool, at::kHalf, at::kBFloat16, at::kFloat, at::kDouble, at::kLong, at::kInt,
                          at::kShort, at::kChar}) {
    tensors.add(c10::toString(type), at::arange(15).reshape({3, 5}).to(type).t());
  }
  tensors.add("scalar", at::scalar_tensor(3.25, at::kDouble));
  tensors.add("nothing", at::empty({0, 4}, at::kFloat));
  models::save_safetensors(folder / "m.safetensors", tensors, {{"step", "12"}});
  const auto loaded = load_safetensors(folder / "m.safetensors");
  EXPECT_EQ(loaded.metadata, (std::map<std::string, std::string>{{"step", "12"}}));
  ASSERT_EQ(loaded.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(loaded.tensors.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(loaded.tensors.at(name).equal(tensor)) << name;
  }
}

TEST(Safetensors, RefusesToWriteATypeThatItDoesNotHave) {
  const TemporaryFolder folder;
  hessian::Parameters tensors;
  tensors.add("z", at::zeros({2}, at::kComplexDouble));
  const std::string path = folder / "m.safetensors";
  EXPECT_EQ(refusal_of([&] { models::save_safetensors(path, tensors, {}); }),
            path + ": tensor 'z' has a type that cannot be written to a safetensors file: ComplexDouble");
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace hessian::tests
