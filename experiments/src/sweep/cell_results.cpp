#include "sweep/cell_results.h"

#include <algorithm>
#include <iterator>

namespace hessian::experiments {

std::vector<Cell> CellResults::add_wanted() {
  std::vector<Cell> added;
  // Repeats until nothing is added, because the result of a cell that is finished already may make others necessary.
  for (std::size_t known = results_.size() + 1; known != results_.size();) {
    known = results_.size();
    for (const Cell& cell : wanted_cells(config_, all())) {
      if (!results_.contains(cell_key(config_, cell))) {
        results_.emplace(cell_key(config_, cell), read_result(config_, cell));
        cells_.push_back(cell);
        added.push_back(cell);
      }
    }
  }
  return added;
}

void CellResults::set(const CellResult& result) {
  results_.at(cell_key(config_, result.cell)) = result;
}

std::vector<CellResult> CellResults::all() const {
  std::vector<CellResult> all;
  std::transform(results_.begin(), results_.end(), std::back_inserter(all),
                 [](const auto& entry) { return entry.second; });
  return all;
}

int64_t CellResults::done() const {
  return std::count_if(results_.begin(), results_.end(),
                       [](const auto& entry) { return entry.second.status != CellStatus::pending; });
}

}  // namespace hessian::experiments
