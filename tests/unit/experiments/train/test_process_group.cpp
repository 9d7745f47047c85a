#include "distributed/process_group.h"

#include <ATen/ATen.h>
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "hessian/parameters.h"
#include "train/parameter_shard.h"

namespace hessian::tests {
namespace {

using experiments::JobPlace;
using experiments::ParameterShard;
using experiments::ProcessGroup;
using experiments::Share;
using experiments::share_of;

int free_port() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  ::close(listener);
  return ntohs(address.sin_port);
}

/// Runs a body as each process of a job; threads stand for processes, which a group cannot tell apart.
void as_each_of(int size, const std::function<void(const ProcessGroup&)>& body) {
  // LibTorch's record of messages is one for all groups of a process, and not made for several at once.
  ::setenv("TORCH_FR_BUFFER_SIZE", "0", 1);
  JobPlace place;
  place.size = size;
  place.address = "127.0.0.1";
  place.port = free_port();
  std::vector<std::thread> threads;
  for (place.rank = 0; place.rank < size; ++place.rank) {
    threads.emplace_back([place, &body] { body(ProcessGroup::join(place, at::kCPU)); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST(Share, CoversEveryThingOnceAndAsEvenlyAsItCan) {
  for (int64_t things = 0; things < 20; ++things) {
    for (int64_t parts = 1; parts < 8; ++parts) {
      int64_t next = 0;
      for (int64_t part = 0; part < parts; ++part) {
        const Share share = share_of(things, part, parts);
        EXPECT_EQ(share.first, next);
        EXPECT_LE(share.count, (things + parts - 1) / parts);
        EXPECT_GE(share.count, things / parts);
        next += share.count;
      }
      EXPECT_EQ(next, things);
    }
  }
}

TEST(ProcessGroup, AloneNeedsNobody) {
  const ProcessGroup group;
  at::Tensor x = at::arange(6, at::kDouble);
  group.sum(x);
  group.take_first(x);
  EXPECT_TRUE(at::equal(x, at::arange(6, at::kDouble)));
  EXPECT_TRUE(at::equal(group.gather(x), x) && at::equal(group.sum_of_part(x), x));
  EXPECT_EQ(group.take_first("word"), "word");
  EXPECT_TRUE(group.any(true) && !group.any(false) && group.claim("it") && !group.told("it"));
}

TEST(ProcessGroup, ExchangesWhatItsDocumentationSays) {
  for (const int size : {2, 3}) {
    std::atomic<int> claims = 0;
    as_each_of(size, [size, &claims](const ProcessGroup& group) {
      const auto rank = static_cast<double>(group.rank());
      at::Tensor x = at::full({5}, rank + 1, at::kDouble);
      group.sum(x);
      EXPECT_TRUE(at::equal(x, at::full({5}, size * (size + 1) / 2.0, at::kDouble)));

      const at::Tensor whole = at::arange(2 * size, at::kDouble) * (rank + 1);
      const at::Tensor part = at::arange(2 * size, at::kDouble).narrow(0, 2 * group.rank(), 2);
      EXPECT_TRUE(at::equal(group.sum_of_part(whole), part * (size * (size + 1) / 2.0)));
      EXPECT_TRUE(at::equal(group.gather(part), at::arange(2 * size, at::kDouble)));

      at::Tensor y = at::full({3}, rank, at::kFloat);
      group.take_first(y);
      EXPECT_TRUE(at::equal(y, at::zeros({3})));
      EXPECT_EQ(group.take_first(group.is_first() ? "from the first" : "something longer from another"),
                "from the first");
      EXPECT_EQ(group.take_first(""), "");

      EXPECT_TRUE(group.any(group.rank() == size - 1));
      EXPECT_FALSE(group.any(false));
      claims += group.claim("a cell") ? 1 : 0;
      group.tell("word of " + std::to_string(group.rank()), "here");
      group.wait_for_all();
      EXPECT_EQ(group.told("word of " + std::to_string(size - 1)), "here");
      EXPECT_EQ(group.told("word of nobody"), std::nullopt);
    });
    EXPECT_EQ(claims, 1);
  }
}

/// Parameters whose sizes no number of processes divides.
hessian::Parameters parameters_of(double value) {
  hessian::Parameters parameters;
  parameters.add("matrix", at::full({3, 5}, value, at::kDouble).requires_grad_());
  parameters.add("gain", at::full({7}, value, at::kDouble).requires_grad_());
  parameters.add("scalar", at::full({1}, value, at::kDouble).requires_grad_());
  return parameters;
}

TEST(ParameterShard, PartsMakeUpAllParametersAndMatricesStayMatrices) {
  for (const int size : {2, 4, 24}) {  // of the last, some have nothing
    std::atomic<int64_t> entries = 0;
    as_each_of(size, [&entries](const ProcessGroup& group) {
      const ParameterShard shard(parameters_of(1), group);
      for (const auto& [name, part] : shard.own()) {
        EXPECT_EQ(part.dim(), name == "matrix" ? 2 : 1);
        entries += part.numel();
      }
    });
    EXPECT_EQ(entries, 15 + 7 + 1);
  }
}

TEST(ParameterShard, GivesEachPartTheSumOfAllGradientsAndEveryoneTheUpdatedParameters) {
  for (const int size : {1, 2, 3}) {
    const auto body = [size](const ProcessGroup& group) {
      const hessian::Parameters parameters = parameters_of(0);
      const ParameterShard shard(parameters, group);
      for (const auto& [name, parameter] : parameters) {
        const at::Tensor entries = at::arange(parameter.numel(), at::kDouble).view(parameter.sizes());
        parameter.mutable_grad() = entries * (group.rank() + 1.0);
      }
      shard.reduce_gradients();
      const double ranks = size * (size + 1) / 2.0;
      for (const auto& [name, part] : shard.own()) {
        const at::Tensor entries =
            at::arange(parameters.at(name).numel(), at::kDouble).view(parameters.at(name).sizes());
        EXPECT_TRUE(at::equal(part.grad(), shard.part_of(name, entries * ranks))) << name;
        part.detach().copy_(part.grad());
      }
      shard.exchange_updates();
      for (const auto& [name, parameter] : parameters) {
        const at::Tensor expected = at::arange(parameter.numel(), at::kDouble).view(parameter.sizes()) * ranks;
        EXPECT_TRUE(at::equal(parameter.detach(), expected)) << name;
        const at::Tensor own = shard.own().contains(name) ? shard.own().at(name).detach() : at::Tensor();
        EXPECT_TRUE(at::equal(shard.whole(name, own), expected)) << name;
      }
    };
    if (size == 1) {
      body({});
    } else {
      as_each_of(size, body);
    }
  }
}

}  // namespace
}  // namespace hessian::tests
