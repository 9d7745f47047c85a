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

/// Computes all rows on the calling thread, which leaves the others to the computation that the weights are fetched
/// for. At most a megabyte of blocks is in memory at a time.
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
      result.push_back(value_of(items.at(name)));
    }
    return result;
  }

  at::Tensor rows(const std::string& table, const at::Tensor& ids) override {
    const Item& item = items.at(table);
    if (item.form) {
      return at::embedding(value_of(item), ids);
    }
    const Quantised& tensor = item.quantised;
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

  struct Item {
    Quantised quantised;  ///< without a format if the tensor is of a plain type
    at::Tensor view;      ///< of such a tensor
    Form form;            ///< may be empty for quantised tensors
  };
  std::map<std::string, Item> items;

 private:
  static at::Tensor value_of(const Item& item) {
    if (item.quantised.format == nullptr) {
      const PagesInUse pages(item.view);
      return item.form(item.view);
    }
    const at::Tensor values = streamed_values_of(item.quantised);
    return item.form ? item.form(values) : values;
  }
};

GgufParameters::Source& GgufParameters::source() {
  if (!source_) {
    source_ = std::make_shared<Source>();
  }
  return *source_;
}

void GgufParameters::add_view(const std::string& name, at::Tensor view, Form form) {
  if (!form) {
    parameters_.add(name, std::move(view));
  } else if (!deferred_) {
    parameters_.add(name, form(view));
  } else {
    source().items.emplace(name, Source::Item{.quantised = {}, .view = view, .form = std::move(form)});
    parameters_.add_deferred(name, at::empty(view.sizes(), view.options().device(at::kMeta)), source_);
  }
}

void GgufParameters::add(const std::string& name, const GgufTensor& tensor, Form form) {
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
    add_view(name, tensor_over(file_, tensor.begin, *format.plain, tensor.shape, contiguous_strides(tensor.shape)),
             std::move(form));
    return;
  }
  if (tensor.begin == tensor.end) {
    add_view(name, at::empty(tensor.shape, at::kFloat), std::move(form));
    return;
  }
  Quantised quantised = quantised_of(file_, tensor);
  if (!deferred_) {
    add_view(name, values_of(quantised), std::move(form));
    return;
  }
  source().items.emplace(name, Source::Item{.quantised = std::move(quantised), .view = {}, .form = std::move(form)});
  parameters_.add_deferred(name, at::empty(tensor.shape, at::device(at::kMeta).dtype(at::kFloat)), source_);
}

}  // namespace hessian::models
