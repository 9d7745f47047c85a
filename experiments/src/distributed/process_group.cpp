#include "distributed/process_group.h"

#include <c10/util/Logging.h>
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <stdexcept>
#include <utility>

#include "distributed/process_backend.h"
#include "distributed/watchdog.h"

namespace hessian::experiments {
namespace {

using namespace std::chrono_literals;

constexpr auto time_to_meet = 5min;

c10::intrusive_ptr<c10d::Store> connect(const JobPlace& place, bool listens) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(place.port);
  options.isServer = listens;
  options.waitWorkers = false;
  options.timeout = time_to_meet;
  return c10::make_intrusive<c10d::PrefixStore>("hessian/" + place.attempt,
                                                c10::make_intrusive<c10d::TCPStore>(place.address, options));
}

}  // namespace

struct ProcessGroup::Members {
  c10::intrusive_ptr<c10d::Store> store;
  std::unique_ptr<Watchdog> watchdog;
  c10::intrusive_ptr<c10d::Backend> backend;
  at::Device device = at::kCPU;

  ~Members() {
    // The store goes with the first process, which therefore leaves last. After a failure nobody waits.
    if (std::uncaught_exceptions() == 0) {
      try {
        backend->barrier()->wait();
      } catch (const std::exception&) {
        // Whoever is missing has told why.
      }
    }
    watchdog.reset();
  }

  /// Exchanges something, on the device that the backend works with.
  template <class Exchange>
  void exchange(at::Tensor& tensor, const Exchange& with) {
    at::Tensor there = tensor.to(device);
    try {
      with(there)->wait();
    } catch (const std::exception&) {
      throw std::runtime_error(watchdog->explain_failure());
    }
    if (!there.is_same(tensor)) {
      tensor.copy_(there);
    }
  }

  /// Asks the job's store.
  template <class Question>
  auto ask(const Question& question) {
    try {
      return question(*store);
    } catch (const std::exception&) {
      throw std::runtime_error(watchdog->explain_failure());
    }
  }
};

ProcessGroup::ProcessGroup(JobPlace place, std::shared_ptr<Members> members)
    : place_(std::move(place)), members_(std::move(members)) {}

ProcessGroup ProcessGroup::join(const JobPlace& place, at::Device device) {
  if (place.size == 1) {
    return {};
  }
  // LibTorch logs the loss of a connection with a stack trace; what there is to say of it the watchdog says.
  FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  auto members = std::make_shared<Members>();
  members->device = device;
  try {
    members->store = connect(place, place.is_first() && !place.store_is_up);
    members->watchdog = std::make_unique<Watchdog>(place, connect(place, false));
    members->backend = make_backend(members->store, place, device);
  } catch (const c10::Error& error) {
    throw std::runtime_error(fmt::format("the {} processes of the job do not meet at {}:{} within {} minutes: {}",
                                         place.size, place.address, place.port, time_to_meet.count(),
                                         error.what_without_backtrace()));
  }
  return {place, std::move(members)};
}

void ProcessGroup::sum(at::Tensor& tensor) const {
  if (is_alone()) {
    return;
  }
  members_->exchange(tensor, [&](at::Tensor& there) {
    std::vector<at::Tensor> tensors = {there};
    return members_->backend->allreduce(tensors);
  });
}

at::Tensor ProcessGroup::sum_of_part(const at::Tensor& whole) const {
  if (is_alone()) {
    return whole;
  }
  at::Tensor part = at::empty({whole.numel() / size()}, whole.options());
  members_->exchange(part, [&](at::Tensor& there) {
    at::Tensor all = whole.to(members_->device);
    return members_->backend->_reduce_scatter_base(there, all);
  });
  return part;
}

at::Tensor ProcessGroup::gather(const at::Tensor& part) const {
  if (is_alone()) {
    return part;
  }
  at::Tensor whole = at::empty({part.numel() * size()}, part.options());
  members_->exchange(whole, [&](at::Tensor& there) {
    at::Tensor own = part.contiguous().to(members_->device);
    return members_->backend->_allgather_base(there, own);
  });
  return whole;
}

void ProcessGroup::take_first(at::Tensor& tensor) const {
  if (is_alone()) {
    return;
  }
  members_->exchange(tensor, [&](at::Tensor& there) {
    std::vector<at::Tensor> tensors = {there};
    return members_->backend->broadcast(tensors);
  });
}

std::string ProcessGroup::take_first(const std::string& text) const {
  if (is_alone()) {
    return text;
  }
  at::Tensor length = at::full({1}, static_cast<int64_t>(text.size()), at::kLong);
  take_first(length);
  at::Tensor bytes = at::zeros({length.item<int64_t>() + 1}, at::kByte);
  if (is_first()) {
    std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  }
  take_first(bytes);
  const auto* begin = bytes.data_ptr<uint8_t>();
  return {begin, begin + length.item<int64_t>()};
}

bool ProcessGroup::any(bool here) const {
  at::Tensor count = at::full({1}, here ? 1 : 0, at::kLong);
  sum(count);
  return count.item<int64_t>() > 0;
}

void ProcessGroup::wait_for_all() const {
  any(false);
}

bool ProcessGroup::claim(const std::string& name) const {
  return is_alone() || members_->ask([&](c10d::Store& store) { return store.add("claim/" + name, 1) == 1; });
}

void ProcessGroup::tell(const std::string& name, const std::string& text) const {
  if (!is_alone()) {
    members_->ask([&](c10d::Store& store) {
      const std::string key = "told/" + name;
      store.set(key, std::vector<uint8_t>(text.begin(), text.end()));
      // A set is not answered. What follows it on the same connection is, once the set is done.
      return store.check({key});
    });
  }
}

std::optional<std::string> ProcessGroup::told(const std::string& name) const {
  if (is_alone()) {
    return std::nullopt;
  }
  return members_->ask([&](c10d::Store& store) -> std::optional<std::string> {
    if (!store.check({"told/" + name})) {
      return std::nullopt;
    }
    const std::vector<uint8_t> bytes = store.get("told/" + name);
    return std::string(bytes.begin(), bytes.end());
  });
}

Share share_of(int64_t things, int64_t part, int64_t parts) {
  const int64_t first = things * part / parts;
  return {first, things * (part + 1) / parts - first};
}

}  // namespace hessian::experiments
