#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sweep/cells.h"

namespace hessian::experiments {

/// Holds the cells that a sweep needs and the latest known result of each.
class CellResults {
 public:
  explicit CellResults(const SweepConfig& config) : config_(config) {}

  /// Adds and returns the cells that the results so far make necessary. Reads their results from their run files.
  /// \throws std::invalid_argument  if a run was made with another configuration, naming the key
  std::vector<Cell> add_wanted();

  /// Replaces the result of a wanted cell.
  void set(const CellResult& result);

  const CellResult& of(const Cell& cell) const { return results_.at(cell_key(config_, cell)); }
  bool is_pending(const Cell& cell) const { return of(cell).status == CellStatus::pending; }

  /// Returns all wanted cells, in the order in which they were added.
  const std::vector<Cell>& cells() const { return cells_; }
  /// Returns all results, in no particular order.
  std::vector<CellResult> all() const;

  int64_t wanted() const { return static_cast<int64_t>(results_.size()); }
  /// Returns the number of wanted cells that have ended, failures included.
  int64_t done() const;

 private:
  const SweepConfig& config_;
  std::vector<Cell> cells_;
  std::map<std::string, CellResult> results_;
};

}  // namespace hessian::experiments
