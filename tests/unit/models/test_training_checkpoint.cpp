#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <limits>

#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/training_checkpoint.h"
#include "loader_support.h"
#include "refusal.h"
#include "tiny_models.h"

using hessian::models::TrainingCheckpoint;
using hessian::support::Metadata;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;
using hessian::support::Tensors;

namespace hessian::tests {
namespace {

/// Compares bytes, so that NaN is equal to itself and -0 is not 0.
bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         (a.numel() == 0 ||
          std::memcmp(a.contiguous().const_data_ptr(), b.contiguous().const_data_ptr(), a.nbytes()) == 0);
}

void expect_same(const hessian::Parameters& actual, const hessian::Parameters& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(actual.contains(name)) << name;
    EXPECT_TRUE(same_bits(actual.at(name), tensor)) << name;
  }
}

TrainingCheckpoint example(models::Family family, models::Placement placement, at::ScalarType dtype) {
  TrainingCheckpoint checkpoint;
  checkpoint.model = models::initialise_model(support::tiny_config(family, placement), 3);
  checkpoint.model.parameters = checkpoint.model.parameters.to(at::kCPU, dtype);
  checkpoint.state.step = 12345678901;
  checkpoint.state.sequences_seen = 98765432109;
  checkpoint.state.optimizer.add("updates", at::tensor({std::int64_t{12345678901}}));
  for (const auto& [name, tensor] : checkpoint.model.parameters) {
    checkpoint.state.optimizer.add("exp_avg." + name, at::randn_like(tensor));
    checkpoint.state.optimizer.add("exp_avg_sq." + name, at::rand_like(tensor));
  }
  // Values that rounding, text or a sum would change.
  constexpr double infinity = std::numeric_limits<double>::infinity();
  checkpoint.state.optimizer.add(
      "odd", at::tensor({-0.0, 1e-310, infinity, -infinity, std::numeric_limits<double>::quiet_NaN(), 0.1}));
  checkpoint.state.generator = at::detail::createCPUGenerator(77).get_state();
  checkpoint.state.config =
      "# a comment\nsteps = 10\n\n[data]\nsource = \"\xce\xbb \xe2\x86\x92 \\\"quoted\\\" \xf0\x9f\x99\x82\"\n\ttab = "
      "1\n";
  return checkpoint;
}

/// Saves an example whose tensors and metadata `change` alters.
template <typename Change>
void save_changed(const std::string& path, const Change& change) {
  models::save_training_checkpoint(example(models::Family::llama2, models::Placement::prenorm, at::kFloat), path);
  support::write_changed(path, path, change);
}

/// Returns the refusal of a changed example, without the path.
template <typename Change>
std::string refusal(const Change& change) {
  const TemporaryFolder folder;
  const std::string path = folder / "c.safetensors";
  save_changed(path, change);
  return support::refusal_about(path, [&] { models::load_training_checkpoint(path); });
}

TEST(TrainingCheckpoint, SurvivesTheRoundTripBitForBit) {
  const TemporaryFolder folder;
  const std::string path = folder / "c.safetensors";
  for (const models::GptConfig& config : support::some_tiny_configs()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
      const TrainingCheckpoint saved = example(config.family, config.placement, dtype);
      SCOPED_TRACE(support::name_of(saved.model.config) + " " + c10::toString(dtype));
      models::save_training_checkpoint(saved, path);
      const TrainingCheckpoint loaded = models::load_training_checkpoint(path);
      EXPECT_EQ(loaded.model.config, saved.model.config);
      expect_same(loaded.model.parameters, saved.model.parameters);
      EXPECT_EQ(loaded.state.step, saved.state.step);
      EXPECT_EQ(loaded.state.sequences_seen, saved.state.sequences_seen);
      expect_same(loaded.state.optimizer, saved.state.optimizer);
      EXPECT_TRUE(same_bits(loaded.state.generator, saved.state.generator));
      EXPECT_EQ(loaded.state.config, saved.state.config);
    }
  }
}

TEST(TrainingCheckpoint, RestoresTheRandomGenerator) {
  const TemporaryFolder folder;
  const std::string path = folder / "c.safetensors";
  at::Generator generator = at::detail::createCPUGenerator(5);
  at::randn({7}, generator, at::dtype(at::kFloat));
  TrainingCheckpoint saved = example(models::Family::gpt2, models::Placement::prenorm, at::kFloat);
  saved.state.generator = generator.get_state();
  models::save_training_checkpoint(saved, path);
  const at::Tensor next = at::randn({100}, generator, at::dtype(at::kDouble));
  at::Generator other = at::detail::createCPUGenerator(0);
  other.set_state(models::load_training_checkpoint(path).state.generator);
  EXPECT_TRUE(at::randn({100}, other, at::dtype(at::kDouble)).equal(next));
}

TEST(TrainingCheckpoint, ReadsIntoNewMemory) {
  const TemporaryFolder folder;
  const std::string path = folder / "c.safetensors";
  const TrainingCheckpoint saved = example(models::Family::llama3, models::Placement::simplegpt, at::kFloat);
  models::save_training_checkpoint(saved, path);
  const TrainingCheckpoint loaded = models::load_training_checkpoint(path);
  // The file's bytes change in place; a mapping would show it.
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file << std::string(std::filesystem::file_size(path), '\0') << std::flush;
  expect_same(loaded.model.parameters, saved.model.parameters);
  expect_same(loaded.state.optimizer, saved.state.optimizer);
}

TEST(TrainingCheckpoint, IsAlsoACheckpointOfItsModel) {
  const TemporaryFolder folder;
  const TrainingCheckpoint saved = example(models::Family::llama3, models::Placement::preqknorm, at::kDouble);
  models::save_training_checkpoint(saved, folder / "c.safetensors");
  const auto [model, step, description] = models::load_checkpoint(folder / "c.safetensors");
  EXPECT_EQ(model.config, saved.model.config);
  EXPECT_EQ(step, saved.state.step);
  EXPECT_EQ(description, "llama3 preqknorm checkpoint");
  expect_same(model.parameters, saved.model.parameters);
}

TEST(TrainingCheckpoint, DistinguishesTrainingStateFromWeights) {
  EXPECT_TRUE(models::is_training_state("optimizer.exp_avg.layers.0.attention.wq.weight"));
  EXPECT_TRUE(models::is_training_state("generator.cpu"));
  for (const models::GptConfig& config : support::all_tiny_configs()) {
    for (const auto& spec : models::parameter_specs(config)) {
      EXPECT_FALSE(models::is_training_state(spec.name)) << spec.name;
    }
  }
}

TEST(TrainingCheckpoint, RefusesAFileWithoutTrainingState) {
  const TemporaryFolder folder;
  const std::string path = folder / "m.safetensors";
  models::save_checkpoint(example(models::Family::llama2, models::Placement::prenorm, at::kFloat).model, path, 7);
  EXPECT_EQ(
      refusal_of([&] { models::load_training_checkpoint(path); }),
      path + ": has no __metadata__[\"training_config\"]: it holds a model, but no training state to resume from");
  EXPECT_EQ(refusal([](Tensors&, Metadata& metadata) { metadata.erase("sequences_seen"); }),
            "has no __metadata__[\"sequences_seen\"]: it holds a model, but no training state to resume from");
  EXPECT_EQ(refusal([](Tensors& tensors, Metadata&) { tensors.erase("generator.cpu"); }),
            "has no tensor 'generator.cpu', the state of the random generator");
  save_changed(path, [](Tensors&, Metadata&) {});
  EXPECT_NO_THROW(models::load_training_checkpoint(path));
}

TEST(TrainingCheckpoint, SaysWhatIsDamaged) {
  EXPECT_EQ(refusal([](Tensors&, Metadata& metadata) { metadata["sequences_seen"] = "-4"; }),
            "__metadata__['sequences_seen'] is '-4', expected a non-negative integer");
  EXPECT_EQ(refusal([](Tensors&, Metadata& metadata) { metadata["step"] = "many"; }),
            "__metadata__['step'] is 'many', expected a non-negative integer");
  const std::string missing = refusal([](Tensors& tensors, Metadata&) { tensors.erase("norm.weight"); });
  EXPECT_TRUE(missing.starts_with("tensor 'norm.weight' is missing")) << missing;
  const TemporaryFolder folder;
  const std::string path = folder / "c.safetensors";
  models::save_training_checkpoint(example(models::Family::llama2, models::Placement::prenorm, at::kFloat), path);
  const std::string whole = support::read_file(path);
  for (const std::size_t size : {std::size_t{0}, std::size_t{20}, whole.size() / 2, whole.size() - 1}) {
    folder.write("cut.safetensors", whole.substr(0, size));
    const std::string message = refusal_of([&] { models::load_training_checkpoint(folder / "cut.safetensors"); });
    EXPECT_TRUE(message.starts_with((folder / "cut.safetensors") + ": ")) << size << " bytes: '" << message << "'";
  }
}

// A limit on file sizes replaces a full disk.
TEST(TrainingCheckpoint, KeepsTheOldFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  const std::string path = folder / "c.safetensors";
  const TrainingCheckpoint saved = example(models::Family::llama2, models::Placement::prenorm, at::kFloat);
  models::save_training_checkpoint(saved, path);
  TrainingCheckpoint later = saved;
  later.state.step += 1;
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  const rlimit small{1000, old_limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = refusal_of([&] { models::save_training_checkpoint(later, path); });
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  (void)std::signal(SIGXFSZ, old_handler);
  EXPECT_TRUE(message.starts_with(path + ": cannot write ")) << message;
  EXPECT_EQ(models::load_training_checkpoint(path).state.step, saved.state.step);
  const std::filesystem::directory_iterator entries(folder.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
}

}  // namespace
}  // namespace hessian::tests
