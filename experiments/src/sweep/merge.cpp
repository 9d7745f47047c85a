#include <system_error>
#include <utility>

#include "sweep/sweep.h"
#include "train/train.h"

namespace hessian::experiments {

SweepTable merge_sweep(const SweepOptions& options) {
  const SweepConfig& config = options.config;
  auto results = read_results(config, CellStatus::failed);
  for (CellResult& result : results) {
    std::error_code error;
    if (result.status == CellStatus::failed &&
        !std::filesystem::exists(run_file_in(cell_folder(config, result.cell)), error)) {
      result.status = CellStatus::pending;  // never started
    }
  }
  SweepTable table = make_table(config, std::move(results));
  make_folder(config.train.out);
  write_sweep_file(sweep_file(config), config, options.command_line, table, is_finished(table));
  return table;
}

}  // namespace hessian::experiments
