#include <gtest/gtest.h>

#include <array>
#include <map>
#include <stdexcept>
#include <string>

#include "hessian/models/model.h"
#include "hessian/models/named_models.h"
#include "tiny_models.h"

using hessian::models::GptConfig;
using hessian::models::Placement;

namespace hessian::tests {
namespace {

struct Counts {
  const char* name;
  int64_t prenorm;
  int64_t preqknorm;
  int64_t simplegpt;
  int64_t linear;  ///< of the layers' linear maps, the same in all three
};

// Counted from the official classes, with vocabularies of 32000 (llama2) and 128256 (llama3).
constexpr std::array<Counts, 21> official = {{
    {"llama2-debugmodel", 23204096, 23208192, 23222528, 6815744},
    {"llama2-20M", 19794176, 19796224, 19803392, 3407872},
    {"llama2-22M", 21499136, 21502208, 21512960, 5111808},
    {"llama2-35M", 35197824, 35202432, 35217024, 10616832},
    {"llama2-39M", 38738304, 38744448, 38763904, 14155776},
    {"llama2-60M", 60039680, 60047872, 60076544, 27262976},
    {"llama2-67M", 66857472, 66867712, 66903552, 34078720},
    {"llama2-102M", 101924480, 101939840, 101990528, 60948480},
    {"llama2-134M", 134105856, 134124288, 134182656, 84934656},
    {"llama2-162M", 162423552, 162448128, 162525952, 113246208},
    {"llama2-271M", 271090688, 271123456, 271229952, 205520896},
    {"llama2-297M", 296784896, 296821760, 296941568, 231211008},
    {"llama2-360M", 360425088, 360466560, 360597888, 286654464},
    {"llama2-1B", 1055991808, 1056065536, 1056305152, 924844032},
    {"llama2-7B", 6738415616, 6738677760, 6739513344, 6476005376},
    {"llama2-13B", 13015864320, 13016273920, 13017584640, 12687769600},
    {"llama2-26B", 25704043520, 25704862720, 25707484160, 25375539200},
    {"llama2-70B", 68976648192, 68977385472, 68982054912, 68451041280},
    {"llama3-debugmodel", 468222976, 468255744, 468362240, 205520896},
    {"llama3-8B", 8030261248, 8030425088, 8031375360, 6979321856},
    {"llama3-70B", 70553706496, 70554443776, 70559113216, 68451041280},
}};

int64_t meta_count(const GptConfig& config) {
  int64_t count = 0;
  for (const auto& [name, tensor] : support::meta_parameters(config)) {
    EXPECT_TRUE(tensor.is_meta()) << name;
    count += tensor.numel();
  }
  return count;
}

/// Returns the number of scalars in the linear maps of the layers.
int64_t linear_count(const GptConfig& config) {
  int64_t count = 0;
  for (const auto& [name, tensor] : support::meta_parameters(config)) {
    count += name.starts_with("layers.") && tensor.dim() == 2 ? tensor.numel() : 0;
  }
  return count;
}

GptConfig nanogpt(const std::string& size, int64_t vocab_size, bool bias) {
  GptConfig config = models::parse_model_name("new:gpt2-" + size + "-prenorm", vocab_size);
  config.bias = bias;
  return config;
}

TEST(ParameterCounts, AreTheOfficialOnesForEverySizeAndPlacement) {
  for (const Counts& size : official) {
    for (const auto& [placement, expected] : std::map<std::string, int64_t>{
             {"prenorm", size.prenorm}, {"preqknorm", size.preqknorm}, {"simplegpt", size.simplegpt}}) {
      const std::string name = std::string("new:") + size.name + "-" + placement;
      const GptConfig config = models::parse_model_name(name);
      EXPECT_EQ(meta_count(config), expected) << name;
      EXPECT_EQ(models::parameter_count(config), expected) << name;
      EXPECT_EQ(linear_count(config), size.linear) << name;
    }
  }
}

TEST(ParameterCounts, CoverEveryNamedLlama) {
  std::size_t llamas = 0;
  for (const models::NamedSize& size : models::named_sizes()) {
    llamas += size.config.family == models::Family::gpt2 ? 0 : 1;
  }
  EXPECT_EQ(llamas, official.size());
}

// postnorm has the norms of prenorm at other places; sandwich also has a norm after each of its two branches.
TEST(ParameterCounts, OfPostnormAndSandwichFollowFromPrenorm) {
  for (const models::NamedSize& size : models::named_sizes()) {
    GptConfig config = size.config;
    const int64_t prenorm = meta_count(config);
    config.placement = Placement::postnorm;
    EXPECT_EQ(meta_count(config), prenorm) << size.name;
    config.placement = Placement::sandwich;
    EXPECT_EQ(meta_count(config), prenorm + 2 * config.n_layers * config.dim) << size.name;
  }
}

// The published numbers of nanoGPT and GPT-2: 124,439,808 and so on with OpenAI's 50257 words and biases, positions
// included.
TEST(ParameterCounts, OfGpt2AreTheKnownOnes) {
  EXPECT_EQ(meta_count(nanogpt("124M", 50257, true)), 124439808);
  EXPECT_EQ(meta_count(nanogpt("350M", 50257, true)), 354823168);
  EXPECT_EQ(meta_count(nanogpt("774M", 50257, true)), 774030080);
  EXPECT_EQ(meta_count(nanogpt("1558M", 50257, true)), 1557611200);
  // nanoGPT counts without the positions, and prints "number of parameters: 10.65M" for the character model: 12 D^2 in
  // each of 6 layers, 13 norms, 65 characters.
  EXPECT_EQ(meta_count(nanogpt("10M", 65, false)) - 256 * 384, 10646784);
  // Biases: 3D + D + 4D + D of the linear maps and 2D of the norms in a layer, D of the final norm.
  EXPECT_EQ(meta_count(nanogpt("124M", 50257, true)) - meta_count(nanogpt("124M", 50257, false)), 12 * 11 * 768 + 768);
}

TEST(ParameterCounts, OfAnUntiedHeadAddItsMatrix) {
  GptConfig config = nanogpt("10M", 65, false);
  const int64_t tied = meta_count(config);
  config.tied_head = false;
  EXPECT_EQ(meta_count(config), tied + 65 * 384);
}

TEST(ParameterSpecs, HaveTheOfficialNamesInTheOrderOfTheForwardPass) {
  const auto names = [](Placement placement) {
    GptConfig config = support::tiny_config(models::Family::llama2, placement);
    config.n_layers = 1;
    std::string list;
    for (const auto& spec : models::parameter_specs(config)) {
      list += spec.name + " ";
    }
    return list;
  };
  EXPECT_EQ(
      names(Placement::preqknorm),
      "tok_embeddings.weight layers.0.attention_norm.weight layers.0.attention.wq.weight "
      "layers.0.attention.wk.weight layers.0.attention.wv.weight layers.0.attention.q_norm.weight "
      "layers.0.attention.k_norm.weight layers.0.attention.wo.weight layers.0.ffn_norm.weight "
      "layers.0.feed_forward.w1.weight layers.0.feed_forward.w3.weight layers.0.feed_forward.w2.weight norm.weight "
      "output.weight ");
  const std::string simple = names(Placement::simplegpt);
  for (const char* part : {"attention.snq", "attention.snk", "attention.snv", "attention.sno", "feed_forward.sn1",
                           "feed_forward.sn2", "feed_forward.sn3"}) {
    const std::string pair = std::string("layers.0.") + part + ".lin.weight layers.0." + part + ".norm.weight ";
    EXPECT_NE(simple.find(pair), std::string::npos) << pair << "in " << simple;
  }
  EXPECT_EQ(simple.find("attention_norm"), std::string::npos);
}

}  // namespace
}  // namespace hessian::tests
