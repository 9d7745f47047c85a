#pragma once

#include <hdf5.h>

#include <string>
#include <utility>

namespace hessian::experiments {

/// An HDF5 identifier and the function that closes it.
///
/// Move-only. The destructor closes silently; call close() where a failure to close must be known.
class Hdf5Handle {
 public:
  using Closer = herr_t (*)(hid_t);

  Hdf5Handle() noexcept = default;
  Hdf5Handle(hid_t id, Closer closer) noexcept : id_(id), closer_(closer) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), closer_(std::exchange(other.closer_, nullptr)) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept;
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;
  ~Hdf5Handle() { close(); }

  [[nodiscard]] hid_t get() const noexcept { return id_; }
  [[nodiscard]] bool valid() const noexcept { return id_ >= 0; }

  /// Closes now. Returns whether that succeeded; the handle is empty afterwards in either case.
  bool close() noexcept;

 private:
  hid_t id_ = H5I_INVALID_HID;
  Closer closer_ = nullptr;
};

/// Prepares the HDF5 library for the calling thread: errors are kept for hdf5_error_reason() instead of being printed,
/// and files that could not be closed (a full disk) are left alone when the process ends.
///
/// Every entry to this library calls it; it costs nothing when repeated.
void initialize_hdf5() noexcept;

/// Why the last HDF5 call of this thread failed, in one line, with the remedy where the operating system's error
/// suggests one: `No space left on device; free some space or write elsewhere`. Clears HDF5's error stack.
std::string hdf5_error_reason();

/// \throws std::runtime_error  always: `WHAT: REASON`, the reason as in hdf5_error_reason()
[[noreturn]] void throw_hdf5_error(const std::string& what);

/// Wraps the identifier that an HDF5 call returned.
/// \throws std::runtime_error  if the call failed, as in throw_hdf5_error()
Hdf5Handle checked_handle(hid_t id, Hdf5Handle::Closer closer, const std::string& what);

/// One line for an error of the operating system, with its remedy where there is an obvious one.
std::string describe_errno(int error_number);

}  // namespace hessian::experiments
