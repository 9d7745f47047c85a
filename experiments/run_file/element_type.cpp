#include "run_file/element_type.h"

#include <stdexcept>

namespace hessian::experiments {
namespace {

Hdf5Handle text_type(int64_t text_bytes) {
  const std::string what = "HDF5 type of texts of " + std::to_string(text_bytes) + " bytes cannot be made";
  Hdf5Handle type = checked_handle(H5Tcopy(H5T_C_S1), H5Tclose, what);
  if (H5Tset_size(type.get(), static_cast<size_t>(text_bytes)) < 0 || H5Tset_strpad(type.get(), H5T_STR_NULLPAD) < 0 ||
      H5Tset_cset(type.get(), H5T_CSET_UTF8) < 0) {
    throw_hdf5_error(what);
  }
  return type;
}

/// Wraps one of HDF5's own types, which must not be closed.
Hdf5Handle predefined(hid_t type) {
  return {type, nullptr};
}

}  // namespace

Hdf5Handle memory_type(ElementType type, int64_t text_bytes) {
  switch (type) {
    case ElementType::float64:
      return predefined(H5T_NATIVE_DOUBLE);
    case ElementType::int64:
      return predefined(H5T_NATIVE_INT64);
    case ElementType::int32:
      return predefined(H5T_NATIVE_INT32);
    case ElementType::uint8:
      return predefined(H5T_NATIVE_UINT8);
    case ElementType::text:
      return text_type(text_bytes);
  }
  return {};
}

Hdf5Handle disk_type(ElementType type, int64_t text_bytes) {
  switch (type) {
    case ElementType::float64:
      return predefined(H5T_IEEE_F64LE);
    case ElementType::int64:
      return predefined(H5T_STD_I64LE);
    case ElementType::int32:
      return predefined(H5T_STD_I32LE);
    case ElementType::uint8:
      return predefined(H5T_STD_U8LE);
    case ElementType::text:
      return text_type(text_bytes);
  }
  return {};
}

std::string pack_texts(std::span<const std::string> texts, int64_t text_bytes, const std::string& what) {
  const auto width = static_cast<size_t>(text_bytes);
  std::string packed(texts.size() * width, '\0');
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string& text = texts[i];
    if (text.size() > width) {
      throw std::invalid_argument(what + " given a text of " + std::to_string(text.size()) +
                                  " bytes, expected at most " + std::to_string(width));
    }
    if (text.find('\0') != std::string::npos) {
      throw std::invalid_argument(what + " given a text with a NUL byte, which ends a text in HDF5");
    }
    text.copy(&packed[i * width], width);
  }
  return packed;
}

}  // namespace hessian::experiments
