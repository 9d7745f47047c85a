#include "sweep/claims.h"

#include <utility>

#include "program/interrupt.h"

namespace hessian::experiments {
namespace {

const std::string interruption = "interrupted";
const std::string start_prefix = "started/";
const std::string failure_prefix = "failed/";

}  // namespace

CellClaims::CellClaims(const SweepConfig& config, ProcessGroup group) : config_(config), group_(std::move(group)) {}

bool CellClaims::claim(const Cell& cell) {
  const auto known = own_.find(cell_key(config_, cell));
  return known != own_.end()
             ? known->second
             : own_.emplace(cell_key(config_, cell), group_.claim(cell_key(config_, cell))).first->second;
}

bool CellClaims::belongs_to_other(const Cell& cell) const {
  const auto known = own_.find(cell_key(config_, cell));
  return known != own_.end() && !known->second;
}

void CellClaims::announce_start(const Cell& cell) const {
  group_.publish(start_prefix + cell_key(config_, cell), "");
}

bool CellClaims::was_started(const Cell& cell) const {
  return group_.find_published(start_prefix + cell_key(config_, cell)).has_value();
}

void CellClaims::announce_failure(const Cell& cell, const std::string& message) const {
  group_.publish(failure_prefix + cell_key(config_, cell), message);
}

std::optional<std::string> CellClaims::failure(const Cell& cell) const {
  return group_.find_published(failure_prefix + cell_key(config_, cell));
}

bool CellClaims::interrupted() const {
  if (InterruptGuard::requested()) {
    group_.publish(interruption, "");
    return true;
  }
  return group_.find_published(interruption).has_value();
}

}  // namespace hessian::experiments
