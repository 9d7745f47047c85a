#include "fixtures.h"

#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"

namespace hessian::support {

std::string fixture_path(const std::string& name) {
  std::string path = HESSIAN_FIXTURES;
  path += '/';
  path += name;
  return path;
}

namespace {

/// Returns the fixtures of the official SimpleGPT code in a folder.
std::vector<Fixture> simplegpt_fixtures(const std::string& folder) {
  std::vector<Fixture> fixtures;
  for (const char* family : {"llama2", "llama3"}) {
    for (const char* placement : {"prenorm", "preqknorm", "simplegpt"}) {
      const std::string path = folder + "/" + family + "_" + placement;
      fixtures.push_back({path + "/model.safetensors", path + "/expected.safetensors"});
    }
  }
  return fixtures;
}

Fixture huggingface_fixture(const std::string& name) {
  return {"huggingface/" + name, "huggingface/" + name + "/expected.safetensors"};
}

void append(std::vector<Fixture>& fixtures, const std::vector<Fixture>& others) {
  fixtures.insert(fixtures.end(), others.begin(), others.end());
}

}  // namespace

std::vector<Fixture> architecture_fixtures() {
  std::vector<Fixture> fixtures;
  for (const char* name : {"llama31", "llama_linear", "llama_yarn", "llama_bias", "mistral", "qwen2", "qwen3", "olmo2",
                           "gpt_neox", "gemma2", "gemma3", "phi3"}) {
    fixtures.push_back(huggingface_fixture(name));
  }
  return fixtures;
}

std::vector<Fixture> dense_fixtures() {
  std::vector<Fixture> fixtures = simplegpt_fixtures("dense");
  append(fixtures, architecture_fixtures());
  return fixtures;
}

std::vector<Fixture> all_fixtures() {
  std::vector<Fixture> fixtures = dense_fixtures();
  append(fixtures, simplegpt_fixtures("reference"));
  fixtures.push_back({"nanogpt/ckpt.pt", "nanogpt/expected.safetensors"});
  for (const char* name : {"gpt2", "llama_gqa", "llama_tied"}) {
    fixtures.push_back(huggingface_fixture(name));
  }
  for (const std::string name :
       {"bin", "bin_sharded", "dcp_model", "dcp_flat", "dcp_sharded", "meta", "meta_parallel"}) {
    fixtures.push_back({"formats/" + name, "formats/" + name + "/expected.safetensors"});
  }
  return fixtures;
}

models::Model load_fixture_model(const Fixture& fixture, at::ScalarType dtype) {
  models::Model model = models::load_checkpoint(fixture_path(fixture.model)).model;
  model.parameters = model.parameters.to(at::kCPU, dtype);
  return model;
}

Parameters load_expected(const Fixture& fixture) {
  return models::load_safetensors(fixture_path(fixture.expected)).tensors;
}

std::vector<at::Tensor> residuals_of(const models::Forward& forward, const at::Tensor& tokens) {
  std::vector<at::Tensor> residuals = {forward.embed(tokens)};
  for (int64_t layer = 0; layer < forward.config().n_layers; ++layer) {
    residuals.push_back(forward.through_layer(layer, residuals.back()));
  }
  return residuals;
}

ProblemFunction residual_losses(const models::Forward& forward, int64_t layer, const at::Tensor& targets) {
  return [&forward, layer, targets](const at::Tensor& x, const ProblemIndices& problems) {
    return forward.losses(layer, x, rows_of(targets, problems));
  };
}

double relative_error(const at::Tensor& actual, const at::Tensor& expected) {
  if (actual.sizes() != expected.sizes()) {
    return INFINITY;
  }
  const at::Tensor difference = (actual.to(at::kDouble) - expected.to(at::kDouble)).abs().max();
  return difference.item<double>() / expected.to(at::kDouble).abs().max().item<double>();
}

}  // namespace hessian::support
