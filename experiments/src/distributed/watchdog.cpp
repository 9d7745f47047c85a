#include "distributed/watchdog.h"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <utility>

#include "program/log.h"

namespace hessian::experiments {
namespace {

using namespace std::chrono_literals;

constexpr auto between_signs = 2s;
constexpr auto longest_silence = 20s;
// Once messages fail, a process whose signs have stopped too is the one to name.
constexpr auto suspicious_silence = 7s;
constexpr auto longest_inquiry = 20s;
constexpr auto between_looks = 200ms;

const std::string word_of_loss = "lost";
const std::string word_of_suspicion = "suspicion";

std::string sign_of(int rank) {
  return fmt::format("alive/{}", rank);
}

std::string text_at(c10d::Store& store, const std::string& key) {
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
  signs_.resize(static_cast<std::size_t>(place_.size));
  give_sign();
  // From here on every sign can be read without waiting for it.
  for (int rank = 0; rank < place_.size; ++rank) {
    text_at(*store_, sign_of(rank));
  }
  thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  stopping_ = true;
  thread_.join();
  if (std::uncaught_exceptions() > 0 && !lost_another_) {
    leave_word(word_of_loss, fmt::format("process {} of {} has failed", place_.rank, place_.size));
  }
}

void Watchdog::watch() {
  for (auto next = Clock::now(); !stopping_; std::this_thread::sleep_for(between_looks)) {
    if (Clock::now() < next) {
      continue;
    }
    next = Clock::now() + between_signs;
    give_sign();
    const std::string loss = look();
    if (!loss.empty() && !stopping_) {
      log_error(loss + advice);
      let_others_read();
      std::_Exit(1);
    }
  }
}

void Watchdog::give_sign() {
  const std::lock_guard lock(mutex_);
  try {
    write(*store_, sign_of(place_.rank), std::to_string(++signs_given_));
  } catch (const std::exception&) {
    // The look that follows says so.
  }
}

std::string Watchdog::look() {
  const std::lock_guard lock(mutex_);
  try {
    if (store_->check({word_of_loss})) {
      return text_at(*store_, word_of_loss);
    }
    // Whoever could not exchange a message has left word; the first process may be waiting for another.
    const bool suspicion = store_->check({word_of_suspicion});
    std::string loss = silent_process(suspicion ? suspicious_silence : longest_silence);
    if (!loss.empty() && place_.is_first()) {
      write(*store_, word_of_loss, loss);
    }
    return loss;
  } catch (const std::exception&) {
    return fmt::format("process 0 of {}, which the others meet at {}:{}, is lost", place_.size, place_.address,
                       place_.port);
  }
}

std::string Watchdog::silent_process(Clock::duration patience) {
  const int watched = place_.is_first() ? place_.size : 1;
  for (int rank = 0; rank < watched; ++rank) {
    Sign& sign = signs_[static_cast<std::size_t>(rank)];
    const std::string value = text_at(*store_, sign_of(rank));
    if (value != sign.value) {
      sign = {value, Clock::now()};
    }
    if (rank != place_.rank && Clock::now() - sign.since > patience) {
      return fmt::format("process {} of {} is lost: no sign of life for {} s", rank, place_.size,
                         std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - sign.since).count());
    }
  }
  return {};
}

void Watchdog::leave_word(const std::string& key, const std::string& text) {
  const std::lock_guard lock(mutex_);
  try {
    write(*store_, key, text);
  } catch (const std::exception&) {
    // The store has ended with the first process, and the others will learn of that.
  }
}

void Watchdog::let_others_read() const {
  if (place_.is_first()) {
    std::this_thread::sleep_for(between_signs + 1s);  // the store, and with it the word, ends with this process
  }
}

std::string Watchdog::explain_failure() {
  lost_another_ = true;
  leave_word(word_of_suspicion, std::to_string(place_.rank));
  const auto until = Clock::now() + longest_inquiry;
  while (Clock::now() < until) {
    const std::string loss = look();
    if (!loss.empty()) {
      let_others_read();
      return loss + advice;
    }
    std::this_thread::sleep_for(between_looks);
  }
  return fmt::format("another process of the job cannot be reached{}", advice);
}

}  // namespace hessian::experiments
