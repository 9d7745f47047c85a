#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "formats/torch_checkpoint.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::TorchCheckpoint;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;
using hessian::support::zip_bytes;
using namespace std::string_literals;

namespace hessian::tests {
namespace {

const std::string six_floats = support::little_endian(0.F) + support::little_endian(1.F) + support::little_endian(2.F) +
                               support::little_endian(3.F) + support::little_endian(4.F) + support::little_endian(5.F);

std::string integer(std::int64_t value) {
  return "\x8a\x08" + support::little_endian(value);
}

/// Returns the pickle of one tensor over storage '0' of `elements` floats.
std::string tensor_pickle(const std::string& offset, const std::vector<std::int64_t>& shape,
                          const std::vector<std::int64_t>& strides, std::int64_t elements = 6,
                          const std::string& storage = "FloatStorage") {
  const auto tuple = [](const std::vector<std::int64_t>& values) {
    std::string text = "(";
    for (const auto value : values) {
      text += integer(value);
    }
    return text + "t";
  };
  return "\x80\x02" + "ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n"s + storage + "\nX\x01\0\0\0"s +
         "0X\x03\0\0\0cpu"s + integer(elements) + "tQ" + offset + tuple(shape) + tuple(strides) + "\x89}tR.";
}

/// Opens a checkpoint that is one tensor, and reads it.
at::Tensor read_tensor(const TemporaryFolder& folder, const std::string& pickle, const std::string& storage,
                       const std::string& byteorder = "little") {
  const auto path =
      folder.write("x.pt", zip_bytes({{"x/data.pkl", pickle}, {"x/byteorder", byteorder}, {"x/data/0", storage}}));
  const auto checkpoint = TorchCheckpoint::open(path);
  return checkpoint.tensor(checkpoint.values().root(), "w");
}

TEST(TorchCheckpoint, ReadsOffsetsAndStrides) {
  const TemporaryFolder folder;
  const at::Tensor all = at::arange(6, at::kFloat);
  EXPECT_TRUE(read_tensor(folder, tensor_pickle("K\0"s, {2, 3}, {3, 1}), six_floats).equal(all.view({2, 3})));
  EXPECT_TRUE(read_tensor(folder, tensor_pickle("K\0"s, {3, 2}, {1, 3}), six_floats).equal(all.view({2, 3}).t()));
  EXPECT_TRUE(
      read_tensor(folder, tensor_pickle("K\x01", {2, 2}, {3, 1}), six_floats).equal(all.view({2, 3}).narrow(1, 1, 2)));
  EXPECT_TRUE(read_tensor(folder, tensor_pickle("K\x05", {}, {}), six_floats).equal(at::scalar_tensor(5.F)));
  EXPECT_EQ(read_tensor(folder, tensor_pickle("K\x06", {0, 7}, {7, 1}), six_floats).sizes(), at::IntArrayRef({0, 7}));
}

TEST(TorchCheckpoint, RefusesATensorThatExceedsItsStorage) {
  const TemporaryFolder folder;
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  struct Case {
    std::string pickle;
    std::string complaint;
  };
  const std::vector<Case> cases = {
      {tensor_pickle("K\x01", {2, 3}, {3, 1}),
       "is [2, 3] with strides [3, 1] from element 1 on, which is more than its storage of 6 elements"},
      {tensor_pickle("K\0"s, {7}, {0}),
       "is [7] with strides [0] from element 0 on, which is more than its storage of 6 elements"},
      {tensor_pickle("K\0"s, {5}, {huge}),
       "is [5] with strides [4611686018427387904] from element 0 on, which is more than its storage of 6 elements"},
      {tensor_pickle("K\0"s, {huge, huge}, {1, 1}),
       "is [4611686018427387904, 4611686018427387904] with strides [1, 1] from element 0 on, which is more than its "
       "storage of 6 elements"},
      {tensor_pickle(integer(huge), {1}, {1}),
       "is [1] with strides [1] from element 4611686018427387904 on, which is more than its storage of 6 elements"},
      {tensor_pickle("K\0"s, {2, 3}, {3, -1}), "has a damaged offset, shape or strides"},
      {tensor_pickle("J\xff\xff\xff\xff", {2}, {1}), "has a damaged offset, shape or strides"},
      {tensor_pickle("K\0"s, {2, 3}, {3}), "has a damaged offset, shape or strides"},
      {tensor_pickle("K\0"s, {2}, {1}, 7), "needs 7 elements of storage '0', which has 24 bytes"},
      {tensor_pickle("K\0"s, {2}, {1}, huge), "needs 4611686018427387904 elements of storage '0', which has 24 bytes"},
      {tensor_pickle("K\0"s, {2}, {1}, 6, "QInt8Storage"),
       "has a storage that is not read here; float, half, bfloat16 and integer storages are"},
  };
  for (const auto& [pickle, complaint] : cases) {
    EXPECT_EQ(refusal_of([&, &pickle = pickle] { read_tensor(folder, pickle, six_floats); }),
              (folder / "x.pt") + ": tensor 'w' " + complaint);
  }
}

TEST(TorchCheckpoint, DescribesFilesThatItCannotRead) {
  const TemporaryFolder folder;
  const auto refusal = [&](const std::string& contents) {
    const auto path = folder.write("x.pt", contents);
    return support::refusal_about(path, [&] { TorchCheckpoint::open(path); });
  };
  EXPECT_EQ(refusal("\x80\x02\x8a\x0al\xfc\x9c"s),
            "is in the form of torch.save that PyTorch used before 1.6; save it anew with "
            "torch.save(torch.load(path), path)");
  EXPECT_EQ(refusal("hello"), "is not a file of torch.save");
  EXPECT_EQ(refusal(zip_bytes({{"a/b.txt", "x"}})), "is a zip archive without data.pkl, so it is not from torch.save");
  EXPECT_EQ(refusal_of([&] { read_tensor(folder, tensor_pickle("K\0"s, {1}, {1}), six_floats, "big"); }),
            (folder / "x.pt") + ": has byte order 'big', expected 'little'");
  EXPECT_EQ(refusal_of([&] { read_tensor(folder, "\x80\x02N.", six_floats); }),
            (folder / "x.pt") + ": tensor 'w' is None, expected a tensor");
}

}  // namespace
}  // namespace hessian::tests
