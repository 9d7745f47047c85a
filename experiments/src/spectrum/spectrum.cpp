#include "spectrum/spectrum.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "distributed/job.h"
#include "hessian/device.h"
#include "probe/measurement.h"
#include "probe/memory_plan.h"
#include "probe/solver.h"
#include "probe/subject.h"
#include "probe/writer.h"
#include "program/statistics.h"
#include "spectrum/anatomy.h"
#include "spectrum/groups.h"
#include "spectrum/layout.h"

namespace hessian::experiments {
namespace {

/// Checks options that depend on the target.
void check(const SpectrumOptions& options) {
  if (options.target == Target::activations) {
    if (options.matrix != CurvatureMatrix::hessian || options.adam || options.params != std::vector<std::string>{"*"}) {
      throw std::invalid_argument(
          "--operator, --params and --adam are for --target parameters; activations have only a Hessian");
    }
    return;
  }
  if (options.decompose) {
    throw std::invalid_argument("--decompose is for --target activations");
  }
  if (!options.has_spectra()) {
    throw std::invalid_argument("--target parameters needs one of --top, --density, --trace and --diagonal");
  }
}

std::string matrix_name(const SpectrumOptions& options) {
  constexpr auto names = std::to_array<const char*>({"Hessian", "Gauss-Newton matrix", "empirical Fisher matrix",
                                                     "Monte-Carlo Fisher matrix", "Hessian by differences"});
  return std::string(options.adam ? "preconditioned " : "") + names[static_cast<std::size_t>(options.matrix)];
}

/// Returns the options that determine the results as TOML.
std::string config_text(SpectrumOptions options, const ProbeSubject& subject) {
  options.probe.sequences = subject.sequences();
  options.probe.seq_len = subject.seq_len();
  std::vector<std::string> left_out = {"method", "engine", "ends", "check", "vectors"};
  if (options.target == Target::parameters) {
    left_out.insert(left_out.end(), {"layers", "sites", "unit"});
  } else {
    left_out.emplace_back("params");
  }
  ProgramOptions all = probe_options(options.probe);
  for (ProgramOption& option : spectrum_options(options)) {
    all.push_back(std::move(option));
  }
  return config_section("spectrum", all, left_out);
}

/// Makes one measurement, from reading the model to writing the run file.
class Measurement {
 public:
  Measurement(SpectrumOptions options, const ProbeOutput& output, const Job& job)
      : options_(std::move(options)),
        output_(output),
        job_(job),
        memory_(compute_memory(job.device, job.place)),
        subject_(load_subject(options_.probe, job.device)),
        layers_(options_.target == Target::activations
                    ? parse_layers(options_.probe.layers, subject_.forward.config().n_layers)
                    : std::vector<int64_t>{}),
        record_(record_forward(subject_, layers_)) {
    require_no_overflow(record_, subject_, options_.probe.model, "give --dtype float64");
    if (options_.has_spectra()) {
      sources_ = options_.target == Target::activations ? activation_groups(options_, subject_, record_, memory_)
                                                        : parameter_groups(options_, subject_, memory_);
    }
    if (options_.decompose) {
      maps_ = layer_maps(subject_.forward, layers_);
      if (maps_.empty()) {
        throw std::invalid_argument("--decompose: --layer '" + options_.probe.layers +
                                    "' is only the input of the final norm, which has no linear maps");
      }
      plan_maps();
    }
    // The bounds of all matrices hold together; a map has three.
    options_.probe.joint_sets = std::max<int64_t>(1, static_cast<int64_t>(sources_.size() + 3 * maps_.size()));
    certificate_of(options_.probe, 1);  // checks the options before the run file is created
    begin_report();
  }

  SpectrumReport run(const Progress& progress) {
    std::optional<RunFileWriter> writer = open();
    const auto total = static_cast<int64_t>(sources_.size() + maps_.size());
    int64_t done = 0;
    const auto note = [&] {
      if (progress && job_.group.is_first()) {
        progress(++done, total);
      }
    };
    measure_groups(writer, note);
    dissect_maps(writer, note);
    report_.peak_memory_bytes = job_.memory.peak_bytes();
    if (writer) {
      writer->set_peak_memory_bytes(report_.peak_memory_bytes);
      writer->finish();
    }
    return report_;
  }

 private:
  /// Fills in the members of the report that are known before the measurement.
  void begin_report() {
    report_.options = options_;
    report_.model_description = subject_.description;
    report_.device = describe_device(job_.device);
    report_.matrix = matrix_name(options_);
    report_.step = subject_.step;
    report_.sequences = subject_.sequences();
    report_.seq_len = subject_.seq_len();
    report_.loss = mean(record_.losses);
  }

  bool is_own(std::size_t item) const {
    return item % static_cast<std::size_t>(job_.group.size()) == static_cast<std::size_t>(job_.group.rank());
  }

  /// Plans how many sequences of a map are solved together: as many as fit at the first layer's residual, since later
  /// layers need less memory.
  void plan_maps() {
    const auto problem = [this](int64_t /*layers*/, int64_t length) {
      const int64_t layer = maps_.front().layer;
      return probe_problem(options_.probe.engine.value(), subject_.forward, models::Site::residual, {layer},
                           record_.residuals.at(layer).narrow(1, 0, length), subject_.targets.narrow(1, 0, length));
    };
    sequences_at_once_ = plan_memory(options_.probe, memory_, 1, subject_.sequences(), subject_.seq_len(), problem,
                                     held_memory(subject_, record_))
                             .sequences_at_once;
  }

  std::vector<DatasetSpec> datasets() const {
    ProbeLayoutOptions overview;  // without sites, so that it has only step and losses
    overview.sequences = subject_.sequences();
    std::vector<DatasetSpec> all = probe_datasets(overview);
    const auto add = [&all](const std::vector<DatasetSpec>& more) { all.insert(all.end(), more.begin(), more.end()); };
    for (const GroupSource& source : sources_) {
      add(spectrum_datasets(options_, source.group));
    }
    if (!maps_.empty()) {
      add(anatomy_datasets(maps_, subject_.sequences()));
    }
    return all;
  }

  /// Creates the run file in the first process.
  std::optional<RunFileWriter> open() const {
    if (!job_.group.is_first()) {
      return std::nullopt;
    }
    const RunInfo info = probe_run_info(options_.probe, output_, subject_.forward.config(), report_.device,
                                        config_text(options_, subject_));
    return RunFileWriter::create(output_.path, info, datasets(), output_.overwrite, [this](RunFileWriter& writer) {
      writer.write("/probe/step", {0}, {1}, std::span<const int64_t>(&subject_.step, 1));
      writer.write("/probe/loss", {0, 0}, {1, subject_.sequences()}, record_.losses);
      for (const GroupSource& source : sources_) {
        write_entries(writer, options_, source.group);
      }
      if (!maps_.empty()) {
        write_maps(writer, maps_);
      }
    });
  }

  /// Copies the tensors that one process has computed to all processes.
  void share(const std::vector<StoredTensor>& tensors, std::size_t item) const {
    if (job_.group.is_alone()) {
      return;
    }
    for (const StoredTensor& stored : tensors) {
      at::Tensor values = is_own(item) ? stored.tensor->reshape(stored.spec.shape).contiguous()
                                       : at::zeros(stored.spec.shape, at::kDouble);
      job_.group.all_reduce(values);
      *stored.tensor = values;
    }
  }

  /// Shares and writes the results of a group or a linear map.
  void store(const std::vector<StoredTensor>& tensors, std::size_t item, std::optional<RunFileWriter>& writer,
             int64_t first_row = 0) const {
    share(tensors, item);
    if (writer) {
      write_tensors(*writer, tensors, first_row);
      writer->flush();
    }
  }

  template <class Note>
  void measure_groups(std::optional<RunFileWriter>& writer, const Note& note) {
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const GroupSource& source = sources_[i];
      GroupSpectrum spectrum = is_own(i)
                                   ? estimate_group(options_, source.group, source.max_basis, source.for_each_chunk)
                                   : GroupSpectrum{source.group};
      store(stored_tensors(options_, spectrum), i, writer);
      spectrum.release_large();
      report_.groups.push_back(std::move(spectrum));
      note();
    }
  }

  template <class Note>
  void dissect_maps(std::optional<RunFileWriter>& writer, const Note& note) {
    for (std::size_t i = 0; i < maps_.size(); ++i) {
      const at::Tensor& residual = record_.residuals.at(maps_[i].layer);
      MapAnatomy anatomy =
          is_own(i) ? dissect(options_, subject_, maps_[i], residual, sequences_at_once_) : MapAnatomy{maps_[i]};
      store(stored_tensors(anatomy, subject_.sequences()), i, writer, static_cast<int64_t>(i));
      for (const StoredTensor& stored : stored_tensors(anatomy, subject_.sequences())) {
        *stored.tensor = stored.tensor->flatten();  // [1, S] if it was shared
      }
      report_.maps.push_back(std::move(anatomy));
      note();
    }
  }

  SpectrumOptions options_;
  const ProbeOutput& output_;
  const Job& job_;
  ComputeMemory memory_;
  ProbeSubject subject_;
  std::vector<int64_t> layers_;
  ForwardRecord record_;
  std::vector<GroupSource> sources_;
  std::vector<LayerMap> maps_;
  int64_t sequences_at_once_ = 1;
  SpectrumReport report_;
};

}  // namespace

void GroupSpectrum::release_large() {
  if (diagonal) {
    diagonal_unknown = diagonal->value.isnan().any(1);
    diagonal.reset();
  }
  for (std::optional<SpectrumEnd>* end : {&upper, &lower}) {
    if (*end) {
      (*end)->vectors = at::Tensor();
    }
  }
}

SpectrumReport run_spectrum(const SpectrumOptions& options, const ProbeOutput& output, const Progress& progress) {
  check(options);
  const Job job({.device = options.probe.device, .output = output.path, .overwrite = output.overwrite});
  SpectrumOptions resolved = options;
  resolved.probe.engine = choose_engine(options.probe.engine, job.device);
  return Measurement(resolved, output, job).run(progress);
}

}  // namespace hessian::experiments
