#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hessian::experiments {

/// A program that runs beside this one and does not outlive it.
class ChildProcess {
 public:
  /// Starts it, with its output and errors going to a file. A program without a folder is sought in the PATH; its exit
  /// status is 127 where it is not found.
  /// \throws std::runtime_error  if no process can be made
  ChildProcess(const std::vector<std::string>& command, const std::filesystem::path& log);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  /// Kills it if it is running still.
  ~ChildProcess();

  /// Its exit status once it has ended, 128 and the signal's number if a signal ended it.
  std::optional<int> poll();

  /// Waits for its end, for the same status. To be called once.
  int wait();

  /// Asks it to end (SIGTERM).
  void terminate() const;

  pid_t id() const { return id_; }

 private:
  pid_t id_ = -1;
};

/// Path of the running program.
std::filesystem::path this_program();

}  // namespace hessian::experiments
