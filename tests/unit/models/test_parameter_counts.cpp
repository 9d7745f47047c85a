#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>
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

/// A size that is not in the table above.
struct PublishedCount {
  const char* name;
  int64_t parameters;     ///< of the checkpoint: the total of its tensors as the Hugging Face Hub shows it
  double non_embedding;   ///< without embedding and head, as the model's card or paper has it
  double tolerance;       ///< half a unit of the last digit given there
};

// Exact totals of Pythia: the table of its model cards. For Gemma 3 from 4b on, the total is that of the text model, and the
// numbers without the embedding are those of the report (arXiv 2503.19786, table 1).
constexpr std::array<PublishedCount, 41> published = {{
    {"pythia-14m", 14067712, 1189888, 0},
    {"pythia-31m", 30494720, 4739072, 0},
    {"pythia-70m", 70426624, 18915328, 0},
    {"pythia-160m", 162322944, 85056000, 0},
    {"pythia-410m", 405334016, 302311424, 0},
    {"pythia-1b", 1011781632, 805736448, 0},
    {"pythia-1.4b", 1414647808, 1208602624, 0},
    {"pythia-2.8b", 2775208960, 2517652480, 0},
    {"pythia-6.9b", 6857302016, 6444163072, 0},
    {"pythia-12b", 11846072320, 11327027200, 0},
    {"llama3-1B", 1235814400, 0.97e9, 0.005e9},
    {"llama3-3B", 3212749824, 2.8e9, 0.05e9},
    {"mistral-7B-v0.1", 7241732096, 7.0e9, 0.05e9},
    {"mistral-7B-v0.3", 7248023552, 7.0e9, 0.05e9},
    {"qwen2-0.5B", 494032768, 0.36e9, 0.005e9},
    {"qwen2-1.5B", 1543714304, 1.31e9, 0.005e9},
    {"qwen2-3B", 3085938688, 2.77e9, 0.005e9},
    {"qwen2-7B", 7615616512, 6.53e9, 0.005e9},
    {"qwen2-14B", 14770033664, 13.1e9, 0.2e9},
    {"qwen2-32B", 32763876352, 31.0e9, 0.3e9},
    {"qwen3-0.6B", 596049920, 0.44e9, 0.005e9},
    {"qwen3-1.7B", 1720574976, 1.4e9, 0.05e9},
    {"qwen3-4B", 4022468096, 3.6e9, 0.05e9},
    {"qwen3-8B", 8190735360, 6.95e9, 0.005e9},
    {"qwen3-14B", 14768307200, 13.2e9, 0.05e9},
    {"qwen3-32B", 32762123264, 31.2e9, 0.05e9},
    {"olmo2-1B", 1484916736, 1.07e9, 0.005e9},
    {"olmo2-7B", 7298617344, 6.48e9, 0.005e9},
    {"olmo2-13B", 13716198400, 12.7e9, 0.05e9},
    {"olmo2-32B", 32234279936, 31.2e9, 0.05e9},
    {"gemma2-2b", 2614341888, 2024517888, 0},
    {"gemma2-9b", 9241705984, 8324201984, 0},
    {"gemma2-27b", 27227128320, 26047480320, 0},
    {"gemma3-270m", 268098176, 100e6, 0.5e6},
    {"gemma3-1b", 999885952, 698e6, 0.5e6},
    {"gemma3-4b", 3880263168, 3209e6, 0.5e6},
    {"gemma3-12b", 11766034176, 10759e6, 0.5e6},
    {"gemma3-27b", 27009346304, 25600e6, 0.5e6},
    {"phi3-mini-4k", 3821079552, 3.6e9, 0.05e9},
    {"phi3-medium-4k", 13960238080, 13.6e9, 0.05e9},
    {"smollm3-3B", 3075098624, 2.8e9, 0.05e9},
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
  models::set_all_biases(config, bias);
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

TEST(ParameterCounts, AreThePublishedOnesForEverySizeOfTheOtherFamilies) {
  for (const PublishedCount& size : published) {
    const GptConfig config = models::parse_model_name(std::string("new:") + size.name);
    EXPECT_EQ(meta_count(config), size.parameters) << size.name;
    EXPECT_EQ(models::parameter_count(config), size.parameters) << size.name;
    const int64_t tables = config.vocab_size * config.dim * (config.tied_head ? 1 : 2);
    EXPECT_NEAR(static_cast<double>(meta_count(config) - tables), size.non_embedding, size.tolerance) << size.name;
  }
}

TEST(ParameterCounts, CoverEveryNamedSize) {
  std::multiset<std::string> covered;
  for (const Counts& size : official) {
    covered.insert(size.name);
  }
  for (const PublishedCount& size : published) {
    covered.insert(size.name);
  }
  for (const char* size : {"gpt2-10M", "gpt2-124M", "gpt2-350M", "gpt2-774M", "gpt2-1558M"}) {
    covered.insert(size);  // OfGpt2AreTheKnownOnes
  }
  for (const models::NamedSize& size : models::named_sizes()) {
    const std::string name = std::string(models::to_string(size.config.family)) + "-" + size.name;
    EXPECT_EQ(covered.count(name), 1U) << name;
  }
  EXPECT_EQ(covered.size(), models::named_sizes().size());
}

// postnorm and reordered have the norms of prenorm at other places; sandwich also has a norm after each of its two branches.
TEST(ParameterCounts, OfOtherPlacementsOfNormsFollowFromPrenorm) {
  for (const models::NamedSize& size : models::named_sizes()) {
    GptConfig config = size.config;
    const auto count = [&config](Placement placement) {
      config.placement = placement;
      return meta_count(config);
    };
    const int64_t prenorm = count(Placement::prenorm);
    EXPECT_EQ(count(Placement::postnorm), prenorm) << size.name;
    EXPECT_EQ(count(Placement::reordered), prenorm) << size.name;
    const int64_t norm = (config.norm_bias ? 2 : 1) * config.dim;
    EXPECT_EQ(count(Placement::sandwich), prenorm + 2 * config.n_layers * norm) << size.name;
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
