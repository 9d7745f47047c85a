#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "distributed/process_group.h"
#include "hessian/memory.h"
#include "program/job_place.h"

namespace hessian::experiments {

struct JobOptions {
  std::string device = "auto";
  std::string device_option = "--device";  ///< the option's name in messages
  std::filesystem::path output = {};       ///< run file that the first process will write; empty: not checked here
  bool overwrite = false;                  ///< whether that file may exist
};

/// Begins the computation of a program: starts to count memory, reads this process's place from the environment,
/// chooses the device, checks that the output can be written, and joins the other processes.
struct Job {
  /// \throws std::invalid_argument, std::runtime_error  as job_place(), choose_device(), ensure_writable_output() and
  ///                                                    ProcessGroup::join()
  explicit Job(const JobOptions& options);

  MemoryScope memory;  ///< counts everything that is allocated after the job began
  JobPlace place;
  at::Device device;
  ProcessGroup group;
};

}  // namespace hessian::experiments
