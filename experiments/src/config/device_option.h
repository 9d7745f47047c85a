#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "program/job_place.h"

namespace hessian::experiments {

/// Returns the device that the command line or a configuration asks for.
/// If several processes of a job run on one machine, "auto" and "cuda" give each its own GPU.
/// \param option  the option's name in messages: "--device"
/// \throws std::invalid_argument  for a word that is not a device
/// \throws std::runtime_error     for a device that this machine does not have
c10::Device choose_device(const std::string& word, const std::string& option, const JobPlace& place = {});

/// Returns how many processes of a job share the memory of the device: one for a GPU, all of this machine for the CPU.
int64_t processes_sharing_memory(c10::Device device, const JobPlace& place);

}  // namespace hessian::experiments
