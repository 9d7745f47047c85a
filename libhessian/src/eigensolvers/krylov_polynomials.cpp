#include "eigensolvers/krylov_polynomials.h"

#include <algorithm>
#include <cmath>

#include "eigensolvers/start_component.h"

namespace hessian {
namespace {

/// Beyond this, a value proves more than any confidence level asks for. Its square does not overflow.
constexpr double large_enough = 1e100;

/// Returns the share of the risk allotted to the case that `starts` start vectors were needed. Nearly all of it belongs to the
/// first, since few problems need another.
double risk_share(std::size_t starts) {
  return 15.0 / std::pow(16.0, static_cast<double>(starts));
}

}  // namespace

void KrylovPolynomials::add_product(const Eigen::VectorXd& coefficients, double coupling) {
  basis_size_ = coefficients.size();
  steps_.push_back({Step::Kind::product, coefficients, coupling, {}});
}

void KrylovPolynomials::add_start() {
  start_dims_.push_back(dim_ - basis_size_);
  steps_.push_back({Step::Kind::start, {}, 1, {}});
}

void KrylovPolynomials::add_restart(const Eigen::MatrixXd& rotation) {
  basis_size_ = rotation.cols();
  steps_.push_back({Step::Kind::restart, {}, 1, rotation});
}

std::vector<KrylovPolynomials::Values> KrylovPolynomials::evaluate(double t) const {
  std::vector<Values> starts(1, {1, 1});
  Eigen::VectorXd basis;  // values of the basis vectors' polynomials
  double sum = 1;         // of the squares of all values, that of the next vector included
  bool decided = false;   // whether the current start's value is large enough already
  for (const Step& step : steps_) {
    Values& values = starts.back();
    switch (step.kind) {
      case Step::Kind::product: {
        const Eigen::Index size = step.coefficients.size();
        basis.conservativeResize(size);
        basis[size - 1] = values.next;
        if (decided) {
          break;
        }
        values.next = (t * values.next - step.coefficients.dot(basis)) / step.coupling;
        sum += values.next * values.next;
        values.sum_of_squares = std::max(values.sum_of_squares, sum);
        // NaN and infinity arise only from values that were larger still.
        decided = !(std::abs(values.next) < large_enough && sum < large_enough * large_enough);
        if (decided) {
          values = {large_enough * large_enough, large_enough};
        }
        break;
      }
      case Step::Kind::start:
        basis.setZero();
        sum = 1;
        decided = false;
        starts.push_back({1, 1});
        break;
      case Step::Kind::restart:
        basis = step.rotation.transpose() * basis;
        sum = basis.squaredNorm() + values.next * values.next;
        break;
    }
  }
  return starts;
}

/// Combines the start vectors. The probabilities F_c of their components are independent and uniform, so that the product of
/// s of them is at most r with probability r sum_{j < s} (-ln r)^j / j! (Fisher's method).
double KrylovPolynomials::risk(const std::vector<double>& reciprocals) const {
  double smallest = 1;
  double product = 1;
  for (std::size_t start = 0; start < reciprocals.size(); ++start) {
    const int64_t dim = start == 0 ? dim_ : start_dims_[start - 1];
    product *= start_component_probability(reciprocals[start], dim);
    if (product == 0) {
      return 0;
    }
    double term = 1;
    double combined = 0;
    for (std::size_t j = 0; j <= start; ++j) {
      combined += term;
      term *= -std::log(product) / static_cast<double>(j + 1);
    }
    smallest = std::min(smallest, product * combined / risk_share(start + 1));
  }
  return smallest;
}

double KrylovPolynomials::risk_outside(double t) const {
  std::vector<double> reciprocals;
  for (const Values& values : evaluate(t)) {
    reciprocals.push_back(1 / values.sum_of_squares);
  }
  return risk(reciprocals);
}

double KrylovPolynomials::risk_between(double a, double b) const {
  const std::vector<Values> at_a = evaluate(a);
  const std::vector<Values> at_b = evaluate(b);
  std::vector<double> reciprocals;
  for (std::size_t start = 0; start < at_a.size(); ++start) {
    const double smaller = std::min(std::abs(at_a[start].next), std::abs(at_b[start].next));
    reciprocals.push_back(std::min(1.0, 1 / (smaller * smaller)));
  }
  return risk(reciprocals);
}

}  // namespace hessian
