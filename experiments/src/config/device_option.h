#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "program/job_place.h"

namespace hessian::experiments {

/// The device that a program is asked for, on the command line or in a configuration.
/// Where several processes of a job share a machine, "auto" and "cuda" give each a GPU of its own.
/// \param option  what messages call the place where the word stands: "--device"
/// \throws std::invalid_argument  for a word that is no device
/// \throws std::runtime_error     for a device that this machine does not have
c10::Device choose_device(const std::string& word, const std::string& option, const JobPlace& place = {});

/// How many processes of a job share the memory that the device computes in: a GPU is each one's own.
int64_t processes_sharing_memory(c10::Device device, const JobPlace& place);

}  // namespace hessian::experiments
