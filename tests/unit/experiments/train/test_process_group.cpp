#include "distributed/process_group.h"

#include <ATen/ATen.h>
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

#include "hessian/parameters.h"
#include "probe/share.h"
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

/// Runs a function as each process of a job. Uses threads, which a group cannot distinguish from processes.
void as_each_of(int size, const std::function<void(const ProcessGroup&)>& body) {
  // LibTorch records messages in one buffer per process, which several groups at once cannot share.
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

TEST(Share, CoversEveryItemOnceAndAsEvenlyAsPossible) {
  for (int64_t items = 0; items < 20; ++items) {
    for (int64_t shares = 1; shares < 8; ++shares) {
      int64_t next = 0;
      for (int64_t index = 0; index < shares; ++index) {
        const Share share = share_of(items, index, shares);
        EXPECT_EQ(share.first, next);
        EXPECT_LE(share.count, (items + shares - 1) / shares);
        EXPECT_GE(share.count, items / shares);
        next += share.count;
      }
      EXPECT_EQ(next, items);
    }
  }
}

TEST(ProcessGroup, OfOneProcessChangesNothing) {
  const ProcessGroup group;
  at::Tensor x = at::arange(6, at::kDouble);
  group.all_reduce(x);
  group.broadcast(x);
  EXPECT_TRUE(at::equal(x, at::arange(6, at::kDouble)));
  EXPECT_TRUE(at::equal(group.all_gather(x), x) && at::equal(group.reduce_scatter(x), x));
  EXPECT_EQ(group.broadcast("word"), "word");
  EXPECT_TRUE(group.any(true) && !group.any(false) && group.claim("it") && !group.find_published("it"));
}

TEST(ProcessGroup, ExchangesTensorsAndTextsAsDocumented) {
  for (const int size : {2, 3}) {
    std::atomic<int> claims = 0;
    as_each_of(size, [size, &claims](const ProcessGroup& group) {
      const auto rank = static_cast<double>(group.rank());
      at::Tensor x = at::full({5}, rank + 1, at::kDouble);
      group.all_reduce(x);
      EXPECT_TRUE(at::equal(x, at::full({5}, size * (size + 1) / 2.0, at::kDouble)));

      const at::Tensor whole = at::arange(2 * size, at::kDouble) * (rank + 1);
      const at::Tensor shard = at::arange(2 * size, at::kDouble).narrow(0, 2 * group.rank(), 2);
      EXPECT_TRUE(at::equal(group.reduce_scatter(whole), shard * (size * (size + 1) / 2.0)));
      EXPECT_TRUE(at::equal(group.all_gather(shard), at::arange(2 * size, at::kDouble)));

      at::Tensor y = at::full({3}, rank, at::kFloat);
      group.broadcast(y);
      EXPECT_TRUE(at::equal(y, at::zeros({3})));
      EXPECT_EQ(group.broadcast(group.is_first() ? "from the first" : "something longer from another"),
                "from the first");
      EXPECT_EQ(group.broadcast(""), "");

      EXPECT_TRUE(group.any(group.rank() == size - 1));
      EXPECT_FALSE(group.any(false));
      claims += group.claim("a cell") ? 1 : 0;
      group.publish("text of " + std::to_string(group.rank()), "here");
      group.barrier();
      EXPECT_EQ(group.find_published("text of " + std::to_string(size - 1)), "here");
      EXPECT_EQ(group.find_published("text of nobody"), std::nullopt);
    });
    EXPECT_EQ(claims, 1);
  }
}

TEST(ProbeShare, GivesEverySequenceOfEveryGroupToOneProcess) {
  constexpr int64_t groups = 5;
  using Item = std::tuple<int64_t, int64_t, int64_t>;  // number of sequences, group, sequence
  std::multiset<Item> expected;
  for (const int64_t sequences : {1, 2, 3, 5}) {
    for (int64_t item = 0; item < groups * sequences; ++item) {
      expected.emplace(sequences, item / sequences, item % sequences);
    }
  }
  for (const int size : {2, 3, 4}) {
    std::multiset<Item> covered;
    std::mutex mutex;
    as_each_of(size, [&](const ProcessGroup& group) {
      for (const int64_t sequences : {1, 2, 3, 5}) {
        const auto share = experiments::probe_share(group, sequences);
        const std::lock_guard lock(mutex);
        for (int64_t g = share.first_group; g < groups; g += share.group_stride) {
          for (int64_t s = share.sequences.first; s < share.sequences.first + share.sequences.count; ++s) {
            covered.emplace(sequences, g, s);
          }
        }
      }
    });
    EXPECT_EQ(covered, expected) << size << " processes";
  }
}

/// Returns a row whose entry of sequence s is s + 1, plus a hundred times the place of the column.
experiments::ProbeRow numbered_row(int64_t first, int64_t count, int64_t sequences) {
  experiments::ProbeRow row = experiments::empty_row(models::Site::residual, 3, sequences, true);
  for (int64_t s = first; s < first + count; ++s) {
    const auto i = static_cast<std::size_t>(s);
    const auto number = static_cast<double>(s + 1);
    row.spectral_norm[i] = number;
    row.lambda_max[i] = 100 + number;
    row.lambda_min[i] = -200 - number;
    row.norm_upper[i] = 500 + number;
    row.lambda_max_upper[i] = 600 + number;
    row.lambda_min_lower[i] = -700 - number;
    row.residual_norm[i] = 300 + number;
    row.iterations[i] = static_cast<int32_t>(400 + s);
    row.converged[i] = static_cast<uint8_t>(s % 2);
  }
  return row;
}

TEST(ProbeShare, CompletesTheRowsOfEveryProcessWhicheverComputedThem) {
  constexpr int64_t sequences = 4;
  for (const bool swapped : {false, true}) {
    as_each_of(2, [swapped](const ProcessGroup& group) {
      const bool low = (group.rank() == 0) != swapped;
      // The other process computes the other half of the first row and nothing of the second.
      std::vector<experiments::ProbeRow> rows = {numbered_row(low ? 0 : 2, 2, sequences),
                                                 numbered_row(0, low ? sequences : 0, sequences)};
      rows[0].check = low ? experiments::ProductDifferences{0.25, 0.125} : experiments::ProductDifferences{0, 0};
      rows[1].check = low ? experiments::ProductDifferences{0, 0} : experiments::ProductDifferences{0.5, 0.75};
      experiments::merge_rows(group, rows);
      const experiments::ProbeRow expected = numbered_row(0, sequences, sequences);
      for (const experiments::ProbeRow& row : rows) {
        EXPECT_EQ(row.spectral_norm, expected.spectral_norm);
        EXPECT_EQ(row.lambda_max, expected.lambda_max);
        EXPECT_EQ(row.lambda_min, expected.lambda_min);
        EXPECT_EQ(row.norm_upper, expected.norm_upper);
        EXPECT_EQ(row.lambda_max_upper, expected.lambda_max_upper);
        EXPECT_EQ(row.lambda_min_lower, expected.lambda_min_lower);
        EXPECT_EQ(row.residual_norm, expected.residual_norm);
        EXPECT_EQ(row.iterations, expected.iterations);
        EXPECT_EQ(row.converged, expected.converged);
      }
      EXPECT_EQ(rows[0].check->central_differences, 0.25);
      EXPECT_EQ(rows[1].check->central_differences, 0.5);
      EXPECT_EQ(rows[0].check->own_precision, 0.125);
      EXPECT_EQ(rows[1].check->own_precision, 0.75);
    });
  }
}

/// Parameters whose sizes are not multiples of any number of processes.
Parameters parameters_of(double value) {
  Parameters parameters;
  parameters.add("matrix", at::full({3, 5}, value, at::kDouble).requires_grad_());
  parameters.add("gain", at::full({7}, value, at::kDouble).requires_grad_());
  parameters.add("scalar", at::full({1}, value, at::kDouble).requires_grad_());
  return parameters;
}

TEST(ParameterShard, CoversAllParametersOnceAndKeepsMatricesMatrices) {
  for (const int size : {2, 4, 24}) {  // with 24, some processes own nothing
    std::atomic<int64_t> entries = 0;
    as_each_of(size, [&entries](const ProcessGroup& group) {
      const ParameterShard shard(parameters_of(1), group);
      for (const auto& [name, piece] : shard.own()) {
        EXPECT_EQ(piece.dim(), name == "matrix" ? 2 : 1);
        entries += piece.numel();
      }
    });
    EXPECT_EQ(entries, 15 + 7 + 1);
  }
}

TEST(ParameterShard, GivesEachShardTheSumOfAllGradientsAndEveryProcessTheUpdatedParameters) {
  for (const int size : {1, 2, 3}) {
    const auto body = [size](const ProcessGroup& group) {
      const Parameters parameters = parameters_of(0);
      const ParameterShard shard(parameters, group);
      for (const auto& [name, parameter] : parameters) {
        const at::Tensor entries = at::arange(parameter.numel(), at::kDouble).view(parameter.sizes());
        parameter.mutable_grad() = entries * (group.rank() + 1.0);
      }
      shard.reduce_gradients();
      const double ranks = size * (size + 1) / 2.0;
      for (const auto& [name, piece] : shard.own()) {
        const at::Tensor entries =
            at::arange(parameters.at(name).numel(), at::kDouble).view(parameters.at(name).sizes());
        EXPECT_TRUE(at::equal(piece.grad(), shard.shard_of(name, entries * ranks))) << name;
        piece.detach().copy_(piece.grad());
      }
      shard.gather_updates();
      for (const auto& [name, parameter] : parameters) {
        const at::Tensor expected = at::arange(parameter.numel(), at::kDouble).view(parameter.sizes()) * ranks;
        EXPECT_TRUE(at::equal(parameter.detach(), expected)) << name;
        const at::Tensor own = shard.own().contains(name) ? shard.own().at(name).detach() : at::Tensor();
        EXPECT_TRUE(at::equal(shard.assemble(name, own), expected)) << name;
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
