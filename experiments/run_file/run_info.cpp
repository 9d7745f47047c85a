#include "hessian/run_file/run_info.h"

#include "build_info.h"

namespace hessian::experiments {

RunInfo make_run_info(const std::string& program, const std::string& command_line) {
  RunInfo info;
  info.program = program;
  info.command_line = command_line;
  info.version = build_info::version;
  info.libtorch = build_info::libtorch;
  info.cuda = build_info::cuda;
  info.git_commit = build_info::commit;
  return info;
}

}  // namespace hessian::experiments
