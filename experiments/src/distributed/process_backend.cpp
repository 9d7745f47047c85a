#include "distributed/process_backend.h"

#include <ATen/ATen.h>
#include <dlfcn.h>

#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO  // LibTorch is built with Gloo, but its headers need the macro
#endif
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>
#include <stdexcept>
#include <string>

namespace hessian::experiments {
namespace {

/// Timeout of a message. It is long because one process may validate, probe or write a checkpoint while the others
/// wait; the watchdog detects processes that died.
constexpr std::chrono::hours message_timeout(24);

/// Loads NCCL's backend from a separate library (nccl/nccl_backend.cpp), because it needs CUDA's libraries and the
/// programs must also run without them.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, const JobPlace& place) {
  using Make = c10d::Backend* (*)(const c10::intrusive_ptr<c10d::Store>&, int, int, std::chrono::milliseconds);
  void* library = dlopen("libhessian_nccl.so", RTLD_NOW | RTLD_LOCAL);
  void* make = library == nullptr ? nullptr : dlsym(library, "hessian_make_nccl_backend");
  if (make == nullptr) {
    const char* reason = dlerror();
    throw std::runtime_error("several processes on CUDA devices need NCCL, which cannot be loaded: " +
                             std::string(reason == nullptr ? "the library lacks the function" : reason) +
                             "; use --device cpu, or a build for which CMake finds nccl.h");
  }
  return c10::intrusive_ptr<c10d::Backend>::reclaim(
      reinterpret_cast<Make>(make)(store, place.rank, place.size, message_timeout));
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_backend(const c10::intrusive_ptr<c10d::Store>& store, const JobPlace& place,
                                               at::Device device) {
  if (device.is_cuda()) {
    return make_nccl(store, place);
  }
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, place.rank, place.size,
                                                     c10d::ProcessGroupGloo::Options::create_default(message_timeout));
}

}  // namespace hessian::experiments
