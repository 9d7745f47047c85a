#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

// A replacement for libFuzzer that any compiler can build: mutates its seed files at random, reproducibly for a given
// --seed, and passes them to the target. Runs for seconds, under the sanitizers, in every test run.
//
// Usage: fuzz_smoke [--runs N] [--seconds S] [--seed N] [--max-bytes N] FILE...
// Prints the run number of an input before a crash with --verbose; `--first N --runs 1` repeats it.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Options {
  std::uint64_t runs = 20000;
  double seconds = 1e9;
  std::uint64_t seed = 1;
  std::uint64_t first = 0;
  std::size_t max_bytes = std::size_t{1} << 16;
  bool verbose = false;
  std::vector<Bytes> seeds;
};

std::uint64_t below(std::mt19937_64& generator, std::uint64_t bound) {
  return bound == 0 ? 0 : generator() % bound;
}

/// Numbers that tend to break lengths, offsets and counts.
std::uint64_t interesting(std::mt19937_64& generator) {
  constexpr std::uint64_t values[] = {
      0,          1,          0x7f,       0x80,       0xff,       0x7fff, 0xffff,    0x7fffffff,
      0x80000000, 0xffffffff, 1ULL << 32, 1ULL << 62, 1ULL << 63, ~0ULL,  ~0ULL - 7, (1ULL << 63) - 1};
  return values[below(generator, std::size(values))];
}

/// Makes one mutation: a bit, a byte, a number, a cut, a repeated or removed run of bytes, or a run of another seed.
void mutate(Bytes& input, const std::vector<Bytes>& seeds, std::mt19937_64& generator) {
  const std::size_t position = below(generator, input.size());
  const std::size_t run = below(generator, 1 + below(generator, 64));
  const auto at = [&](std::size_t offset) { return input.begin() + static_cast<std::ptrdiff_t>(offset); };
  const std::size_t end = std::min(input.size(), position + run);
  switch (below(generator, 9)) {
    case 0:
      if (!input.empty()) {
        input[position] ^= static_cast<std::uint8_t>(1U << below(generator, 8));
      }
      break;
    case 1:
      if (!input.empty()) {
        input[position] = static_cast<std::uint8_t>(generator());
      }
      break;
    case 2:
    case 3: {
      std::uint64_t number = interesting(generator);
      for (std::size_t i = position; i < std::min(input.size(), position + (1U << below(generator, 4))); ++i) {
        input[i] = static_cast<std::uint8_t>(number);
        number >>= 8;
      }
      break;
    }
    case 4:
      input.resize(position);
      break;
    case 5:
      input.erase(at(position), at(end));
      break;
    case 6: {
      const Bytes copy(at(position), at(end));
      input.insert(at(below(generator, input.size() + 1)), copy.begin(), copy.end());
      break;
    }
    case 7: {
      const Bytes& other = seeds[below(generator, seeds.size())];
      const std::size_t from = below(generator, other.size());
      const std::size_t to = std::min(other.size(), from + run);
      input.insert(at(position), other.begin() + static_cast<std::ptrdiff_t>(from),
                   other.begin() + static_cast<std::ptrdiff_t>(to));
      break;
    }
    default:  // a decimal digit, for numbers in text
      if (!input.empty()) {
        input[position] = static_cast<std::uint8_t>('0' + below(generator, 10));
      }
      break;
  }
}

Bytes make_input(const Options& options, std::uint64_t run) {
  std::mt19937_64 generator(options.seed * 0x9e3779b97f4a7c15ULL + run);
  Bytes input = options.seeds[run % options.seeds.size()];
  for (std::uint64_t change = 1 + below(generator, 6); change > 0; --change) {
    mutate(input, options.seeds, generator);
  }
  return input;
}

Bytes read_file(const std::string& path, std::size_t max_bytes) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "fuzz_smoke: %s: cannot be read\n", path.c_str());
    std::exit(2);
  }
  Bytes bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (bytes.size() > max_bytes) {
    bytes.resize(max_bytes);
  }
  return bytes;
}

Options parse_options(int count, char** arguments) {
  Options options;
  std::vector<std::string> paths;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = arguments[i];
    const char* value = i + 1 < count ? arguments[i + 1] : "0";
    if (!word.starts_with("--")) {
      paths.emplace_back(word);
      continue;
    }
    if (word == "--verbose") {
      options.verbose = true;
      continue;
    }
    ++i;
    if (word == "--runs") {
      options.runs = std::strtoull(value, nullptr, 10);
    } else if (word == "--seconds") {
      options.seconds = std::strtod(value, nullptr);
      options.runs = UINT64_MAX;
    } else if (word == "--seed") {
      options.seed = std::strtoull(value, nullptr, 10);
    } else if (word == "--first") {
      options.first = std::strtoull(value, nullptr, 10);
    } else if (word == "--max-bytes") {
      options.max_bytes = std::strtoull(value, nullptr, 10);
    } else {
      std::fprintf(stderr, "fuzz_smoke: unknown option %s\n", arguments[i - 1]);
      std::exit(2);
    }
  }
  for (const auto& path : paths) {
    options.seeds.push_back(read_file(path, options.max_bytes));
  }
  options.seeds.emplace_back();
  return options;
}

}  // namespace

int main(int count, char** arguments) {
  const Options options = parse_options(count, arguments);
  for (const auto& seed : options.seeds) {
    LLVMFuzzerTestOneInput(seed.data(), seed.size());
  }
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t run = 0;
  for (; run < options.runs; ++run) {
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() > options.seconds) {
      break;
    }
    if (options.verbose) {
      std::fprintf(stderr, "run %llu\n", static_cast<unsigned long long>(options.first + run));
    }
    const Bytes input = make_input(options, options.first + run);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%llu inputs from %zu seeds\n", static_cast<unsigned long long>(run), options.seeds.size());
  return 0;
}
