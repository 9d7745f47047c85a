#include "distributed/watchdog.h"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <utility>

#include "program/log.h"

namespace hessian::experiments {
namespace {

using namespace std::chrono_literals;

constexpr auto heartbeat_interval = 2s;
constexpr auto max_silence = 20s;
// The limit is shorter once messages fail: a silent process is then almost certainly the lost one.
constexpr auto max_silence_after_failure = 7s;
constexpr auto max_inquiry = 20s;
constexpr auto poll_interval = 200ms;

const std::string loss_key = "lost";
const std::string failure_key = "suspicion";

std::string heartbeat_key(int rank) {
  return fmt::format("alive/{}", rank);
}

std::string read(c10d::Store& store, const std::string& key) {
  const std::vector<uint8_t> bytes = store.get(key);
  return {bytes.begin(), bytes.end()};
}

void write(c10d::Store& store, const std::string& key, const std::string& text) {
  store.set(key, std::vector<uint8_t>(text.begin(), text.end()));
}

constexpr const char* advice = "; start the job again with --resume";

}  // namespace

Watchdog::Watchdog(const JobPlace& place, c10::intrusive_ptr<c10d::Store> store)
    : place_(place), store_(std::move(store)) {
  heartbeats_.resize(static_cast<std::size_t>(place_.size));
  send_heartbeat();
  // Waits for the first heartbeat of every process: from here on all can be read without blocking.
  for (int rank = 0; rank < place_.size; ++rank) {
    read(*store_, heartbeat_key(rank));
  }
  thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  stopping_ = true;
  thread_.join();
  if (std::uncaught_exceptions() > 0 && !lost_another_) {
    post(loss_key, fmt::format("process {} of {} has failed", place_.rank, place_.size));
  }
}

void Watchdog::watch() {
  for (auto next = Clock::now(); !stopping_; std::this_thread::sleep_for(poll_interval)) {
    if (Clock::now() < next) {
      continue;
    }
    next = Clock::now() + heartbeat_interval;
    send_heartbeat();
    const std::string loss = find_loss();
    if (!loss.empty() && !stopping_) {
      log_error(loss + advice);
      wait_for_readers();
      std::_Exit(1);
    }
  }
}

void Watchdog::send_heartbeat() {
  const std::lock_guard lock(mutex_);
  try {
    write(*store_, heartbeat_key(place_.rank), std::to_string(++heartbeats_sent_));
  } catch (const std::exception&) {
    // The store is gone; find_loss(), which is called next, reports that.
  }
}

std::string Watchdog::find_loss() {
  const std::lock_guard lock(mutex_);
  try {
    if (store_->check({loss_key})) {
      return read(*store_, loss_key);
    }
    // Any process whose messages fail posts that, since the first process may be busy with something else.
    const bool messages_fail = store_->check({failure_key});
    std::string loss = find_silent_process(messages_fail ? max_silence_after_failure : max_silence);
    if (!loss.empty() && place_.is_first()) {
      write(*store_, loss_key, loss);
    }
    return loss;
  } catch (const std::exception&) {
    return fmt::format("process 0 of {} is lost: nothing answers at {}:{}", place_.size, place_.address, place_.port);
  }
}

std::string Watchdog::find_silent_process(Clock::duration patience) {
  const int watched = place_.is_first() ? place_.size : 1;
  for (int rank = 0; rank < watched; ++rank) {
    Heartbeat& heartbeat = heartbeats_[static_cast<std::size_t>(rank)];
    const std::string value = read(*store_, heartbeat_key(rank));
    if (value != heartbeat.value) {
      heartbeat = {value, Clock::now()};
    }
    if (rank != place_.rank && Clock::now() - heartbeat.since > patience) {
      return fmt::format("process {} of {} is lost: no sign of life for {} s", rank, place_.size,
                         std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - heartbeat.since).count());
    }
  }
  return {};
}

void Watchdog::post(const std::string& key, const std::string& text) {
  const std::lock_guard lock(mutex_);
  try {
    write(*store_, key, text);
  } catch (const std::exception&) {
    // The store has ended with the first process; the others will notice that themselves.
  }
}

void Watchdog::wait_for_readers() const {
  if (place_.is_first()) {
    std::this_thread::sleep_for(heartbeat_interval + 1s);
  }
}

std::string Watchdog::explain_failure() {
  lost_another_ = true;
  post(failure_key, std::to_string(place_.rank));
  const auto until = Clock::now() + max_inquiry;
  while (Clock::now() < until) {
    const std::string loss = find_loss();
    if (!loss.empty()) {
      wait_for_readers();
      return loss + advice;
    }
    std::this_thread::sleep_for(poll_interval);
  }
  return fmt::format("another process of the job cannot be reached{}", advice);
}

}  // namespace hessian::experiments
