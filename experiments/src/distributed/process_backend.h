#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "program/job_place.h"

namespace hessian::experiments {

/// Creates the backend that carries messages between the processes of a job: LibTorch's Gloo on the CPU, NCCL on CUDA
/// devices. Returns once every process has connected.
/// \throws std::runtime_error  if this build has no NCCL
c10::intrusive_ptr<c10d::Backend> make_backend(const c10::intrusive_ptr<c10d::Store>& store, const JobPlace& place,
                                               at::Device device);

}  // namespace hessian::experiments
