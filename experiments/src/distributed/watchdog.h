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

/// Detects in a thread of its own that another process of the job has died, hangs or cannot be reached.
///
/// Every process writes a heartbeat into the job's key-value store every two seconds. The first process reads the
/// heartbeats of all, and posts a loss when one has been silent for twenty seconds, or for seven seconds once messages
/// fail. The others read the first one's heartbeat and look for a posted loss. A process that learns of a loss prints
/// one line on stderr and exits with status 1, because it might otherwise wait for ever for a message.
class Watchdog {
 public:
  /// Starts watching. Every process of the job has to construct one.
  /// \param store  connection to the job's store that nothing else uses
  Watchdog(const JobPlace& place, c10::intrusive_ptr<c10d::Store> store);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  /// Stops watching. During stack unwinding it also posts that this process has failed.
  ~Watchdog();

  /// Returns one sentence that says which process was lost and how; to be called after a message could not be
  /// exchanged. Waits up to twenty seconds for the answer.
  std::string explain_failure();

 private:
  using Clock = std::chrono::steady_clock;
  /// The last heartbeat read from another process.
  struct Heartbeat {
    std::string value;
    Clock::time_point since = Clock::now();
  };

  void watch();
  void send_heartbeat();
  /// Returns a description of the loss, or an empty text while none is known.
  std::string find_loss();
  /// Returns a description of a process whose heartbeat has not changed for `patience`, or an empty text.
  std::string find_silent_process(Clock::duration patience);
  /// Keeps the store alive, if this process serves it, until the others have had time to read what was posted.
  void wait_for_readers() const;
  void post(const std::string& key, const std::string& text);

  JobPlace place_;
  c10::intrusive_ptr<c10d::Store> store_;
  std::mutex mutex_;  // guards the store and everything below
  std::vector<Heartbeat> heartbeats_;
  int64_t heartbeats_sent_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> lost_another_ = false;  // another process was lost first, so this one's end need not be posted
  std::thread thread_;
};

}  // namespace hessian::experiments
