#include "run_file/hdf5_handle.h"

#include <charconv>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "io/system_error_text.h"

namespace hessian::experiments {
namespace {

herr_t collect_description(unsigned /*depth*/, const H5E_error2_t* error, void* descriptions) {
  try {
    static_cast<std::vector<std::string>*>(descriptions)->emplace_back(error->desc != nullptr ? error->desc : "");
  } catch (...) {
    return -1;
  }
  return 0;
}

// Finds the errno value that HDF5's file driver includes in its text: "..., errno = 28, error message = '...', ...".
int errno_in(std::string_view description) {
  constexpr std::string_view key = "errno = ";
  const auto position = description.find(key);
  int value = 0;
  if (position != std::string_view::npos) {
    const std::string_view digits = description.substr(position + key.size());
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
  }
  return value;
}

}  // namespace

Hdf5Handle& Hdf5Handle::operator=(Hdf5Handle&& other) noexcept {
  if (this != &other) {
    close();
    id_ = std::exchange(other.id_, H5I_INVALID_HID);
    closer_ = std::exchange(other.closer_, nullptr);
  }
  return *this;
}

bool Hdf5Handle::close() noexcept {
  if (!valid()) {
    return true;
  }
  const bool closed = closer_ == nullptr || closer_(id_) >= 0;
  id_ = H5I_INVALID_HID;
  return closed;
}

void initialize_hdf5() noexcept {
  // HDF5's exit handler repeatedly tries to write what a full disk refused, and prints errors to stderr. It can only be
  // disabled before the library is first used.
  static const bool exit_handler_disabled = H5dont_atexit() >= 0;
  static_cast<void>(exit_handler_disabled);
  thread_local const bool silent = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0;
  static_cast<void>(silent);
}

std::string hdf5_error_reason() {
  std::vector<std::string> descriptions;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect_description, &descriptions);
  H5Eclear2(H5E_DEFAULT);
  for (const std::string& description : descriptions) {
    if (const int error_number = errno_in(description); error_number != 0) {
      return models::write_error_text(error_number);
    }
  }
  // The innermost description is the most specific.
  for (const std::string& description : descriptions) {
    if (!description.empty()) {
      return description.substr(0, description.find('\n'));
    }
  }
  return "the HDF5 library gives no reason";
}

void throw_hdf5_error(const std::string& what) {
  throw std::runtime_error(what + ": " + hdf5_error_reason());
}

Hdf5Handle checked_handle(hid_t id, Hdf5Handle::Closer closer, const std::string& what) {
  if (id < 0) {
    throw_hdf5_error(what);
  }
  return {id, closer};
}

}  // namespace hessian::experiments
