#include "formats/gguf_tensors.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "formats/mapped_tensor.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

/// A quantised tensor: its blocks are bytes of the mapped file [rows, bytes per row], its values [rows, columns].
struct Quantised {
  const BlockFormat* format = nullptr;
  at::Tensor blocks;
  std::vector<std::int64_t> shape;

  std::int64_t rows() const { return blocks.size(0); }
  std::int64_t columns() const { return blocks.size(1) / format->bytes * format->values; }

  /// Computes some rows.
  void decode(std::int64_t first, std::int64_t count, float* values) const {
    const auto bytes = static_cast<std::size_t>(count * blocks.size(1));
    dequantise(*format, {static_cast<const std::byte*>(blocks.const_data_ptr()) + first * blocks.size(1), bytes},
               {values, static_cast<std::size_t>(count * columns())});
  }
};

std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t axis = shape.size(); axis > 1; --axis) {
    strides[axis - 2] = strides[axis - 1] * shape[axis - 1];
  }
  return strides;
}

Quantised quantised_of(const std::shared_ptr<const MappedFile>& file, const GgufTensor& tensor) {
  const auto size = static_cast<std::int64_t>(tensor.end - tensor.begin);
  const std::int64_t rows = static_cast<std::int64_t>(*element_count(tensor.shape)) / tensor.shape.back();
  const std::vector<std::int64_t> sizes = {rows, size / rows};
  return {tensor.format, tensor_over(file, tensor.begin, StoredType::u8, sizes, contiguous_strides(sizes)),
          tensor.shape};
}

/// Computes all rows on all threads.
at::Tensor values_of(const Quantised& tensor) {
  const PagesInUse pages(tensor.blocks);
  at::Tensor values = at::empty(tensor.shape, at::kFloat);
  float* const data = values.mutable_data_ptr<float>();
  constexpr std::int64_t values_per_task = std::int64_t{1} << 15;
  at::parallel_for(0, tensor.rows(), std::max<std::int64_t>(1, values_per_task / tensor.columns()),
                   [&](std::int64_t begin, std::int64_t end) {
                     tensor.decode(begin, end - begin, data + begin * tensor.columns());
                   });
  return values;
}

/// Computes all rows on the calling thread, which leaves the others to the computation that the weights are fetched for.
/// At most a megabyte of blocks is in memory at a time.
at::Tensor streamed_values_of(const Quantised& tensor) {
  constexpr std::int64_t bytes_at_once = std::int64_t{1} << 20;
  at::Tensor values = at::empty(tensor.shape, at::kFloat);
  float* const data = values.mutable_data_ptr<float>();
  const std::int64_t step = std::max<std::int64_t>(1, bytes_at_once / tensor.blocks.size(1));
  for (std::int64_t row = 0; row < tensor.rows(); row += step) {
    const std::int64_t count = std::min(step, tensor.rows() - row);
    const PagesInUse pages(tensor.blocks.narrow(0, row, count));
    tensor.decode(row, count, data + row * tensor.columns());
  }
  return values;
}

}  // namespace

class GgufParameters::Source final : public ParameterSource {
 public:
  std::vector<at::Tensor> fetch(const std::vector<std::string>& names,
                                const std::vector<std::string>& /*next*/) override {
    std::vector<at::Tensor> result;
    for (const std::string& name : names) {
      result.push_back(streamed_values_of(tensors.at(name)));
    }
    return result;
  }

  at::Tensor rows(const std::string& table, const at::Tensor& ids) override {
    const Quantised& tensor = tensors.at(table);
    const at::Tensor flat = ids.to(at::kCPU, at::kLong).flatten().contiguous();
    at::Tensor values = at::empty({flat.size(0), tensor.columns()}, at::kFloat);
    float* const data = values.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < flat.size(0); ++i) {
      const std::int64_t row = flat.const_data_ptr<std::int64_t>()[i];
      TORCH_CHECK_INDEX(row >= 0 && row < tensor.rows(), "row ", row, " of a table of ", tensor.rows(), " rows");
      const PagesInUse pages(tensor.blocks.narrow(0, row, 1));
      tensor.decode(row, 1, data + i * tensor.columns());
    }
    std::vector<std::int64_t> shape = ids.sizes().vec();
    shape.push_back(tensor.columns());
    return values.view(shape);
  }

  std::map<std::string, Quantised> tensors;
};

void GgufParameters::add(const std::string& name, const GgufTensor& tensor) {
  const BlockFormat& format = *tensor.format;
  if (!format.is_supported()) {
    fail(file_->path(), "tensor {} is {}, which is not supported; supported are {}", name_text(tensor.name),
         format.name, supported_block_formats());
  }
  if (format.plain) {
    if (!c10::isFloatingType(to_scalar_type(*format.plain))) {
      fail(file_->path(), "tensor {} holds {}, expected floating-point or quantised numbers", name_text(tensor.name),
           format.name);
    }
    parameters_.add(name,
                    tensor_over(file_, tensor.begin, *format.plain, tensor.shape, contiguous_strides(tensor.shape)));
    return;
  }
  if (tensor.begin == tensor.end) {
    parameters_.add(name, at::empty(tensor.shape, at::kFloat));
    return;
  }
  Quantised quantised = quantised_of(file_, tensor);
  if (!deferred_) {
    parameters_.add(name, values_of(quantised));
    return;
  }
  if (!source_) {
    source_ = std::make_shared<Source>();
  }
  parameters_.add_deferred(name, at::empty(tensor.shape, at::device(at::kMeta).dtype(at::kFloat)), source_);
  source_->tensors.emplace(name, std::move(quantised));
}

}  // namespace hessian::models
