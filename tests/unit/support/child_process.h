#pragma once

// Starts child processes that report their progress, so that a test can kill them and check their reports.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>

namespace hessian::tests {

/// The progress that a writer reported before it ended.
struct Progress {
  int64_t rows_flushed = 0;
  bool created = false;
  bool finished = false;
};

inline void report(int descriptor, char event) {
  if (::write(descriptor, &event, 1) != 1) {
    ::_exit(2);
  }
}

inline Progress read_progress(int descriptor) {
  Progress progress;
  for (char event = 0; ::read(descriptor, &event, 1) == 1;) {
    if (event == 's') {  // a new start, perhaps of another run over the same file
      progress = {};
    }
    progress.created = progress.created || event == 'c';
    progress.rows_flushed += event == 'r' ? 1 : 0;
    progress.finished = progress.finished || event == 'f';
  }
  return progress;
}

struct Child {
  pid_t process = -1;
  int progress = -1;
};

/// Forks a child that runs `action` with the descriptor that it reports to.
inline Child start(const std::function<void(int)>& action) {
  std::array<int, 2> pipe{};
  EXPECT_EQ(::pipe(pipe.data()), 0);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe[0]);
    int status = 0;
    try {
      action(pipe[1]);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      status = 1;
    }
    ::_exit(status);
  }
  ::close(pipe[1]);
  return {child, pipe[0]};
}

inline Progress wait_for(const Child& child) {
  ::waitpid(child.process, nullptr, 0);
  const Progress progress = read_progress(child.progress);
  ::close(child.progress);
  return progress;
}

}  // namespace hessian::tests
