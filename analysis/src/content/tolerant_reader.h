#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::analysis {

/// Reads datasets and notes those that cannot be read instead of throwing.
class TolerantReader {
 public:
  TolerantReader(const experiments::RunFileReader& run, std::vector<std::string>& problems)
      : run_(run), problems_(problems) {}

  /// Returns the values of a dataset, nothing if it is missing or unreadable.
  template <class T>
  experiments::DatasetValues<T> read(const std::string& path) {
    if (!run_.contains(path)) {
      return {};
    }
    try {
      return run_.read<T>(path);
    } catch (const std::runtime_error& error) {
      problems_.emplace_back(error.what());
      return {};
    }
  }

  template <class T>
  std::vector<T> column(const std::string& path) {
    return read<T>(path).values;
  }

  void note(const std::string& problem) { problems_.push_back(problem); }

 private:
  const experiments::RunFileReader& run_;
  std::vector<std::string>& problems_;
};

/// Truncates columns to the length of the shortest, because a writer may have flushed more rows of one than of another.
template <class... Columns>
void cut_to_shortest(Columns&... columns) {
  const std::size_t rows = std::min({columns.size()...});
  (columns.resize(rows), ...);
}

}  // namespace hessian::analysis
