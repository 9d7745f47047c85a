#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "formats/torch_checkpoint.h"
#include "loader_support.h"
#include "refusal.h"
#include "torch_files.h"

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
      {tensor_pickle("K\x06", {7}, {0}),
       "is [7] with strides [0] from element 6 on, which is more than its storage of 6 elements"},
      {tensor_pickle("K\0"s, {huge, 2}, {0, 1}),
       "is [4611686018427387904, 2] with strides [0, 1] from element 0 on, which is more than its storage of 6 "
       "elements"},
      {tensor_pickle("K\0"s, {(1 << 26) + 1}, {0}),
       "repeats its 6 stored elements to [67108865], more than the 67108864 that are read here"},
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

/// Opens a checkpoint whose root is this value of `file`, and reads it as a tensor.
at::Tensor read_root(const TemporaryFolder& folder, const support::TorchFile& file, const std::string& root) {
  const auto checkpoint = TorchCheckpoint::open(folder.write("x.pt", file.bytes(root)));
  return checkpoint.tensor(checkpoint.values().root(), "w");
}

TEST(TorchCheckpoint, ReadsBroadcastTensors) {
  const TemporaryFolder folder;
  EXPECT_TRUE(read_tensor(folder, tensor_pickle("K\x02", {7}, {0}), six_floats).equal(at::full({7}, 2.F)));
  EXPECT_TRUE(read_tensor(folder, tensor_pickle("K\0"s, {4, 3}, {0, 1}), six_floats)
                  .equal(at::arange(3, at::kFloat).expand({4, 3})));
}

// torch.save writes these for parameters, for parameters and tensors with Python attributes, and for subclasses.
TEST(TorchCheckpoint, ReadsParametersAndSubclassesAsTheTensorsThatTheyContain) {
  using support::pickled_call;
  using support::pickled_global;
  using support::pickled_tuple;
  const TemporaryFolder folder;
  const at::Tensor numbers = at::arange(6, at::kFloat).view({2, 3});
  const std::string hooks = pickled_call("collections", "OrderedDict", ")");
  const std::string state = support::pickled_dict({{"_no_weight_decay", "\x88"}});
  const auto parameter = [&](const std::string& tensor) {
    return pickled_call("torch._utils", "_rebuild_parameter", pickled_tuple({tensor, "\x88", hooks}));
  };
  const auto with_state = [&](const std::string& tensor) {
    return pickled_call("torch._utils", "_rebuild_parameter_with_state", pickled_tuple({tensor, "\x88", hooks, state}));
  };
  const auto subclass = [&](const std::string& function, const std::vector<std::string>& arguments) {
    return pickled_call("torch._tensor", "_rebuild_from_type_v2",
                        pickled_tuple({pickled_global("torch._utils", function), pickled_global("mine", "Weight"),
                                       pickled_tuple(arguments), state}));
  };
  support::TorchFile file;
  const std::string tensor = file.tensor(numbers);
  const auto arguments = file.arguments(numbers);
  const auto old_arguments = std::vector(arguments.begin(), arguments.begin() + 4);
  for (const std::string& root :
       {parameter(tensor), with_state(tensor), subclass("_rebuild_tensor_v2", arguments),
        parameter(subclass("_rebuild_tensor_v2", arguments)), subclass("_rebuild_parameter", {tensor, "\x88", hooks}),
        pickled_call("torch._utils", "_rebuild_tensor", pickled_tuple(old_arguments))}) {
    EXPECT_TRUE(read_root(folder, file, root).equal(numbers)) << root;
  }
}

// Types without a storage class of their own are stored untyped, with their dtype.
TEST(TorchCheckpoint, ReadsUntypedStoragesOfKnownTypes) {
  const TemporaryFolder folder;
  const at::Tensor numbers = at::arange(6, at::kFloat).to(at::kBFloat16);
  support::TorchFile file;
  auto arguments = file.arguments(numbers.view(at::kByte));
  arguments[0] =
      support::pickled_tuple({support::pickled("storage"), support::pickled_global("torch.storage", "UntypedStorage"),
                              support::pickled("0"), support::pickled("cpu"), support::pickled(12)}) +
      "Q";
  arguments[2] = support::pickled_sizes({6});
  const auto root = [&](const char* dtype) {
    auto all = arguments;
    all.push_back(support::pickled_global("torch", dtype));
    return support::pickled_call("torch._utils", "_rebuild_tensor_v3", support::pickled_tuple(all));
  };
  EXPECT_TRUE(read_root(folder, file, root("bfloat16")).equal(numbers));
  const auto refusal = [&](const char* dtype) {
    return support::refusal_about(folder / "x.pt", [&] { read_root(folder, file, root(dtype)); });
  };
  EXPECT_EQ(
      refusal("float8_e4m3fn"),
      "tensor 'w' has the type the global 'torch float8_e4m3fn', which is not read here; float, half, bfloat16 and "
      "integer types are");
  EXPECT_EQ(refusal("float64"),
            "tensor 'w' is [6] with strides [1] from element 0 on, which is more than its storage of 1 elements");
}

TEST(TorchCheckpoint, RefusesTensorsThatAreNotPlain) {
  const TemporaryFolder folder;
  const auto refusal = [&](const support::TorchFile& file, const std::string& root) {
    return support::refusal_about(folder / "x.pt", [&] { read_root(folder, file, root); });
  };
  support::TorchFile file;
  auto arguments = file.arguments(at::ones({2}));
  EXPECT_EQ(refusal(file, support::pickled_call("torch._utils", "_rebuild_wrapper_subclass", ")")),
            "tensor 'w' is a call of 'torch._utils _rebuild_wrapper_subclass', which is not read here; plain dense "
            "tensors are");
  EXPECT_EQ(
      refusal(file, support::pickled_call("torch._utils", "_rebuild_parameter", ")")),
      "tensor 'w' is a call of 'torch._utils _rebuild_parameter', which is not read here; plain dense tensors are");
  EXPECT_EQ(refusal(file, support::pickled_call("torch._utils", "_rebuild_tensor_v2", ")")),
            "tensor 'w' has too few arguments");
  arguments.push_back(support::pickled_dict({{"conj", "\x88"}}));
  EXPECT_EQ(
      refusal(file, support::pickled_call("torch._utils", "_rebuild_tensor_v2", support::pickled_tuple(arguments))),
      "tensor 'w' is stored conjugated or negated, which is not read here; save a copy of it");
  std::string nested = file.tensor(at::ones({2}));
  for (int i = 0; i < 1000; ++i) {
    nested = support::pickled_call("torch._utils", "_rebuild_parameter", support::pickled_tuple({nested}));
  }
  EXPECT_EQ(
      refusal(file, nested),
      "tensor 'w' is a call of 'torch._utils _rebuild_parameter', which is not read here; plain dense tensors are");
}

TEST(TorchCheckpoint, ReadsNumbersOfTensorsWithOneElement) {
  const TemporaryFolder folder;
  const auto check = [&](const at::Tensor& tensor, std::optional<std::int64_t> integer, std::optional<double> real,
                         std::optional<bool> boolean) {
    support::TorchFile file;
    const std::string root = file.tensor(tensor);
    const auto checkpoint = TorchCheckpoint::open(folder.write("x.pt", file.bytes(root)));
    const auto id = checkpoint.values().root();
    EXPECT_EQ(checkpoint.integer(id), integer) << tensor;
    EXPECT_EQ(checkpoint.real(id), real) << tensor;
    EXPECT_EQ(checkpoint.boolean(id), boolean) << tensor;
  };
  check(at::scalar_tensor(7, at::kLong), 7, 7.0, std::nullopt);
  check(at::scalar_tensor(7.0, at::kFloat), 7, 7.0, std::nullopt);
  check(at::full({1}, 2.5, at::kDouble), std::nullopt, 2.5, std::nullopt);
  check(at::ones({2}), std::nullopt, std::nullopt, std::nullopt);
}

}  // namespace
}  // namespace hessian::tests
