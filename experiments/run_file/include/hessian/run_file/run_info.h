#pragma once

#include <cstdint>
#include <string>

namespace hessian::experiments {

/// The format version that this library writes, and the newest that it reads.
inline constexpr int run_file_format_version = 1;

/// The root attributes of a run file that are known when the run starts. They determine its results.
struct RunInfo {
  std::string program;
  std::string command_line;
  std::string version = {};   ///< version of the program; empty in older files, as are the next two
  std::string libtorch = {};  ///< version of LibTorch that the program was built with
  std::string cuda = {};      ///< version of CUDA that the program was built with; empty if built without CUDA
  std::string git_commit;     ///< commit of the sources, with "-dirty" if changed; "unknown" outside a checkout
  uint64_t seed = 0;
  std::string device;
  std::string dtype;
  std::string config;     ///< TOML text
  std::string model;      ///< JSON of the architecture
  std::string data = {};  ///< JSON of digests of the data and its tokenizer; empty if the program records none

  bool operator==(const RunInfo&) const = default;
};

/// Returns the RunInfo of a program of this build with `program`, `command_line` and the versions filled in.
RunInfo make_run_info(const std::string& program, const std::string& command_line);

}  // namespace hessian::experiments
