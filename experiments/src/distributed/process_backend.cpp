#include "distributed/process_backend.h"

#include <ATen/ATen.h>
#include <dlfcn.h>

#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO  // LibTorch is built with it; its headers want to be told
#endif
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>
#include <stdexcept>
#include <string>

namespace hessian::experiments {
namespace {

/// A process may validate, probe or write a checkpoint for as long as it takes; that it lives is the watchdog's matter.
constexpr std::chrono::hours longest_wait(24);

/// NCCL's part of LibTorch needs CUDA's libraries, which the programs run without: it is a library of its own
/// (nccl/nccl_backend.cpp), loaded here.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, const JobPlace& place) {
  using Make = c10d::Backend* (*)(const c10::intrusive_ptr<c10d::Store>&, int, int, std::chrono::milliseconds);
  void* library = dlopen("libhessian_nccl.so", RTLD_NOW | RTLD_LOCAL);
  void* make = library == nullptr ? nullptr : dlsym(library, "hessian_make_nccl_backend");
  if (make == nullptr) {
    const char* reason = dlerror();
    throw std::runtime_error("several processes on CUDA devices need NCCL, which cannot be used: " +
                             std::string(reason == nullptr ? "it has no such function" : reason) +
                             "; --device cpu works, and so does a build where CMake finds nccl.h");
  }
  return c10::intrusive_ptr<c10d::Backend>::reclaim(
      reinterpret_cast<Make>(make)(store, place.rank, place.size, longest_wait));
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_backend(const c10::intrusive_ptr<c10d::Store>& store, const JobPlace& place,
                                               at::Device device) {
  if (device.is_cuda()) {
    return make_nccl(store, place);
  }
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, place.rank, place.size,
                                                     c10d::ProcessGroupGloo::Options::create_default(longest_wait));
}

}  // namespace hessian::experiments
