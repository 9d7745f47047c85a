#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hessian::experiments {

/// When a training run counts as diverged.
///
/// The defaults are for language models with 256 to some 100,000 words and from a few hundred to 1e5 steps. Such a run
/// begins near ln V + 0.5 nats and its losses scatter by about 0.1 nats from batch to batch, so by about 0.04 after the
/// median of 11.
struct DivergenceOptions {
  /// Nats above the best smoothed loss. 0.5 is twelve times the smoothed scatter, yet less than the 0.7 nats between a
  /// byte model's bigram and unigram losses, the smallest fall back that matters; the 7B baseline of the SimpleGPT
  /// paper that diverged ended 1.8 nats above its rivals.
  double margin = 0.5;
  /// M: consecutive steps above that. Spikes that training survives last tens of steps; 100 still fit in a short run.
  int64_t patience = 100;
  /// Steps of the running median, odd. A spike of at most half of it leaves no trace at all.
  int64_t smoothing = 11;
  /// Nats below the initial loss that a run must reach. The uniform prediction alone gains the 0.5 nats above ln V, and
  /// the words' frequencies gain about 3: 1 lies between. 0 switches the criterion off, for runs of a few steps.
  double plateau_drop = 1.0;
  /// Step by which it must have; 0: judged at the end of the run only.
  int64_t plateau_steps = 0;
};

/// \throws std::invalid_argument  if an option is out of range; names its key, `divergence.margin` for example
void check(const DivergenceOptions& options);

enum class DivergenceKind { non_finite, loss_rose, never_left_plateau };

struct Divergence {
  DivergenceKind kind = DivergenceKind::non_finite;
  /// The step of the first non-finite number; the first step at which the smoothed loss was too high, which lags half
  /// of `smoothing` behind the loss itself; or the first step of a run that never left its plateau.
  int64_t step = 0;

  bool operator==(const Divergence&) const = default;
};

/// The one definition of divergence: watches a run step by step.
///
/// With s_t the median of the last `smoothing` losses, where the initial loss l_0 stands for those before the first
/// step, and b_t = min(s_0, ..., s_t), a run has diverged
///   - at the first step with a loss or a gradient norm that is not finite;
///   - or when s_t > b_t + margin for `patience` consecutive steps, at the first of them;
///   - or when b_t > l_0 - plateau_drop at the first step from `plateau_steps` on, or else at the end of the run.
/// The median of an odd window shifts a stretch of high losses and keeps its length, so a spike shorter than `patience`
/// from which the loss recovers is no divergence, however high.
///
/// The verdict depends on the observations alone. A resumed run replays the losses it has recorded into a fresh
/// monitor. Every step must be observed: patience counts observations.
///
/// Cost: O(smoothing) a step; memory: 2 smoothing numbers.
class DivergenceMonitor {
 public:
  /// \throws std::invalid_argument  if an option is out of range
  explicit DivergenceMonitor(const DivergenceOptions& options);

  /// Takes the loss (nats) and the gradient norm of one step; returns the verdict as soon as it is certain. The first
  /// verdict stays, and what comes after it is ignored.
  ///
  /// \throws std::invalid_argument  if `step` does not come after the step before
  std::optional<Divergence> observe(int64_t step, double loss, double grad_norm);

  /// The run is over: judges the plateau too. A run without a step has no verdict.
  std::optional<Divergence> finish();

  const std::optional<Divergence>& verdict() const { return verdict_; }
  /// l_0; NaN before the first step.
  double initial_loss() const { return initial_loss_; }
  /// b_t up to the verdict; NaN before the first step.
  double best_loss() const { return best_loss_; }
  /// s_t up to the verdict; NaN before the first step.
  double smoothed_loss() const { return smoothed_loss_; }

 private:
  void start(int64_t step, double loss);
  void smooth(double loss);
  void judge_rise(int64_t step);
  void judge_plateau();

  DivergenceOptions options_;
  std::vector<double> window_;   // ring of the last losses
  std::vector<double> scratch_;  // the window, partly sorted
  std::size_t next_ = 0;         // place of the oldest loss in the ring
  std::optional<int64_t> first_step_;
  int64_t last_step_ = 0;
  int64_t rise_step_ = 0;    // first step of the present stretch above the margin
  int64_t rise_length_ = 0;  // steps in it
  double initial_loss_;
  double best_loss_;
  double smoothed_loss_;
  std::optional<Divergence> verdict_;
};

/// The verdict on a finished run, from its recorded curve: the one that a live monitor gave.
///
/// \param steps       increasing, every step of the run
/// \param losses      training loss of each step, nats
/// \param grad_norms  gradient norm of each step
/// \throws std::invalid_argument  if the lengths differ, the steps do not increase, or an option is out of range
std::optional<Divergence> find_divergence(const std::vector<int64_t>& steps, const std::vector<double>& losses,
                                          const std::vector<double>& grad_norms, const DivergenceOptions& options);

/// `non_finite`, `loss_rose` or `never_left_plateau`.
std::string to_string(DivergenceKind kind);

/// One clause for a message: `loss rose from step 120 on and stayed up`.
std::string describe(const Divergence& divergence);

}  // namespace hessian::experiments
