#include "spectrum/spectrum.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>

#include "config/device_option.h"
#include "config/dtype.h"
#include "distributed/process_group.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "probe/measurement.h"
#include "probe/memory_plan.h"
#include "probe/subject.h"
#include "probe/writer.h"
#include "program/job_place.h"
#include "program/statistics.h"
#include "run_file/output_file.h"
#include "spectrum/anatomy.h"
#include "spectrum/groups.h"
#include "spectrum/layout.h"

namespace hessian::experiments {
namespace {

void check(const SpectrumOptions& options) {
  if (options.target == Target::activations) {
    if (options.matrix != CurvatureMatrix::hessian || options.adam || options.params != std::vector<std::string>{"*"}) {
      throw std::invalid_argument(
          "--operator, --params and --adam are for --target parameters; activations have a Hessian");
    }
    return;
  }
  if (options.decompose) {
    throw std::invalid_argument("--decompose is for --target activations");
  }
  if (options.top == 0 && !options.density && !options.trace && !options.diagonal) {
    throw std::invalid_argument("--target parameters needs something to find: --top, --density, --trace or --diagonal");
  }
}

std::string matrix_name(const SpectrumOptions& options) {
  constexpr auto names = std::to_array<const char*>({"Hessian", "Gauss-Newton matrix", "empirical Fisher matrix",
                                                     "Monte-Carlo Fisher matrix", "Hessian by differences"});
  return std::string(options.adam ? "preconditioned " : "") + names[static_cast<std::size_t>(options.matrix)];
}

/// Everything that decided the run, as the run file's `config`.
std::string config_text(const SpectrumOptions& options, const ProbeSubject& subject) {
  const ProbeOptions& probe = options.probe;
  toml::array sites;
  for (const models::Site site : probe.sites) {
    sites.push_back(models::to_string(site));
  }
  toml::array params;
  for (const std::string& glob : options.params) {
    params.push_back(glob);
  }
  toml::table table{
      {"model", probe.model},
      {"data", probe.data},
      {"sequences", subject.sequences()},
      {"seq_len", subject.seq_len()},
      {"dtype", dtype_name(probe.dtype)},
      {"device", probe.device},
      {"seed", static_cast<int64_t>(probe.seed)},
      {"tolerance", probe.tolerance},
      {"max_iterations", probe.max_iterations},
      {"target", target_words[static_cast<std::size_t>(options.target)]},
      {"operator", matrix_words[static_cast<std::size_t>(options.matrix)]},
      {"adam", options.adam},
      {"top", options.top},
      {"block_width", options.block_width},
      {"density", options.density},
      {"trace", options.trace ? trace_words[static_cast<std::size_t>(options.trace_method)] : "none"},
      {"diagonal", options.diagonal},
      {"decompose", options.decompose},
      {"samples", options.samples},
      {"steps", options.steps},
  };
  if (options.target == Target::parameters) {
    table.insert("params", params);
  } else {
    table.insert("layers", probe.layers);
    table.insert("sites", sites);
    table.insert("unit", to_string(probe.unit));
  }
  if (probe.memory_bytes) {
    table.insert("memory_bytes", *probe.memory_bytes);
  }
  if (probe.vocab_size) {
    table.insert("vocab_size", *probe.vocab_size);
  }
  std::ostringstream text;
  text << toml::table{{"spectrum", table}} << '\n';
  return text.str();
}

/// Vectors and diagonals are for the run file alone.
bool is_large(const std::string& path) {
  return path.find("/vectors_") != std::string::npos || path.find("/diagonal") != std::string::npos;
}

/// One run, from what is to be measured to the file that has it.
class Measurement {
 public:
  Measurement(const SpectrumOptions& options, at::Device device, const ProcessGroup& group)
      : options_(options),
        group_(group),
        subject_(load_subject(options.probe, device)),
        layers_(options.target == Target::activations
                    ? parse_layers(options.probe.layers, subject_.forward.config().n_layers)
                    : std::vector<int64_t>{}),
        record_(record_forward(subject_, layers_)) {
    const bool spectra = options.top > 0 || options.density || options.trace || options.diagonal;
    if (spectra && options.target == Target::activations) {
      sources_ = activation_groups(options, subject_, record_, device);
    } else if (spectra) {
      sources_ = parameter_groups(options, subject_, device);
    }
    if (options.decompose) {
      maps_ = block_maps(subject_.forward, layers_);
      if (maps_.empty()) {
        throw std::invalid_argument("--decompose: --layer '" + options.probe.layers + "' names no block");
      }
      plan_maps(device);
    }
    report_.model_description = subject_.description;
    report_.device = hessian::describe_device(device);
    report_.matrix = matrix_name(options);
    report_.step = subject_.step;
    report_.sequences = subject_.sequences();
    report_.seq_len = subject_.seq_len();
    report_.loss = mean(record_.losses);
  }

  SpectrumReport run(const hessian::MemoryScope& memory, const Progress& progress) {
    std::optional<RunFileWriter> writer = open();
    const auto total = static_cast<int64_t>(sources_.size() + maps_.size());
    int64_t done = 0;
    const auto note = [&] {
      if (progress && group_.is_first()) {
        progress(++done, total);
      }
    };
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const GroupSource& source = sources_[i];
      const auto specs = spectrum_datasets(options_, source.group);
      Numbers numbers =
          is_own(i) ? estimate_group(options_, source.group, source.max_basis, source.for_each_part) : Numbers();
      share(specs, numbers, i);
      if (writer) {
        write_numbers(*writer, specs, numbers);
        writer->flush();
      }
      std::erase_if(numbers, [](const auto& entry) { return is_large(entry.first); });
      report_.numbers.merge(numbers);
      report_.groups.push_back(source.group);
      note();
    }
    dissect_maps(writer, note);
    report_.peak_memory_bytes = memory.peak_bytes();
    if (writer) {
      writer->set_peak_memory_bytes(report_.peak_memory_bytes);
      writer->finish();
    }
    return report_;
  }

 private:
  bool is_own(std::size_t item) const {
    return item % static_cast<std::size_t>(group_.size()) == static_cast<std::size_t>(group_.rank());
  }

  /// How many sequences of a map fit, as many as at the first layer's residual: later ones need less.
  void plan_maps(at::Device device) {
    const auto problem = [this](int64_t /*layers*/, int64_t length) {
      const int64_t layer = maps_.front().layer;
      return probe_problem(options_.probe.engine.value(), subject_.forward, models::Site::residual, {layer},
                           record_.residuals.at(layer).narrow(1, 0, length), subject_.targets.narrow(1, 0, length));
    };
    sequences_at_once_ = plan_memory(options_.probe, device, 1, subject_.sequences(), subject_.seq_len(), problem,
                                     held_memory(subject_, record_))
                             .sequences_at_once;
  }

  std::vector<DatasetSpec> map_datasets() const {
    std::size_t longest = 1;
    for (const BlockMap& map : maps_) {
      longest = std::max(longest, map.name.size());
    }
    return anatomy_datasets(static_cast<int64_t>(maps_.size()), subject_.sequences(), static_cast<int64_t>(longest));
  }

  std::optional<RunFileWriter> open() const {
    if (!group_.is_first()) {
      return std::nullopt;
    }
    ProbeLayoutOptions overview;  // of a probe without sites: its step and the losses
    overview.sequences = subject_.sequences();
    std::vector<DatasetSpec> datasets = probe_datasets(overview);
    const auto add = [&datasets](const std::vector<DatasetSpec>& more) {
      datasets.insert(datasets.end(), more.begin(), more.end());
    };
    for (const GroupSource& source : sources_) {
      add(spectrum_datasets(options_, source.group));
    }
    if (!maps_.empty()) {
      add(map_datasets());
    }
    return RunFileWriter::create(
        options_.probe.out,
        probe_run_info(options_.probe, subject_.forward.config(), report_.device, config_text(options_, subject_)),
        datasets, options_.probe.overwrite, [this](RunFileWriter& writer) {
          writer.write("/probe/step", {0}, {1}, std::span<const int64_t>(&subject_.step, 1));
          writer.write("/probe/loss", {0, 0}, {1, subject_.sequences()}, record_.losses);
          write_maps(writer);
        });
  }

  void write_maps(RunFileWriter& writer) const {
    if (maps_.empty()) {
      return;
    }
    const Shape all = {static_cast<int64_t>(maps_.size())};
    std::vector<std::string> names;
    std::vector<int64_t> layers;
    std::vector<uint8_t> normalised;
    for (const BlockMap& map : maps_) {
      names.push_back(map.name);
      layers.push_back(map.layer);
      normalised.push_back(map.normalised ? 1 : 0);
    }
    writer.write(anatomy_path("map"), {0}, all, names);
    writer.write(anatomy_path("layer"), {0}, all, layers);
    writer.write(anatomy_path("normalised"), {0}, all, normalised);
  }

  /// Gives what one process has found to all.
  void share(const std::vector<DatasetSpec>& specs, Numbers& numbers, std::size_t item) const {
    if (group_.is_alone()) {
      return;
    }
    for (const DatasetSpec& spec : specs) {
      at::Tensor values = is_own(item) ? numbers.at(spec.path).contiguous() : at::zeros(spec.shape, at::kDouble);
      group_.all_reduce(values);
      numbers[spec.path] = values;
    }
  }

  template <class Note>
  void dissect_maps(std::optional<RunFileWriter>& writer, const Note& note) {
    std::vector<DatasetSpec> specs = map_datasets();
    std::erase_if(specs, [](const DatasetSpec& spec) { return spec.shape.size() != 2; });
    for (DatasetSpec& spec : specs) {
      spec.shape = {1, spec.shape.back()};  // a row of it, that of one map
    }
    for (std::size_t i = 0; i < maps_.size(); ++i) {
      const at::Tensor& residual = record_.residuals.at(maps_[i].layer);
      Numbers row = is_own(i) ? dissect(options_, subject_, maps_[i], residual, sequences_at_once_) : Numbers();
      share(specs, row, i);
      if (writer) {
        write_numbers(*writer, specs, row, static_cast<int64_t>(i));
        writer->flush();
      }
      for (const auto& [path, values] : row) {
        at::Tensor& rows = report_.numbers[path];
        rows = rows.defined() ? at::cat({rows, values}) : values;
      }
      report_.maps.push_back(maps_[i]);
      note();
    }
  }

  const SpectrumOptions& options_;
  ProcessGroup group_;
  ProbeSubject subject_;
  std::vector<int64_t> layers_;
  ForwardRecord record_;
  std::vector<GroupSource> sources_;
  std::vector<BlockMap> maps_;
  int64_t sequences_at_once_ = 1;
  SpectrumReport report_;
};

}  // namespace

SpectrumReport run_spectrum(const SpectrumOptions& options, const Progress& progress) {
  check(options);
  const hessian::MemoryScope memory;
  const JobPlace place = job_place();
  const at::Device device = choose_device(options.probe.device, "--device", place);
  SpectrumOptions resolved = options;
  resolved.probe.engine = choose_engine(options.probe.engine, device);
  resolved.probe.processes_sharing_memory = processes_sharing_memory(device, place);
  if (place.is_first()) {
    ensure_writable_output(options.probe.out, options.probe.overwrite);
  }
  return Measurement(resolved, device, ProcessGroup::join(place, device)).run(memory, progress);
}

}  // namespace hessian::experiments
