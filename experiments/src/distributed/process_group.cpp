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

constexpr auto connection_timeout = 5min;

/// Connects to the job's key-value store; `listens` makes this process its server.
c10::intrusive_ptr<c10d::Store> connect(const JobPlace& place, bool listens) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(place.port);
  options.isServer = listens;
  options.waitWorkers = false;
  options.timeout = connection_timeout;
  return c10::make_intrusive<c10d::PrefixStore>("hessian/" + place.attempt,
                                                c10::make_intrusive<c10d::TCPStore>(place.address, options));
}

std::string published_key(const std::string& name) {
  return "published/" + name;
}

}  // namespace

struct ProcessGroup::Connection {
  c10::intrusive_ptr<c10d::Store> store;
  std::unique_ptr<Watchdog> watchdog;
  c10::intrusive_ptr<c10d::Backend> backend;
  at::Device device = at::kCPU;

  ~Connection() {
    // Waits for the other processes, because the store ends with the first process. After a failure nobody waits.
    if (std::uncaught_exceptions() == 0) {
      try {
        backend->barrier()->wait();
      } catch (const std::exception&) {
        // The missing process has already reported why.
      }
    }
    watchdog.reset();
  }

  /// Runs a collective operation on a tensor, moved to the backend's device and back if it lies elsewhere.
  template <class Operation>
  void run_collective(at::Tensor& tensor, const Operation& operation) {
    at::Tensor on_device = tensor.to(device);
    try {
      operation(on_device)->wait();
    } catch (const std::exception&) {
      throw std::runtime_error(watchdog->explain_failure());
    }
    if (!on_device.is_same(tensor)) {
      tensor.copy_(on_device);
    }
  }

  /// Reads or writes the job's key-value store.
  template <class Access>
  auto access_store(const Access& access) {
    try {
      return access(*store);
    } catch (const std::exception&) {
      throw std::runtime_error(watchdog->explain_failure());
    }
  }
};

ProcessGroup::ProcessGroup(JobPlace place, std::shared_ptr<Connection> connection)
    : place_(std::move(place)), connection_(std::move(connection)) {}

ProcessGroup ProcessGroup::join(const JobPlace& place, at::Device device) {
  if (place.size == 1) {
    return {};
  }
  // LibTorch logs a lost connection with a stack trace; the watchdog reports the loss in one line instead.
  FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  auto connection = std::make_shared<Connection>();
  connection->device = device;
  try {
    connection->store = connect(place, place.is_first() && !place.store_is_up);
    connection->watchdog = std::make_unique<Watchdog>(place, connect(place, false));
    connection->backend = make_backend(connection->store, place, device);
  } catch (const c10::Error& error) {
    throw std::runtime_error(
        fmt::format("the {} processes of the job did not all connect to {}:{} within {} minutes: {}", place.size,
                    place.address, place.port, connection_timeout.count(), error.what_without_backtrace()));
  }
  return {place, std::move(connection)};
}

void ProcessGroup::all_reduce(at::Tensor& tensor) const {
  if (is_alone()) {
    return;
  }
  connection_->run_collective(tensor, [&](at::Tensor& on_device) {
    std::vector<at::Tensor> tensors = {on_device};
    return connection_->backend->allreduce(tensors);
  });
}

at::Tensor ProcessGroup::reduce_scatter(const at::Tensor& tensor) const {
  if (is_alone()) {
    return tensor;
  }
  at::Tensor shard = at::empty({tensor.numel() / size()}, tensor.options());
  connection_->run_collective(shard, [&](at::Tensor& on_device) {
    at::Tensor whole = tensor.to(connection_->device);
    return connection_->backend->_reduce_scatter_base(on_device, whole);
  });
  return shard;
}

at::Tensor ProcessGroup::all_gather(const at::Tensor& shard) const {
  if (is_alone()) {
    return shard;
  }
  at::Tensor whole = at::empty({shard.numel() * size()}, shard.options());
  connection_->run_collective(whole, [&](at::Tensor& on_device) {
    at::Tensor own = shard.contiguous().to(connection_->device);
    return connection_->backend->_allgather_base(on_device, own);
  });
  return whole;
}

void ProcessGroup::broadcast(at::Tensor& tensor) const {
  if (is_alone()) {
    return;
  }
  connection_->run_collective(tensor, [&](at::Tensor& on_device) {
    std::vector<at::Tensor> tensors = {on_device};
    return connection_->backend->broadcast(tensors);
  });
}

std::string ProcessGroup::broadcast(const std::string& text) const {
  if (is_alone()) {
    return text;
  }
  at::Tensor length = at::full({1}, static_cast<int64_t>(text.size()), at::kLong);
  broadcast(length);
  at::Tensor bytes = at::zeros({length.item<int64_t>() + 1}, at::kByte);
  if (is_first()) {
    std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  }
  broadcast(bytes);
  const auto* begin = bytes.data_ptr<uint8_t>();
  return {begin, begin + length.item<int64_t>()};
}

bool ProcessGroup::any(bool condition) const {
  at::Tensor count = at::full({1}, condition ? 1 : 0, at::kLong);
  all_reduce(count);
  return count.item<int64_t>() > 0;
}

void ProcessGroup::barrier() const {
  any(false);
}

bool ProcessGroup::claim(const std::string& name) const {
  return is_alone() ||
         connection_->access_store([&](c10d::Store& store) { return store.add("claim/" + name, 1) == 1; });
}

void ProcessGroup::publish(const std::string& name, const std::string& text) const {
  if (!is_alone()) {
    connection_->access_store([&](c10d::Store& store) {
      const std::string key = published_key(name);
      store.set(key, std::vector<uint8_t>(text.begin(), text.end()));
      // set() returns before the store has the value. A query on the same connection is answered only after that.
      return store.check({key});
    });
  }
}

std::optional<std::string> ProcessGroup::find_published(const std::string& name) const {
  if (is_alone()) {
    return std::nullopt;
  }
  return connection_->access_store([&](c10d::Store& store) -> std::optional<std::string> {
    if (!store.check({published_key(name)})) {
      return std::nullopt;
    }
    const std::vector<uint8_t> bytes = store.get(published_key(name));
    return std::string(bytes.begin(), bytes.end());
  });
}

Share share_of(int64_t items, int64_t index, int64_t shares) {
  const int64_t first = items * index / shares;
  return {first, items * (index + 1) / shares - first};
}

}  // namespace hessian::experiments
