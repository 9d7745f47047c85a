#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/fields.h"
#include "config/options.h"
#include "probe/probe.h"
#include "spectrum/command.h"

// Tests options that are declared once for both the command line and the configuration of a run file.

namespace hessian::tests {
namespace {

using experiments::ConfigFields;
using experiments::ProbeCommand;
using experiments::ProbeOptions;
using experiments::read_config_text;
using experiments::write_config;
using testing::ElementsAre;
using testing::HasSubstr;

ConfigFields fields_of(const experiments::ProgramOptions& options) {
  ConfigFields fields;
  for (const auto& option : options) {
    if (!option.field.key.empty()) {
      fields.push_back({"probe." + option.field.key, option.field.target, option.field.help});
    }
  }
  return fields;
}

ProbeCommand parsed(std::vector<std::string> words) {
  ProbeCommand command;
  CLI::App app;
  experiments::declare(app, command);
  words.insert(words.end(), {"--model", "m.pt", "--out", "run.h5"});
  app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  return command;
}

TEST(ProgramOptions, SetTheMembersThatTheyAreBoundTo) {
  const ProbeCommand command = parsed({"--tol", "0.25", "--site", "ffn_in,residual", "--unit", "token", "--engine",
                                       "autograd", "--memory", "2KiB", "--dtype", "float64", "--ends", "dominant",
                                       "--seed", "9223372036854775807", "--params", "a*,b", "--overwrite"});
  const auto measured = parsed({"--sequences", "3", "--seq-len", "5", "--density", "--adam", "--vectors", "--samples",
                                "6", "--steps", "12", "--top", "4", "--block-width", "2"})
                            .options;
  EXPECT_EQ(measured.probe.sequences, 3);
  EXPECT_EQ(measured.probe.seq_len, 5);
  EXPECT_TRUE(measured.density && measured.adam && measured.vectors);
  EXPECT_FALSE(measured.diagonal || measured.decompose || measured.probe.check);
  EXPECT_EQ(measured.samples, 6);
  EXPECT_EQ(measured.steps, 12);
  EXPECT_EQ(measured.top, 4);
  EXPECT_EQ(measured.block_width, 2);
  EXPECT_TRUE(parsed({"--diagonal"}).options.diagonal);
  EXPECT_TRUE(parsed({"--decompose"}).options.decompose);
  const ProbeOptions& probe = command.options.probe;
  EXPECT_EQ(probe.model, "m.pt");
  EXPECT_EQ(probe.tolerance, 0.25);
  EXPECT_THAT(probe.sites, ElementsAre(models::Site::residual, models::Site::ffn_in));
  EXPECT_EQ(probe.unit, experiments::Unit::token);
  EXPECT_EQ(probe.engine, experiments::Engine::autograd);
  EXPECT_EQ(probe.memory_bytes, 2048);
  EXPECT_EQ(probe.dtype, at::kDouble);
  EXPECT_EQ(probe.ends, Ends::dominant);
  EXPECT_EQ(probe.seed, static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  EXPECT_THAT(command.options.params, ElementsAre("a*", "b"));
  EXPECT_EQ(command.output.path, "run.h5");
  EXPECT_TRUE(command.output.overwrite);
  EXPECT_FALSE(command.options.is_requested());
}

/// An option with its default, as the configuration of a run file writes it, and its value after other words.
struct ExpectedOption {
  std::string flag;
  std::string key;
  std::string value;  ///< as TOML; empty: the key is left out
  std::vector<std::string> words;
  std::string changed;
};

const std::vector<ExpectedOption> expected_options = {
    {"--model", "model", "'m.pt'", {}, ""},  // given by parsed()
    {"--layer", "layers", "'all'", {"0,2"}, "'0,2'"},
    {"--site", "sites", "[ 'residual' ]", {"ffn_in"}, "[ 'ffn_in' ]"},
    {"--data", "data", "'builtin'", {"a.txt"}, "'a.txt'"},
    {"--tokenizer", "tokenizer", "''", {"bytes"}, "'bytes'"},
    {"--bos", "bos", "false", {}, "true"},
    {"--token-type", "token_type", "''", {"uint32"}, "'uint32'"},
    {"--sequences", "sequences", "0", {"3"}, "3"},
    {"--seq-len", "seq_len", "0", {"5"}, "5"},
    {"--unit", "unit", "'sequence'", {"token"}, "'token'"},
    {"--method", "method", "'lanczos'", {"power"}, "'power'"},
    {"--engine", "engine", "", {"autograd"}, "'autograd'"},
    {"--ends", "ends", "'dominant'", {"both"}, "'both'"},
    {"--tol", "tolerance", "0.001", {"0.25"}, "0.25"},
    {"--certify", "certify", "0.01", {"0.5"}, "0.5"},
    {"--confidence", "confidence", "0.999", {"0.75"}, "0.75"},
    {"--max-iter", "max_iterations", "200", {"7"}, "7"},
    {"--dtype", "dtype", "'float32'", {"float64"}, "'float64'"},
    {"--device", "device", "'auto'", {"cpu"}, "'cpu'"},
    {"--memory", "memory_bytes", "", {"2KiB"}, "2048"},
    {"--vocab-size", "vocab_size", "", {"9"}, "9"},
    {"--seed", "seed", "0", {"11"}, "11"},
    {"--check", "check", "false", {}, "true"},
    {"--target", "target", "'activations'", {"parameters"}, "'parameters'"},
    {"--operator", "operator", "'hessian'", {"mc-fisher"}, "'mc-fisher'"},
    {"--params", "params", "[ '*' ]", {"a*,b"}, "[ 'a*', 'b' ]"},
    {"--adam", "adam", "false", {}, "true"},
    {"--top", "top", "0", {"4"}, "4"},
    {"--block-width", "block_width", "1", {"2"}, "2"},
    {"--vectors", "vectors", "false", {}, "true"},
    {"--density", "density", "false", {}, "true"},
    {"--trace", "trace", "'none'", {"hutchinson"}, "'hutchinson'"},
    {"--diagonal", "diagonal", "false", {}, "true"},
    {"--decompose", "decompose", "false", {}, "true"},
    {"--samples", "samples", "8", {"6"}, "6"},
    {"--steps", "steps", "64", {"12"}, "12"},
};

/// Returns the options of hessian-probe that a run file records.
experiments::ProgramOptions recorded_options(ProbeCommand& command) {
  experiments::ProgramOptions all = experiments::probe_options(command.options.probe);
  const auto more = experiments::spectrum_options(command.options);
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(ProgramOptions, HaveTheDocumentedDefaults) {
  ProbeCommand command = parsed({});
  const auto options = recorded_options(command);
  ASSERT_EQ(options.size(), expected_options.size());
  for (std::size_t i = 0; i < options.size(); ++i) {
    const ExpectedOption& expected = expected_options[i];
    EXPECT_EQ(options[i].flag, expected.flag);
    EXPECT_EQ(options[i].field.key, expected.key);
    EXPECT_EQ(value_text(options[i].field), expected.value) << expected.flag;
  }
}

TEST(ProgramOptions, ChangeTheirOwnValueAndNoOther) {
  for (const ExpectedOption& given : expected_options) {
    if (given.changed.empty()) {
      continue;
    }
    std::vector<std::string> words = {given.flag};
    words.insert(words.end(), given.words.begin(), given.words.end());
    ProbeCommand command = parsed(words);
    const auto options = recorded_options(command);
    for (std::size_t i = 0; i < options.size(); ++i) {
      const ExpectedOption& expected = expected_options.at(i);
      EXPECT_EQ(value_text(options[i].field), expected.flag == given.flag ? expected.changed : expected.value)
          << expected.flag << " after " << given.flag;
    }
  }
}

TEST(ProgramOptions, MeanTheirDefaultWordIfNoneFollows) {
  EXPECT_EQ(parsed({}).options.trace, std::nullopt);
  EXPECT_EQ(parsed({"--trace"}).options.trace, experiments::TraceMethod::hutch_plus_plus);
  EXPECT_EQ(parsed({"--trace", "hutchinson"}).options.trace, experiments::TraceMethod::hutchinson);
  EXPECT_THROW(parsed({"--trace", "girard"}), CLI::ValidationError);
}

TEST(ProgramOptions, AreReadBackFromTheConfigurationThatTheyWrite) {
  ProbeCommand command = parsed({"--tol", "0.1", "--layer", "0,2", "--site", "ffn_in", "--method", "power", "--engine",
                                 "autograd", "--memory", "3MiB", "--vocab-size", "99", "--check"});
  const std::string text = experiments::config_section("probe", experiments::probe_options(command.options.probe));
  ProbeOptions read;
  read_config_text(text, "text", fields_of(experiments::probe_options(read)));
  EXPECT_EQ(experiments::config_section("probe", experiments::probe_options(read)), text);
  EXPECT_EQ(read.tolerance, 0.1);
  EXPECT_EQ(read.layers, "0,2");
  EXPECT_THAT(read.sites, ElementsAre(models::Site::ffn_in));
  EXPECT_EQ(read.method, experiments::Method::power);
  EXPECT_EQ(read.engine, experiments::Engine::autograd);
  EXPECT_EQ(read.memory_bytes, 3 << 20);
  EXPECT_EQ(read.vocab_size, 99);
  EXPECT_TRUE(read.check);
}

TEST(ProgramOptions, WithoutAValueWriteNoKey) {
  ProbeOptions options;
  const std::string text = experiments::config_section("probe", experiments::probe_options(options), {"seed"});
  for (const char* absent : {"memory_bytes", "vocab_size", "engine", "seed", "out"}) {
    EXPECT_THAT(text, testing::Not(HasSubstr(std::string(absent) + " ="))) << text;
  }
  EXPECT_THAT(text, testing::StartsWith("[probe]\n"));
  EXPECT_THAT(text, HasSubstr("unit = 'sequence'\n"));
}

TEST(ProgramOptions, RefuseOtherWordsAndTypesInAConfiguration) {
  ProbeOptions options;
  const auto message = [&options](const std::string& line) -> std::string {
    try {
      read_config_text("[probe]\n" + line, "text", fields_of(experiments::probe_options(options)));
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message("unit = 'block'"), "text: probe.unit is 'block', expected one of sequence, token");
  EXPECT_EQ(message("seed = -1"), "text: probe.seed is -1, expected a whole number from 0 on");
  EXPECT_EQ(message("memory_bytes = '8GiB'"), "text: probe.memory_bytes is '8GiB', expected a whole number");
  EXPECT_THAT(message("tolerence = 1.0"), HasSubstr("did you mean 'probe.tolerance'?"));
}

TEST(ConfigText, HasTheFewestDigitsThatReadBackAsTheSameNumber) {
  const double lowest = std::numeric_limits<double>::denorm_min();
  std::vector<double> numbers = {0.1, 1.0, 1e-8, 0.1 + 0.2, 1e300, -2.5, 123456789.0, lowest, 0.0};
  const std::vector<double> written = numbers;
  int64_t count = 3;
  std::string name = "it's \"quoted\"\n";
  const ConfigFields fields = {{"b.numbers", &numbers, ""}, {"count", &count, ""}, {"b.name", &name, ""}};
  EXPECT_EQ(experiments::value_text(fields[0]),
            "[ 0.1, 1.0, 1e-08, 0.30000000000000004, 1e+300, -2.5, 123456789.0, 5e-324, 0.0 ]");
  const std::string text = write_config(fields);
  EXPECT_THAT(text, testing::StartsWith("count = 3\n\n[b]\nname = "));
  numbers.clear();
  name.clear();
  count = 0;
  read_config_text(text, "text", fields);
  EXPECT_EQ(numbers, written);
  EXPECT_EQ(count, 3);
  EXPECT_EQ(name, "it's \"quoted\"\n");
}

}  // namespace
}  // namespace hessian::tests
