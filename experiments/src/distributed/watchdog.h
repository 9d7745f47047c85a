#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "program/job_place.h"

namespace hessian::experiments {

/// Notices that a process of a job has died, hangs or cannot be reached, whatever this one is doing.
///
/// Each process writes a sign of life into the job's store every two seconds. The first process reads those of all, and
/// leaves word of one that has given none for twenty seconds, or for seven seconds once messages fail; the others read
/// the first one's, and look for that word. Whoever learns of a loss ends its process with a line on stderr and status
/// 1: alone it would wait for ever.
class Watchdog {
 public:
  /// Begins to watch; every process of the job has to make one.
  /// \param store  a connection that nothing else uses
  Watchdog(const JobPlace& place, c10::intrusive_ptr<c10d::Store> store);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  /// Stops watching. If an exception is on its way, leaves word that this process has failed.
  ~Watchdog();

  /// What became of the process that a message could not be exchanged with, in a sentence; waits for up to twenty
  /// seconds until that is known.
  std::string explain_failure();

 private:
  using Clock = std::chrono::steady_clock;
  /// What was last heard of another process.
  struct Sign {
    std::string value;
    Clock::time_point since = Clock::now();
  };

  void watch();
  void give_sign();
  /// The loss that is known, or an empty text.
  std::string look();
  /// A process that has given no sign of life for `patience`.
  std::string silent_process(Clock::duration patience);
  void let_others_read() const;
  void leave_word(const std::string& key, const std::string& text);

  JobPlace place_;
  c10::intrusive_ptr<c10d::Store> store_;
  std::mutex mutex_;  // over everything below, and the store
  std::vector<Sign> signs_;
  int64_t signs_given_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> lost_another_ = false;  // then this process's own end is no news
  std::thread thread_;
};

}  // namespace hessian::experiments
