#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sweep/cells.h"

namespace hessian::experiments {

/// The cells that a sweep wants, and the result of each as far as it is known.
class CellResults {
 public:
  explicit CellResults(const SweepConfig& config) : config_(config) {}

  /// Adds the cells that the known results call for, with what their run files say, and returns them.
  /// \throws std::invalid_argument  if a run was made with another configuration, naming the key
  std::vector<Cell> add_wanted();

  /// Replaces the result of a wanted cell.
  void set(const CellResult& result);

  const CellResult& of(const Cell& cell) const { return results_.at(key(cell)); }
  bool is_pending(const Cell& cell) const { return of(cell).status == CellStatus::pending; }

  /// All wanted cells, in the order in which they were added.
  const std::vector<Cell>& cells() const { return cells_; }
  /// All results, in no particular order.
  std::vector<CellResult> all() const;

  int64_t wanted() const { return static_cast<int64_t>(results_.size()); }
  /// Number of wanted cells that have ended, failures included.
  int64_t done() const;

 private:
  std::string key(const Cell& cell) const { return cell_folder(config_, cell).string(); }

  const SweepConfig& config_;
  std::vector<Cell> cells_;
  std::map<std::string, CellResult> results_;
};

}  // namespace hessian::experiments
