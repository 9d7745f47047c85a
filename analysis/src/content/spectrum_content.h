#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace hessian::analysis {

/// The spectral density of a matrix, or the mean density of several (one per sequence), from P random samples of m
/// Lanczos steps each. Members that the file lacks are empty or NaN.
struct DensityCurve {
  std::string name;
  std::string units;                  ///< of eigenvalues
  std::vector<double> grid;           ///< [n]
  std::vector<double> density;        ///< [n], 1 / units
  std::vector<double> density_error;  ///< [n], standard error over samples, or empty
  std::vector<double> ritz_values;    ///< P m at most
  std::vector<double> ritz_weights;   ///< as ritz_values, summing to 1 per sample; or empty
  int64_t samples = 0;                ///< P, all sequences together; 0 if unknown
  int64_t steps = 0;                  ///< m; 0 if unknown
  double width = NAN;                 ///< standard deviation of the Gaussian that each Ritz value is smoothed with
  double zero_threshold = NAN;        ///< largest magnitude that counts as zero
  double mass_near_zero = NAN;        ///< share of eigenvalues that count as zero
  double mass_near_zero_error = NAN;  ///< its standard error
};

/// Eigenvalues at one end of a spectrum, from the outside in. S matrices, K eigenvalues of each.
struct SpectrumEnd {
  std::vector<double> lambda;      ///< [S, K]
  std::vector<double> residual;    ///< [S, K], ||H v - lambda v||
  std::vector<uint8_t> converged;  ///< [S, K]

  /// Counts the pairs that did not reach their tolerance.
  [[nodiscard]] int64_t unconverged() const;
};

/// An estimate for each of S matrices with its standard error; empty if it was not requested.
struct SpectrumEstimate {
  std::vector<double> value;  ///< [S]
  std::vector<double> error;  ///< [S]
};

/// The spectra of one group of matrices: S of one kind, one per sequence, or a single one.
struct GroupSpectrum {
  std::string name;
  std::string units;         ///< of eigenvalues
  int64_t entries = 0;       ///< rows of each matrix
  int64_t left_out = 0;      ///< coordinates that no update has moved, which a matrix of --adam leaves out
  double clip_factor = NAN;  ///< c of a matrix of --adam
  int64_t matrices = 0;      ///< S
  int64_t count = 0;         ///< K, 0 if no eigenvalues were requested
  SpectrumEnd upper;         ///< the largest, descending
  SpectrumEnd lower;         ///< the smallest, ascending
  SpectrumEstimate trace;
  SpectrumEstimate frobenius_norm;
  SpectrumEstimate effective_rank;  ///< NaN where undetermined
  int64_t undetermined_ranks = 0;   ///< matrices whose trace is within 2 standard errors of zero
};

/// H_xx = J^T H_zz J + C at linear maps: spectral norms in nats. M maps, S sequences.
struct Anatomy {
  std::vector<std::string> map;        ///< [M], weight of each map without its layer: `attention.wq`
  std::vector<int64_t> layer;          ///< [M]
  std::vector<uint8_t> normalised;     ///< [M], 1 if a norm follows the map
  int64_t sequences = 0;               ///< S
  std::vector<double> gain_norm;       ///< [M, S], of J^T H_zz J
  std::vector<double> curvature_norm;  ///< [M, S], of C
  std::vector<double> norm;            ///< [M, S], of H_xx
  std::vector<double> cosine;          ///< [M, S], |cosine| of both terms' dominant eigenvectors; NaN if C = 0
  std::vector<uint8_t> converged;      ///< [M, S]

  /// Returns the values of one map over the sequences, [S], from an array [M, S].
  [[nodiscard]] std::vector<double> over_sequences(const std::vector<double>& values, std::size_t row) const;
  /// Counts the sequences in which the estimates of one map reached their tolerance.
  [[nodiscard]] int64_t converged_count(std::size_t row) const;
  /// Counts the estimates (maps times sequences) that were written and did not reach their tolerance.
  [[nodiscard]] int64_t unconverged() const;
};

}  // namespace hessian::analysis
