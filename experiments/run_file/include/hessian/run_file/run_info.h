#pragma once

#include <cstdint>
#include <string>

namespace hessian::experiments {

/// The format version that this library writes, and the newest that it reads.
inline constexpr int run_file_format_version = 1;

/// Everything that determines a run: the root attributes that are known when it starts.
struct RunInfo {
  std::string program;
  std::string command_line;
  std::string version = {};   ///< of the program; empty in files of earlier versions, like the next two
  std::string libtorch = {};  ///< version of LibTorch that the program was built with
  std::string cuda = {};      ///< version of CUDA that the program was built with; empty if without
  std::string git_commit;     ///< of the sources, with "-dirty" if they were changed; "unknown" outside a checkout
  uint64_t seed = 0;
  std::string device;
  std::string dtype;
  std::string config;  ///< TOML text
  std::string model;   ///< JSON of the architecture

  bool operator==(const RunInfo&) const = default;
};

/// Returns a RunInfo of a program of this build: `program`, `command_line` and the versions are filled in.
RunInfo make_run_info(const std::string& program, const std::string& command_line);

}  // namespace hessian::experiments
