#include "run_file/hdf5_read.h"

#include <string_view>

namespace hessian::experiments {
namespace {

// Opens an attribute; returns an empty handle if there is none of that name.
Hdf5Handle find_attribute(hid_t object, const char* name) {
  return H5Aexists(object, name) > 0 ? Hdf5Handle(H5Aopen(object, name, H5P_DEFAULT), H5Aclose) : Hdf5Handle();
}

bool is_scalar(hid_t attribute) {
  const Hdf5Handle space(H5Aget_space(attribute), H5Sclose);
  return space.valid() && H5Sget_simple_extent_npoints(space.get()) == 1;
}

std::optional<std::vector<std::string>> read_variable_texts(hid_t dataset, hid_t type, hid_t memory, hid_t selection,
                                                            size_t count) {
  std::vector<char*> pointers(count, nullptr);
  if (H5Dread(dataset, type, memory, selection, H5P_DEFAULT, pointers.data()) < 0) {
    return std::nullopt;
  }
  std::vector<std::string> texts(count);
  for (size_t i = 0; i < count; ++i) {
    texts[i] = pointers[i] != nullptr ? pointers[i] : "";
    H5free_memory(pointers[i]);
  }
  return texts;
}

std::optional<std::vector<std::string>> read_padded_texts(hid_t dataset, hid_t type, hid_t memory, hid_t selection,
                                                          size_t count) {
  const size_t width = H5Tget_size(type);
  const bool spaces = H5Tget_strpad(type) == H5T_STR_SPACEPAD;
  std::string packed(count * width, '\0');
  if (H5Dread(dataset, type, memory, selection, H5P_DEFAULT, packed.data()) < 0) {
    return std::nullopt;
  }
  std::vector<std::string> texts;
  texts.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view padded = std::string_view(packed).substr(i * width, width);
    texts.emplace_back(padded.substr(0, spaces ? padded.find_last_not_of(' ') + 1 : padded.find('\0')));
  }
  return texts;
}

}  // namespace

std::optional<std::string> read_text(hid_t object, const char* name) {
  const Hdf5Handle attribute = find_attribute(object, name);
  if (!attribute.valid() || !is_scalar(attribute.get())) {
    return std::nullopt;
  }
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  if (!type.valid() || H5Tget_class(type.get()) != H5T_STRING) {
    return std::nullopt;
  }
  if (H5Tis_variable_str(type.get()) > 0) {
    const Hdf5Handle space(H5Aget_space(attribute.get()), H5Sclose);
    char* text = nullptr;
    if (H5Aread(attribute.get(), type.get(), &text) < 0) {
      return std::nullopt;
    }
    std::string value = text != nullptr ? text : "";
    H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, &text);
    return value;
  }
  std::string value(H5Tget_size(type.get()), '\0');
  if (H5Aread(attribute.get(), type.get(), value.data()) < 0) {
    return std::nullopt;
  }
  value.resize(value.find_last_not_of(std::string_view("\0 ", 2)) + 1);
  return value;
}

std::map<std::string, double> read_numbers(hid_t object) {
  std::map<std::string, double> numbers;
  const auto add = [](hid_t owner, const char* name, const H5A_info_t*, void* found) -> herr_t {
    const Hdf5Handle attribute = find_attribute(owner, name);
    const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
    double value = 0;
    if (is_scalar(attribute.get()) && H5Tget_class(type.get()) == H5T_FLOAT &&
        H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, &value) >= 0) {
      static_cast<std::map<std::string, double>*>(found)->emplace(name, value);
    }
    return 0;
  };
  H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &numbers);
  return numbers;
}

std::optional<ElementType> element_type(hid_t dataset) {
  const Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
  const H5T_class_t kind = type.valid() ? H5Tget_class(type.get()) : H5T_NO_CLASS;
  const size_t bytes = type.valid() ? H5Tget_size(type.get()) : 0;
  if (kind == H5T_FLOAT && bytes == 8) {
    return ElementType::float64;
  }
  if (kind == H5T_INTEGER && H5Tget_sign(type.get()) == H5T_SGN_2 && (bytes == 8 || bytes == 4)) {
    return bytes == 8 ? ElementType::int64 : ElementType::int32;
  }
  if (kind == H5T_INTEGER && H5Tget_sign(type.get()) == H5T_SGN_NONE && bytes == 1) {
    return ElementType::uint8;
  }
  if (kind == H5T_STRING) {
    return ElementType::text;
  }
  return std::nullopt;
}

int64_t text_bytes_of(hid_t dataset) {
  const Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
  const bool padded = type.valid() && H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0;
  return padded ? static_cast<int64_t>(H5Tget_size(type.get())) : 0;
}

std::optional<std::vector<std::string>> read_texts(hid_t dataset, hid_t memory, hid_t selection, size_t count) {
  // Reads texts in the stored type, because HDF5 converts neither between fixed and variable length nor between
  // character sets.
  const Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
  if (!type.valid()) {
    return std::nullopt;
  }
  return H5Tis_variable_str(type.get()) > 0 ? read_variable_texts(dataset, type.get(), memory, selection, count)
                                            : read_padded_texts(dataset, type.get(), memory, selection, count);
}

std::optional<Shape> shape_of(hid_t dataset) {
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose);
  const int rank = space.valid() ? H5Sget_simple_extent_ndims(space.get()) : -1;
  if (rank < 0) {
    return std::nullopt;
  }
  std::vector<hsize_t> extents(static_cast<size_t>(rank));
  if (H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr) < 0) {
    return std::nullopt;
  }
  return Shape(extents.begin(), extents.end());
}

bool read_integer(hid_t object, const char* name, hid_t memory, void* value) {
  const Hdf5Handle attribute = find_attribute(object, name);
  if (!attribute.valid() || !is_scalar(attribute.get())) {
    return false;
  }
  const Hdf5Handle type(H5Aget_type(attribute.get()), H5Tclose);
  return type.valid() && H5Tget_class(type.get()) == H5T_INTEGER && H5Aread(attribute.get(), memory, value) >= 0;
}

}  // namespace hessian::experiments
