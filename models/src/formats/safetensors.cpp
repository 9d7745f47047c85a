#include "formats/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "formats/mapped_tensor.h"
#include "io/atomic_file.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

std::vector<std::int64_t> contiguous_strides(std::span<const std::int64_t> shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t step = 1;
  for (std::size_t axis = shape.size(); axis > 0; --axis) {
    strides[axis - 1] = step;
    step *= shape[axis - 1];
  }
  return strides;
}

StoredType stored_type_of(const at::Tensor& tensor, const std::string& name, const std::string& path) {
  constexpr auto last = static_cast<int>(StoredType::c64);
  for (int index = 0; index <= last; ++index) {
    const auto type = static_cast<StoredType>(index);
    if (to_scalar_type(type) == tensor.scalar_type()) {
      return type;
    }
  }
  fail(path, "tensor {} has a type that cannot be written to a safetensors file: {}", name_text(name),
       c10::toString(tensor.scalar_type()));
}

struct Outgoing {
  std::string name;
  StoredType type;
  at::Tensor tensor;
};

std::string header_text(const std::vector<Outgoing>& tensors, const std::map<std::string, std::string>& metadata) {
  constexpr std::size_t alignment = 8;
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    header["__metadata__"] = metadata;
  }
  std::uint64_t begin = 0;
  for (const auto& [name, type, tensor] : tensors) {
    const std::uint64_t end = begin + tensor.nbytes();
    header[name] = {{"dtype", to_string(type)}, {"shape", tensor.sizes().vec()}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + alignment - 1) / alignment * alignment, ' ');
  return text;
}

}  // namespace

SafetensorsFile load_safetensors(const std::string& path) {
  const auto file = MappedFile::open(path);
  return tensors_of(file, parse_safetensors_header(file->bytes(), path));
}

SafetensorsFile tensors_of(const std::shared_ptr<const MappedFile>& file, SafetensorsHeader header) {
  SafetensorsFile result;
  for (const auto& entry : header.tensors) {
    result.tensors.add(entry.name,
                       tensor_over(file, entry.begin, entry.type, entry.shape, contiguous_strides(entry.shape)));
  }
  result.metadata = std::move(header.metadata);
  return result;
}

void save_safetensors(const std::string& path, const Parameters& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<Outgoing> outgoing;
  for (const auto& [name, tensor] : tensors) {
    const StoredType type = stored_type_of(tensor, name, path);
    outgoing.push_back({name, type, tensor.detach()});
  }
  std::ranges::stable_sort(outgoing, std::greater<>(), [](const Outgoing& item) { return size_bytes(item.type); });
  const std::string header = header_text(outgoing, metadata);
  const std::uint64_t header_size = header.size();

  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_size, 1)));
  file.write(std::as_bytes(std::span(header)));
  for (const auto& item : outgoing) {
    // Copies one tensor at a time to the CPU, so that a model on a GPU is never held twice.
    const at::Tensor host = item.tensor.to(at::kCPU).contiguous();
    file.write({static_cast<const std::byte*>(host.const_data_ptr()), host.nbytes()});
  }
  file.commit();
}

}  // namespace hessian::models
