#pragma once

#include <hdf5.h>

#include <string>
#include <utility>

namespace hessian::experiments {

/// An HDF5 identifier and the function that closes it.
///
/// Move-only. The destructor ignores errors; call close() to learn whether closing failed.
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

  /// Closes the identifier and returns whether that succeeded; the handle is empty afterwards in either case.
  bool close() noexcept;

 private:
  hid_t id_ = H5I_INVALID_HID;
  Closer closer_ = nullptr;
};

/// Prepares the HDF5 library for the calling thread: errors are kept for hdf5_error_reason() instead of being printed,
/// and HDF5 does not retry at exit to write files that it could not close (a full disk).
///
/// Every public function of this library calls it; repeated calls cost nothing.
void initialize_hdf5() noexcept;

/// Returns why the last HDF5 call of this thread failed, in one line, with a remedy if the operating system's error
/// suggests one: `No space left on device; free some space or write elsewhere`. Clears HDF5's error stack.
std::string hdf5_error_reason();

/// Throws std::runtime_error `WHAT: REASON`, with the reason of hdf5_error_reason().
[[noreturn]] void throw_hdf5_error(const std::string& what);

/// Wraps the identifier that an HDF5 call returned.
/// \throws std::runtime_error  if the call failed, as in throw_hdf5_error()
Hdf5Handle checked_handle(hid_t id, Hdf5Handle::Closer closer, const std::string& what);

}  // namespace hessian::experiments
