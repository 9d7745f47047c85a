#include "hessian/models/weight_stream.h"

#include <ATen/ThreadLocalState.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/mapped_tensor.h"
#include "gpt/architecture.h"

namespace hessian::models {
namespace {

/// LibTorch copies up to this many entries on the calling thread, which leaves the other threads to the computation.
constexpr int64_t entries_of_one_thread = 32767;

/// Copies and converts on the calling thread only.
void copy_on_this_thread(const at::Tensor& to, const at::Tensor& from) {
  if (from.dim() < 2 || from.numel() <= entries_of_one_thread) {
    to.copy_(from);
    return;
  }
  const int64_t rows = std::max<int64_t>(1, entries_of_one_thread * from.size(0) / from.numel());
  for (int64_t row = 0; row < from.size(0); row += rows) {
    const int64_t count = std::min(rows, from.size(0) - row);
    to.narrow(0, row, count).copy_(from.narrow(0, row, count));
  }
}

/// Tensors being copied to a device: available once the event has completed.
struct Arrival {
  std::vector<at::Tensor> tensors;
  std::optional<c10::Event> event;
};

class WeightStream final : public ParameterSource {
 public:
  WeightStream(Parameters stored, at::Device device, at::ScalarType dtype)
      : stored_(std::move(stored)), device_(device), dtype_(dtype) {
    if (!device.is_cpu()) {
      side_stream_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
    }
  }

  std::vector<at::Tensor> fetch(const std::vector<std::string>& names, const std::vector<std::string>& next) override {
    Arrival arrival = take(names);
    if (!next.empty()) {
      names_ahead_ = next;
      // Counts the allocations of the background thread in this thread's memory scope.
      ahead_ = std::async(std::launch::async,
                          [this, next, room = make_room(next), state = at::ThreadLocalState()]() mutable {
                            const at::ThreadLocalStateGuard same_state(state);
                            return read(next, std::move(room));
                          });
    }
    await(arrival);
    return std::move(arrival.tensors);
  }

  at::Tensor rows(const std::string& table, const at::Tensor& ids) override {
    if (stored_.is_deferred(table)) {
      return stored_.rows(table, ids.cpu()).to(device_, dtype_);
    }
    const at::Tensor& whole = stored_.at(table);
    at::Tensor chosen = at::embedding(whole, ids.to(whole.device())).to(device_, dtype_);
    if (const MappedRange range = mapped_range(whole); range.file) {
      range.file->release(range.begin, range.size);
    }
    return chosen;
  }

 private:
  /// Returns what was read ahead, or reads the weights now.
  Arrival take(const std::vector<std::string>& names) {
    if (ahead_.valid()) {
      Arrival arrival = ahead_.get();
      if (names == names_ahead_) {
        return arrival;
      }
    }
    return read(names, make_room(names));
  }

  /// Allocates the tensors to read into. fetch() calls it before the background thread starts, so that the peak of the
  /// memory does not depend on how far that thread has come.
  std::vector<at::Tensor> make_room(const std::vector<std::string>& names) const {
    const c10::OptionalStreamGuard guard(side_stream_);
    std::vector<at::Tensor> room;
    for (const std::string& name : names) {
      room.push_back(at::empty(stored_.shape_of(name).sizes(), at::device(device_).dtype(dtype_)));
    }
    return room;
  }

  Arrival read(const std::vector<std::string>& names, std::vector<at::Tensor> room) const {
    const c10::NoGradGuard no_grad;
    const c10::OptionalStreamGuard guard(side_stream_);
    Arrival arrival{std::move(room), std::nullopt};
    for (std::size_t i = 0; i < names.size(); ++i) {
      // Converts one tensor at a time, so that at most one is held in its stored precision.
      const at::Tensor stored = stored_.fetched({names[i]}).at(names[i]);
      const PagesInUse pages(stored);
      if (device_.is_cpu()) {
        copy_on_this_thread(arrival.tensors[i], stored);
      } else {
        arrival.tensors[i].copy_(sent(stored));
      }
    }
    if (side_stream_) {
      arrival.event.emplace(device_.type());
      arrival.event->record(*side_stream_);
    }
    return arrival;
  }

  /// Enqueues the copy on the side stream. The allocator of pinned memory reuses the memory only after the copy.
  at::Tensor sent(const at::Tensor& stored) const {
    if (stored.device() == device_) {
      return stored;
    }
    const at::Tensor staged = at::empty(stored.sizes(), stored.options().device(at::kCPU).pinned_memory(true));
    copy_on_this_thread(staged, stored);
    return staged.to(device_, /*non_blocking=*/true);
  }

  /// Makes the computing stream wait for the copy, and tells the allocator that it uses the memory of the side stream.
  void await(const Arrival& arrival) const {
    if (!side_stream_) {
      return;
    }
    const c10::impl::VirtualGuardImpl device(device_.type());
    const c10::Stream computing = device.getStream(device_);
    arrival.event->block(computing);
    for (const at::Tensor& tensor : arrival.tensors) {
      device.recordDataPtrOnStream(tensor.storage().data_ptr(), computing);
    }
  }

  Parameters stored_;
  at::Device device_;
  at::ScalarType dtype_;
  std::optional<c10::Stream> side_stream_;
  std::vector<std::string> names_ahead_;
  std::future<Arrival> ahead_;  // must be last: its destructor waits for the thread, which reads the other members
};

int64_t bytes_of(const Parameters& parameters, const std::vector<std::string>& names, at::ScalarType dtype) {
  int64_t bytes = 0;
  for (const std::string& name : names) {
    bytes += parameters.shape_of(name).numel() * static_cast<int64_t>(c10::elementSize(dtype));
  }
  return bytes;
}

}  // namespace

bool can_be_streamed(const Model& model, at::Device device) {
  if (!device.is_cpu()) {
    return true;
  }
  return std::all_of(model.parameters.begin(), model.parameters.end(), [&](const auto& entry) {
    return model.parameters.is_deferred(entry.first) || mapped_range(entry.second).file;
  });
}

Parameters stream_weights(const Model& model, at::Device device, at::ScalarType dtype) {
  const auto source = std::make_shared<WeightStream>(model.parameters, device, dtype);
  Parameters streamed;
  for (const auto& [name, tensor] : model.parameters) {
    streamed.add_deferred(name, at::empty(tensor.sizes(), at::device(at::kMeta).dtype(dtype)), source);
  }
  return streamed;
}

int64_t streamed_bytes(const Model& model, at::ScalarType dtype) {
  std::vector<int64_t> stages;
  for (int64_t layer = 0; layer < model.config.n_layers; ++layer) {
    stages.push_back(bytes_of(model.parameters, parameter_names(describe_layer(model.config, layer).program), dtype));
  }
  stages.push_back(bytes_of(model.parameters, parameter_names(describe_loss(model.config).program), dtype));
  int64_t max_consecutive = stages.front();
  for (std::size_t i = 1; i < stages.size(); ++i) {
    max_consecutive = std::max(max_consecutive, stages[i - 1] + stages[i]);
  }
  int64_t largest = 0;
  for (const auto& [name, tensor] : model.parameters) {
    largest = std::max(largest, static_cast<int64_t>(tensor.nbytes()));
  }
  return max_consecutive + largest;
}

int64_t mapped_bytes(const Parameters& parameters) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : parameters) {
    bytes += mapped_range(tensor).file ? static_cast<int64_t>(tensor.nbytes()) : 0;
  }
  return bytes;
}

int64_t weight_bytes(const Model& model, at::ScalarType dtype) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : model.parameters) {
    bytes += tensor.numel() * static_cast<int64_t>(c10::elementSize(dtype));
  }
  return bytes;
}

}  // namespace hessian::models
