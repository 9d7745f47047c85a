#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hessian::experiments {

/// Options that define when a training run counts as diverged.
///
/// The defaults suit language models with vocabularies of 256 to some 100,000 tokens, trained for a few hundred to 1e5
/// steps. The loss of such a run starts near ln V + 0.5 nats and varies by about 0.1 nats from batch to batch, or 0.04
/// after the median of 11.
struct DivergenceOptions {
  /// Nats above the best smoothed loss. 0.5 is twelve times the smoothed variation, yet less than the 0.7 nats between
  /// a byte model's bigram and unigram losses, the smallest relapse that matters. The diverged 7B baseline of the
  /// SimpleGPT paper ended 1.8 nats above the other runs.
  double margin = 0.5;
  /// M: number of consecutive steps above the margin. Spikes that training survives last tens of steps; 100 still fit
  /// in a short run.
  int64_t patience = 100;
  /// Length of the running median in steps, odd. A spike no longer than half of it leaves no trace at all.
  int64_t smoothing = 11;
  /// Nats by which the loss must fall below its initial value. Predicting uniformly gains the 0.5 nats above ln V, and
  /// predicting token frequencies about 3: 1 lies between. 0 disables the criterion, for runs of a few steps.
  double plateau_drop = 1.0;
  /// Step by which it must have fallen; 0: judged only at the end of the run.
  int64_t plateau_steps = 0;
};

/// Checks the options.
/// \throws std::invalid_argument  if one is out of range, naming its key, `divergence.margin` for example
void check(const DivergenceOptions& options);

enum class DivergenceKind { non_finite, loss_rose, never_left_plateau };

struct Divergence {
  DivergenceKind kind = DivergenceKind::non_finite;
  /// non_finite: step of the first non-finite number. loss_rose: first step at which the smoothed loss was too high,
  /// which lags half of `smoothing` behind the loss itself. never_left_plateau: first step of the run.
  int64_t step = 0;

  bool operator==(const Divergence&) const = default;
};

/// The only definition of divergence: watches a run step by step.
///
/// Let s_t be the median of the last `smoothing` losses, where the initial loss l_0 stands in for those before the
/// first step, and b_t = min(s_0, ..., s_t). A run has diverged
///   - at the first step with a loss or a gradient norm that is not finite;
///   - or when s_t > b_t + margin for `patience` consecutive steps, at the first of them;
///   - or when b_t > l_0 - plateau_drop at the first step from `plateau_steps` on, or else at the end of the run.
/// The median of an odd window delays a stretch of high losses without changing its length. So a spike that is shorter
/// than `patience` and from which the loss recovers is no divergence, however high it is.
///
/// The verdict depends only on the observations: a resumed run feeds its recorded losses to a new monitor. Every step
/// must be observed, since `patience` counts observations.
///
/// Cost: O(smoothing) per step; memory: 2 smoothing numbers.
class DivergenceMonitor {
 public:
  /// \throws std::invalid_argument  if an option is out of range
  explicit DivergenceMonitor(const DivergenceOptions& options);

  /// Observes the loss (nats) and the gradient norm of one step. Returns the verdict as soon as it is certain. The
  /// first verdict is final; later steps are ignored.
  /// \throws std::invalid_argument  if `step` does not increase
  std::optional<Divergence> observe(int64_t step, double loss, double grad_norm);

  /// Ends the run, which decides the plateau criterion, and returns the verdict. A run without steps has none.
  std::optional<Divergence> finish();

  const std::optional<Divergence>& verdict() const { return verdict_; }

 private:
  void start(int64_t step, double loss);
  void smooth(double loss);
  void judge_rise(int64_t step);
  void judge_plateau();

  DivergenceOptions options_;
  std::vector<double> window_;   // ring buffer of the last losses
  std::vector<double> scratch_;  // the window, partially sorted
  std::size_t next_ = 0;         // index of the oldest loss in the ring
  std::optional<int64_t> first_step_;
  int64_t last_step_ = 0;
  int64_t rise_step_ = 0;     // first step of the current stretch above the margin
  int64_t rise_length_ = 0;   // its length in steps
  double initial_loss_ = 0;   // l_0
  double best_loss_ = 0;      // b_t
  double smoothed_loss_ = 0;  // s_t
  std::optional<Divergence> verdict_;
};

/// Returns `non_finite`, `loss_rose` or `never_left_plateau`.
std::string to_string(DivergenceKind kind);

/// Describes a divergence in one clause for a message: `loss rose from step 120 on and stayed up`.
std::string describe(const Divergence& divergence);

}  // namespace hessian::experiments
