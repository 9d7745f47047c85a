#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "formats/torch_archive.h"
#include "pickle/pickle_numbers.h"

namespace {

/// Reads every node that may be a tensor, and checks that its elements lie inside the file.
void read_tensors(const hessian::models::TorchArchive& archive, std::size_t size) {
  const hessian::models::Pickle& values = archive.values();
  for (hessian::models::Pickle::NodeId id = 0; id < values.size(); ++id) {
    if (!archive.is_tensor(id)) {
      continue;
    }
    try {
      const auto tensor = archive.tensor(id, "tensor");
      std::uint64_t last = tensor.begin;
      for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
        if (tensor.shape[axis] == 0) {
          return;
        }
        last += static_cast<std::uint64_t>((tensor.shape[axis] - 1) * tensor.strides[axis]) *
                hessian::models::size_bytes(tensor.type);
      }
      if (last + hessian::models::size_bytes(tensor.type) > size) {
        __builtin_trap();
      }
    } catch (const std::runtime_error&) {
      continue;
    }
  }
}

}  // namespace

/// Reads the input as a file of torch.save: the zip directory, the pickle, and the positions of the tensors. Input that is
/// not a zip archive is read as a pickle, so that mutated opcodes are not hidden behind a damaged directory.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    if (!hessian::models::looks_like_zip(bytes)) {
      const auto pickle = hessian::models::Pickle::parse(bytes, "input");
      for (hessian::models::Pickle::NodeId id = 0; id < pickle.size(); ++id) {
        hessian::models::describe(pickle, id);
        hessian::models::as_integer(pickle, id);
        hessian::models::as_real(pickle, id);
        hessian::models::as_boolean(pickle, id);
        pickle.find(id, "model");
      }
      return 0;
    }
    const hessian::models::TorchArchive archive(bytes, "input");
    read_tensors(archive, size);
  } catch (const std::runtime_error&) {
    return 0;
  }
  return 0;
}
