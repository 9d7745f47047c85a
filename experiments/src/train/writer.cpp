#include "train/writer.h"

#include <span>
#include <utility>

#include "probe/writer.h"

namespace hessian::experiments {
namespace {

template <class T>
void append_one(RunFileWriter& writer, const std::string& dataset, T value) {
  writer.append(dataset, std::span<const T>(&value, 1));
}

}  // namespace

TrainWriter::TrainWriter(RunFileWriter writer, TrainLayoutOptions layout)
    : writer_(std::move(writer)), layout_(std::move(layout)), last_flush_(std::chrono::steady_clock::now()) {}

TrainWriter TrainWriter::create(const std::filesystem::path& path, const RunInfo& info,
                                const TrainLayoutOptions& layout, bool overwrite) {
  const auto fill = [&layout](RunFileWriter& writer) {
    if (!layout.update_groups.empty()) {
      writer.write("/train/update_group", {0}, {static_cast<int64_t>(layout.update_groups.size())},
                   layout.update_groups);
    }
    write_probe_layers(writer, layout.probe);
  };
  return {RunFileWriter::create(path, info, train_datasets(layout), overwrite, fill), layout};
}

TrainWriter TrainWriter::continue_from(const std::filesystem::path& path, const RunInfo& info,
                                       const TrainLayoutOptions& layout, int64_t step) {
  const auto datasets = train_datasets(layout);
  const auto rows = rows_until(datasets, RunFileReader(path), step);
  return {RunFileWriter::continue_from(path, info, datasets, rows), layout};
}

void TrainWriter::write_update(int64_t step, int64_t tokens_per_update, const UpdateRecord& record, double seconds) {
  append_one(writer_, "/train/tokens", step * tokens_per_update);
  append_one(writer_, "/train/loss", record.loss);
  append_one(writer_, "/train/lr", record.lr);
  append_one(writer_, "/train/grad_norm", record.grad_norm);
  append_one(writer_, "/train/step_seconds", seconds);
  append_one(writer_, "/train/tokens_per_second", static_cast<double>(tokens_per_update) / seconds);
  append_one(writer_, "/train/step", step);
}

void TrainWriter::write_validation(int64_t step, double loss) {
  append_one(writer_, "/train/val_loss", loss);
  append_one(writer_, "/train/val_step", step);
}

void TrainWriter::write_update_rms(int64_t step, const std::vector<double>& update_rms,
                                   const std::vector<double>& parameter_rms) {
  writer_.append("/train/update_rms", update_rms);
  writer_.append("/train/parameter_rms", parameter_rms);
  append_one(writer_, "/train/update_step", step);
}

void TrainWriter::write_probe(int64_t step, const std::vector<double>& losses, const std::vector<ProbeRow>& rows,
                              const std::vector<Sharpness>& sharpness) {
  const std::vector<std::string> groups = {sharpness_group, preconditioned_sharpness_group};
  for (std::size_t i = 0; i < sharpness.size(); ++i) {
    append_one(writer_, groups.at(i) + "/lambda_max", sharpness[i].lambda_max);
    append_one(writer_, groups.at(i) + "/lambda_max_upper", sharpness[i].lambda_max_upper);
    append_one(writer_, groups.at(i) + "/residual_norm", sharpness[i].residual_norm);
    append_one(writer_, groups.at(i) + "/iterations", sharpness[i].iterations);
    append_one(writer_, groups.at(i) + "/converged", sharpness[i].converged);
  }
  if (!sharpness.empty()) {
    append_one(writer_, preconditioned_sharpness_group + "/clip_factor", sharpness.back().clip_factor);
    append_one(writer_, preconditioned_sharpness_group + "/left_out", sharpness.back().left_out);
  }
  append_probe(writer_, layout_.probe, step, losses, rows);
  writer_.flush();
}

void TrainWriter::flush_periodically() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_flush_ >= std::chrono::seconds(1)) {
    writer_.flush();
    last_flush_ = now;
  }
}

void TrainWriter::finish(int64_t peak_memory_bytes) {
  writer_.set_peak_memory_bytes(peak_memory_bytes);
  writer_.finish();
}

}  // namespace hessian::experiments
