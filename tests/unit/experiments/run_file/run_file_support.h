#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::tests {

/// A temporary folder, removed with its contents by the destructor.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hessian-run-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw std::runtime_error(pattern + ": cannot be made");
    }
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

 private:
  std::filesystem::path path_;
};

struct CommandResult {
  int status = -1;
  std::string output;  // stdout and stderr
};

inline CommandResult run_command(const std::string& command) {
  CommandResult result;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    return result;
  }
  std::array<char, 4096> buffer{};
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), count);
  }
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

inline bool has_program(const std::string& name) {
  return run_command("command -v " + name).status == 0;
}

inline experiments::RunInfo example_info() {
  return {.program = "hessian-probe",
          .command_line = "hessian-probe --model 'a b' --layer all --out run.h5",
          .version = "0.1.0",
          .libtorch = "2.11.0",
          .cuda = "13.0",
          .git_commit = "0123456789abcdef0123456789abcdef01234567",
          .seed = 18446744073709551615U,
          .device = "cpu",
          .dtype = "float32",
          .config = "seed = 1\ntitle = \"\xce\xbb\"\n",
          .model = R"({"family": "llama2", "n_layers": 4})",
          .data = R"({"source": "0123"})"};
}

inline void write_text_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_text_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Checks that a message has the form that the programs print: one line that begins with the file's name.
inline ::testing::AssertionResult is_one_line_about(const std::string& message, const std::filesystem::path& file) {
  if (!message.starts_with(file.string() + ": ")) {
    return ::testing::AssertionFailure() << "'" << message << "' does not begin with the file's name " << file;
  }
  if (message.find('\n') != std::string::npos) {
    return ::testing::AssertionFailure() << "'" << message << "' is more than one line";
  }
  return ::testing::AssertionSuccess();
}

}  // namespace hessian::tests
