#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "device_limits.h"
#include "formats/safetensors.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/forward.h"
#include "hessian/models/token_data.h"
#include "hessian/parameter_operator.h"
#include "hessian/tape_operator.h"

// Measures this project's products for tests/peers/hvp.py, which requests Hessian-vector products on standard input,
// one request per line. Each is answered by a line with one number; a first line, 0, tells that everything is loaded.
//
//   product K FILE  writes the products with the first K vectors; answers by how many bytes the peak memory has grown
//                   since just before the operator was constructed: the process's, or LibTorch's on a CUDA device
//   time K SECONDS  repeats these products for about that long; answers the median seconds of all K

namespace hessian::benchmarks {
namespace {

/// A Hessian, and the vectors to multiply it with. Files hold vectors by name, [K, ...] each.
struct Problem {
  std::function<std::unique_ptr<LinearOperator>()> make_operator;
  at::Tensor vectors;                                    ///< [S, K, n]
  std::function<Parameters(const at::Tensor&)> by_name;  ///< names products [S, K, n] as a file holds them
};

/// Returns the Hessian of each sequence's loss with respect to the residual before layer 0.
Problem activation_problem(const models::Model& model, const models::TokenBatch& batch, const Parameters& vectors) {
  const models::Forward forward(model);
  const c10::NoGradGuard no_grad;
  const at::Tensor residual = forward.embed(batch.tokens);
  Problem problem;
  problem.vectors = vectors.at("residual").flatten(2).transpose(0, 1).contiguous();
  problem.make_operator = [=] {
    return std::make_unique<TapeOperator>(forward.losses_program(0), forward.parameters(),
                                          std::vector{residual, batch.targets}, 0);
  };
  problem.by_name = [=](const at::Tensor& products) {
    Parameters named;
    named.add("residual", products.transpose(0, 1).unflatten(2, residual.sizes().slice(1)));
    return named;
  };
  return problem;
}

/// Returns the Hessian of the mean loss with respect to all parameters.
Problem parameter_problem(const models::Model& model, const models::TokenBatch& batch, const Parameters& vectors) {
  const models::Forward forward(model);
  std::vector<at::Tensor> columns;
  for (const auto& entry : model.parameters) {
    columns.push_back(vectors.at(entry.first).flatten(1));
  }
  Problem problem;
  problem.vectors = at::cat(columns, 1).unsqueeze(0);
  problem.make_operator = [=] {
    return std::make_unique<ParameterOperator>(
        ParameterProblem{forward.whole_program(), forward.parameters(), {batch.tokens, batch.targets}, {}});
  };
  problem.by_name = [=](const at::Tensor& products) { return split_like(products.squeeze(0), model.parameters); };
  return problem;
}

Problem load_problem(const std::string& model_path, const std::string& data_path, const std::string& vectors_path,
                     const std::string& kind, at::Device device) {
  models::Model model = models::load_checkpoint(model_path).model;
  models::DataOptions data;
  data.source = data_path;
  data.max_seq_len = model.config.max_seq_len;
  data.vocab_size = model.config.vocab_size;
  models::TokenBatch batch = models::load_token_batch(data);
  batch.tokens = batch.tokens.to(device);
  batch.targets = batch.targets.to(device);
  model.parameters = model.parameters.to(device, at::kFloat);
  const Parameters vectors = models::load_safetensors(vectors_path).tensors.to(device, at::kFloat);
  if (kind == "activation") {
    return activation_problem(model, batch, vectors);
  }
  if (kind == "parameters") {
    return parameter_problem(model, batch, vectors);
  }
  throw std::runtime_error("'" + kind + "' is no Hessian; known are activation and parameters");
}

/// Returns a line of /proc/self/status in bytes: VmRSS, the resident memory, or VmHWM, its peak.
int64_t resident_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t kibibytes = 0;
  while (status >> word) {
    if (word == key + ":" && status >> kibibytes) {
      return kibibytes * 1024;
    }
  }
  throw std::runtime_error("/proc/self/status has no " + key);
}

void answer_requests(const Problem& problem) {
  const at::Device device = problem.vectors.device();
  std::cout << 0 << std::endl;
  std::ofstream("/proc/self/clear_refs") << 5;  // resets VmHWM, so that loading does not count
  const int64_t bytes_before = resident_bytes("VmRSS");
  std::optional<MemoryScope> device_memory;
  if (!device.is_cpu()) {
    device_memory.emplace();
  }
  const auto op = problem.make_operator();
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string request;
    int64_t vector_count = 0;
    words >> request >> vector_count;
    const at::Tensor v = problem.vectors.narrow(1, 0, vector_count).contiguous();
    if (request == "time") {
      double seconds = 0;
      words >> seconds;
      std::cout << median_seconds([&] { op->apply(v); }, device, seconds) << std::endl;
    } else {
      std::string path;
      words >> path;
      const at::Tensor products = op->apply(v);
      const int64_t grown = device_memory ? device_memory->peak_bytes() : resident_bytes("VmHWM") - bytes_before;
      models::save_safetensors(path, problem.by_name(products), {});
      std::cout << grown << std::endl;
    }
  }
}

}  // namespace
}  // namespace hessian::benchmarks

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    std::cerr << "usage: hvp_times MODEL DATA VECTORS activation|parameters [cpu|cuda]\n";
    return 2;
  }
  try {
    hessian::benchmarks::answer_requests(hessian::benchmarks::load_problem(
        argv[1], argv[2], argv[3], argv[4], hessian::select_device(argc > 5 ? argv[5] : "cpu")));
  } catch (const std::exception& error) {
    std::cerr << "hvp_times: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
