#include "probe/share.h"

#include <algorithm>
#include <limits>

namespace hessian::experiments {
namespace {

/// Calls `visit` with each column of numbers per sequence.
template <class Row, class Visitor>
void for_each_column(Row& row, const Visitor& visit) {
  for (auto* column : {&row.spectral_norm, &row.lambda_max, &row.lambda_min, &row.norm_upper, &row.lambda_max_upper,
                       &row.lambda_min_lower, &row.residual_norm, &row.asymmetry}) {
    visit(*column);
  }
}

/// Calls `visit` with a reference to every number of a row that merge_rows() completes.
template <class Row, class Visitor>
void for_each_number(Row& row, const Visitor& visit) {
  for_each_column(row, [&visit](auto& column) { std::for_each(column.begin(), column.end(), visit); });
  std::for_each(row.iterations.begin(), row.iterations.end(), visit);
  std::for_each(row.converged.begin(), row.converged.end(), visit);
  if (row.check) {
    visit(row.check->central_differences);
    visit(row.check->own_precision);
  }
}

}  // namespace

ProbeShare probe_share(const ProcessGroup& group, int64_t sequences) {
  int64_t shares = std::min<int64_t>(group.size(), sequences);
  while (group.size() % shares != 0) {
    --shares;
  }
  return {share_of(sequences, group.rank() % shares, shares), group.rank() / shares, group.size() / shares};
}

ProbeRow empty_row(models::Site site, int64_t layer, int64_t sequences, bool with_check) {
  const auto count = static_cast<std::size_t>(sequences);
  const std::vector<double> zeros(count, 0.0);
  ProbeRow row;
  row.site = site;
  row.layer = layer;
  for_each_column(row, [&zeros](std::vector<double>& column) { column = zeros; });
  row.iterations.assign(count, 0);
  row.converged.assign(count, 0);
  if (with_check) {
    row.check.emplace();
  }
  return row;
}

void forget_sequence(ProbeRow& row, std::size_t sequence) {
  for_each_column(
      row, [sequence](std::vector<double>& column) { column[sequence] = std::numeric_limits<double>::quiet_NaN(); });
  row.converged[sequence] = 0;
}

void merge_rows(const ProcessGroup& group, std::vector<ProbeRow>& rows) {
  if (group.is_alone()) {
    return;
  }
  std::vector<double> numbers;
  for (const ProbeRow& row : rows) {
    for_each_number(row, [&numbers](const auto& number) { numbers.push_back(static_cast<double>(number)); });
  }
  at::Tensor sums = at::tensor(numbers, at::kDouble);
  group.all_reduce(sums);
  const double* next = sums.const_data_ptr<double>();
  for (ProbeRow& row : rows) {
    for_each_number(row, [&next]<class Number>(Number& number) { number = static_cast<Number>(*next++); });
  }
}

}  // namespace hessian::experiments
