#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "reproduction/reproduction.h"

namespace hessian::tests {

/// Returns the claim whose text contains some words.
inline const analysis::Claim& claim_with(const std::vector<analysis::Claim>& claims, const std::string& words) {
  for (const analysis::Claim& claim : claims) {
    if (claim.text.find(words) != std::string::npos) {
      return claim;
    }
  }
  throw std::runtime_error("no claim has '" + words + "'");
}

}  // namespace hessian::tests
