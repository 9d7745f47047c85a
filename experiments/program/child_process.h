#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hessian::experiments {

/// A child process that does not outlive this one.
class ChildProcess {
 public:
  /// Starts a program and appends its stdout and stderr to a file. A program name without a folder is searched for in
  /// PATH; the exit status is 127 if it is not found. The child has this process's environment without the variables of
  /// job_place().
  /// \param hidden  further environment variables that the child does not get
  /// \throws std::runtime_error  if no process can be created
  ChildProcess(const std::vector<std::string>& command, const std::filesystem::path& log,
               const std::vector<std::string>& hidden = {});
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  /// Kills the process if it is still running.
  ~ChildProcess();

  /// Returns the exit status once the process has ended (128 plus the signal's number if a signal ended it), and
  /// nothing before.
  std::optional<int> poll();

  /// Waits for the process to end and returns the same status. May be called once.
  int wait();

  /// Sends SIGTERM.
  void terminate() const;

  pid_t id() const { return id_; }

 private:
  pid_t id_ = -1;
};

/// Returns the path of the running program.
std::filesystem::path this_program();

}  // namespace hessian::experiments
