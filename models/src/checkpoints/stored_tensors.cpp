#include "checkpoints/stored_tensors.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "formats/mapped_tensor.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

std::string what(const StoredTensor& tensor) {
  return "tensor " + name_text(tensor.full_name) + " " + shape_text(tensor.shape);
}

at::Tensor view_of(const StoredPiece& piece) {
  return tensor_over(piece.file, piece.place.begin, piece.place.type, piece.place.shape, piece.place.strides);
}

/// Releases the pages of a piece, which may have been copied because its address does not suit its type.
void release_pages(const StoredPiece& piece) {
  std::int64_t extent = 1;
  for (std::size_t axis = 0; axis < piece.place.shape.size(); ++axis) {
    extent += (piece.place.shape[axis] - 1) * piece.place.strides[axis];
  }
  piece.file->release(static_cast<std::size_t>(piece.place.begin),
                      static_cast<std::size_t>(std::max<std::int64_t>(extent, 0)) * size_bytes(piece.place.type));
}

bool is_aligned(const StoredPiece& piece) {
  const auto* address = piece.file->bytes().data() + piece.place.begin;
  return reinterpret_cast<std::uintptr_t>(address) % size_bytes(piece.place.type) == 0;
}

/// Returns whether the boxes of two pieces have an element in common.
bool overlap(const StoredPiece& a, const StoredPiece& b) {
  for (std::size_t axis = 0; axis < a.offsets.size(); ++axis) {
    if (a.offsets[axis] >= b.offsets[axis] + b.place.shape[axis] ||
        b.offsets[axis] >= a.offsets[axis] + a.place.shape[axis]) {
      return false;
    }
  }
  return true;
}

/// Copies every piece to its box. The result is a tensor of its own.
at::Tensor join(const StoredTensor& tensor) {
  const c10::NoGradGuard no_grad;
  at::Tensor result = at::empty(tensor.shape, to_scalar_type(tensor.type));
  for (const StoredPiece& piece : tensor.pieces) {
    at::Tensor box = result;
    for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      box = box.narrow(static_cast<std::int64_t>(axis), piece.offsets[axis], piece.place.shape[axis]);
    }
    const at::Tensor stored = view_of(piece);
    const PagesInUse pages(stored);
    box.copy_(stored);
    release_pages(piece);
  }
  return result;
}

/// Returns the rows [ids, width] of a matrix. Reads no others.
at::Tensor read_rows(const StoredTensor& tensor, const at::Tensor& ids) {
  const c10::NoGradGuard no_grad;
  const std::int64_t rows_in_all = tensor.shape.at(0);
  TORCH_CHECK_INDEX(((ids >= 0) & (ids < rows_in_all)).all().item<bool>(), "an index is outside the ", rows_in_all,
                    " rows of ", tensor.full_name);
  at::Tensor result = at::empty({ids.numel(), tensor.shape.at(1)}, to_scalar_type(tensor.type));
  for (const StoredPiece& piece : tensor.pieces) {
    const at::Tensor local = ids - piece.offsets[0];
    const at::Tensor places = ((local >= 0) & (local < piece.place.shape[0])).nonzero().flatten();
    const at::Tensor rows = view_of(piece).index_select(0, local.index_select(0, places));
    result.narrow(1, piece.offsets[1], piece.place.shape[1]).index_copy_(0, places, rows);
    release_pages(piece);
  }
  return result;
}

/// Joins weights when they are fetched, and keeps no pages of the files in memory between fetches.
class PiecesSource final : public ParameterSource {
 public:
  std::vector<at::Tensor> fetch(const std::vector<std::string>& names,
                                const std::vector<std::string>& /*next*/) override {
    std::vector<at::Tensor> weights;
    for (const std::string& name : names) {
      weights.push_back(join(tensors.at(name)));
    }
    return weights;
  }

  at::Tensor rows(const std::string& table, const at::Tensor& ids) override {
    std::vector<std::int64_t> shape = ids.sizes().vec();
    shape.push_back(tensors.at(table).shape.at(1));
    return read_rows(tensors.at(table), ids.flatten()).view(shape);
  }

  std::map<std::string, StoredTensor> tensors;
};

/// Returns the index in "layers.INDEX.", or nothing.
std::optional<std::int64_t> layer_of(const std::string& key) {
  constexpr std::string_view prefix = "layers.";
  if (!key.starts_with(prefix)) {
    return std::nullopt;
  }
  std::int64_t index = 0;
  const char* const end = key.data() + key.size();
  const auto [rest, error] = std::from_chars(key.data() + prefix.size(), end, index);
  const bool valid = error == std::errc() && rest != end && *rest == '.' && index >= 0 && index < INT32_MAX;
  return valid ? std::optional(index) : std::nullopt;
}

void check_weight(const StoredTensor& tensor, const ParameterSpec& spec, const std::string& source) {
  if (tensor.shape != spec.shape) {
    fail(source, "tensor {} is {}, expected {}", name_text(tensor.full_name), shape_text(tensor.shape),
         shape_text(spec.shape));
  }
  if (!at::isFloatingType(to_scalar_type(tensor.type))) {
    fail(source, "{} holds {}, expected floating-point numbers", what(tensor), to_string(tensor.type));
  }
}

}  // namespace

StoredTensor whole_tensor(const std::string& full_name, const std::shared_ptr<const MappedFile>& file,
                          const ArchivedTensor& place) {
  return {full_name, place.type, place.shape, {{file, place, std::vector<std::int64_t>(place.shape.size(), 0)}}};
}

void check_pieces(const StoredTensor& tensor, const std::string& source) {
  constexpr std::size_t max_pieces = 16384;  // pieces are compared in pairs
  if (tensor.pieces.size() > max_pieces) {
    fail(source, "{} is in {} pieces, more than the {} that are read here", what(tensor), tensor.pieces.size(),
         max_pieces);
  }
  const auto total = element_count(tensor.shape);
  if (!total) {
    fail(source, "{} is too large", what(tensor));
  }
  std::uint64_t filled = 0;
  std::vector<const StoredPiece*> sorted;
  for (const StoredPiece& piece : tensor.pieces) {
    const auto& box = piece.place.shape;
    bool inside = piece.offsets.size() == tensor.shape.size() && box.size() == tensor.shape.size();
    for (std::size_t axis = 0; inside && axis < box.size(); ++axis) {
      inside = piece.offsets[axis] >= 0 && box[axis] <= tensor.shape[axis] &&
               piece.offsets[axis] <= tensor.shape[axis] - box[axis];
    }
    if (!inside) {
      fail(source, "{} has a piece {} at {}, which is outside it", what(tensor), shape_text(box),
           shape_text(piece.offsets));
    }
    if (piece.place.type != tensor.type) {
      fail(source, "{} has pieces of the types {} and {}, expected one type", what(tensor), to_string(tensor.type),
           to_string(piece.place.type));
    }
    const std::uint64_t elements = element_count(box).value_or(0);
    // A piece of a sharded tensor is no broadcast tensor, so that the files' sizes limit that of the tensor.
    if (tensor.pieces.size() > 1 && elements > piece.file->bytes().size() / size_bytes(piece.place.type)) {
      fail(source, "{} has a piece {} that is larger than its file", what(tensor), shape_text(box));
    }
    filled += elements;  // at most max_pieces times a tensor's elements: wraps only if there is an overlap as well
    if (elements > 0) {
      sorted.push_back(&piece);
    }
  }
  // Most tensors are divided along their first axis: then each piece is compared with its neighbour only.
  std::ranges::stable_sort(sorted, [](const auto* a, const auto* b) { return a->offsets < b->offsets; });
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    for (std::size_t j = i + 1; j < sorted.size(); ++j) {
      const bool beyond =
          !tensor.shape.empty() && sorted[j]->offsets[0] >= sorted[i]->offsets[0] + sorted[i]->place.shape[0];
      if (beyond) {
        break;
      }
      if (overlap(*sorted[i], *sorted[j])) {
        fail(source, "{} has the element at {} in two pieces", what(tensor), shape_text(sorted[j]->offsets));
      }
    }
  }
  if (filled != *total) {
    fail(source, "{} has {} of its {} elements; a piece is missing", what(tensor), filled, *total);
  }
}

at::Tensor read(const StoredTensor& tensor) {
  return tensor.pieces.size() == 1 ? view_of(tensor.pieces.front()) : join(tensor);
}

void StoredTensors::add(const std::string& key, StoredTensor tensor) {
  check_pieces(tensor, source_);
  const std::string full_name = tensor.full_name;
  const auto [place, fresh] = tensors_.try_emplace(key, std::move(tensor));
  if (!fresh) {
    fail(source_, "tensors {} and {} are one and the same", name_text(place->second.full_name), name_text(full_name));
  }
}

const StoredTensor* StoredTensors::find(const std::string& key) const {
  const auto found = tensors_.find(key);
  return found == tensors_.end() ? nullptr : &found->second;
}

const StoredTensor& StoredTensors::at(const std::string& key) const {
  const StoredTensor* tensor = find(key);
  if (tensor == nullptr) {
    fail(source_, "tensor {} is absent", name_text(key));
  }
  return *tensor;
}

std::int64_t StoredTensors::count_layers() const {
  std::int64_t layers = 0;
  for (const auto& [key, tensor] : tensors_) {
    layers = std::max(layers, layer_of(key).value_or(-1) + 1);
  }
  return layers;
}

bool StoredTensors::head_is_embedding() const {
  const StoredTensor* head = find("output.weight");
  const StoredTensor& embedding = at("tok_embeddings.weight");
  if (head == nullptr) {
    return true;
  }
  if (head->shape != embedding.shape || head->type != embedding.type || head->shape.size() != 2) {
    return false;
  }
  constexpr std::int64_t rows_at_once = 1024;  // some MiB of each
  for (std::int64_t row = 0; row < head->shape[0]; row += rows_at_once) {
    const at::Tensor ids = at::arange(row, std::min(row + rows_at_once, head->shape[0]), at::kLong);
    if (!read_rows(*head, ids).equal(read_rows(embedding, ids))) {
      return false;
    }
  }
  return true;
}

Model StoredTensors::take(const GptConfig& config, WeightAccess access, FileUse use) const {
  const auto source = std::make_shared<PiecesSource>();
  Parameters parameters;
  std::map<std::string, StoredTensor> rest = tensors_;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    const auto found = rest.find(spec.name);
    if (found == rest.end()) {
      fail(source_, "tensor {} {} is absent", name_text(spec.name), shape_text(spec.shape));
    }
    StoredTensor tensor = std::move(found->second);
    rest.erase(found);
    check_weight(tensor, spec, source_);
    const bool viewed = use == FileUse::viewed && tensor.pieces.size() == 1 && is_aligned(tensor.pieces.front());
    if (viewed) {
      parameters.add(spec.name, view_of(tensor.pieces.front()));
    } else if (access == WeightAccess::ready) {
      parameters.add(spec.name, join(tensor));
    } else {
      parameters.add_deferred(spec.name,
                              at::empty(spec.shape, at::device(at::kMeta).dtype(to_scalar_type(tensor.type))), source);
      source->tensors.emplace(spec.name, std::move(tensor));
    }
  }
  if (config.tied_head && rest.erase("output.weight") != 0 && !head_is_embedding()) {
    fail(source_, "tensor {} differs from the token embedding, to which it should be tied",
         name_text(at("output.weight").full_name));
  }
  if (!rest.empty()) {
    fail(source_, "{} is not part of this architecture", what(rest.begin()->second));
  }
  return assemble_model(config, parameters, source_, access);
}

}  // namespace hessian::models
