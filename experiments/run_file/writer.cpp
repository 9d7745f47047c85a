#include <fcntl.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <stdexcept>

#include "hessian/run_file/writer.h"
#include "io/system_error_text.h"
#include "run_file/dataset_checks.h"
#include "run_file/element_type.h"
#include "run_file/file_layout.h"
#include "run_file/hdf5_handle.h"
#include "run_file/output_file.h"

namespace hessian::experiments {

namespace fs = std::filesystem;

namespace {

// Number of buffered bytes from which on rows are passed to HDF5 without waiting for a flush. Passing rows one by one
// costs a hundred times as much.
constexpr size_t max_pending_bytes = size_t{32} * 1024;

}  // namespace

struct RunFileWriter::State {
  struct OpenDataset {
    Hdf5Handle handle;
    ElementType type = ElementType::float64;
    Shape shape;  // buffered rows included
    int64_t text_bytes = 0;
    std::string pending;  // bytes of the last rows, not yet passed to HDF5
    int64_t pending_rows = 0;
  };

  std::string shown;  // the path in messages
  Hdf5Handle file;
  std::map<std::string, OpenDataset, std::less<>> datasets;
  bool dirty = false;
  bool failed = false;

  explicit State(std::string path) : shown(std::move(path)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { close(); }

  // Starts SWMR mode and opens the datasets of a new file.
  void open(const std::vector<DatasetSpec>& specs) {
    if (H5Fflush(file.get(), H5F_SCOPE_GLOBAL) < 0 || H5Fstart_swmr_write(file.get()) < 0) {
      fail("cannot be laid out");
    }
    for (const DatasetSpec& spec : specs) {
      Hdf5Handle handle = checked_handle(H5Dopen2(file.get(), spec.path.c_str(), H5P_DEFAULT), H5Dclose,
                                         shown + ": cannot open dataset '" + spec.path + "'");
      datasets.emplace(spec.path, OpenDataset{std::move(handle), spec.type, spec.shape, spec.text_bytes, {}});
    }
  }

  // Closes the file in any case; returns whether everything succeeded.
  bool close() noexcept {
    try {
      if (file.valid() && !failed) {
        flush();
      }
    } catch (const std::exception&) {
      failed = true;
    }
    if (file.valid() && failed) {
      detach_from_disk();
    }
    bool closed = true;
    for (auto& [name, dataset] : datasets) {
      closed = dataset.handle.close() && closed;
    }
    return file.close() && closed;
  }

  // Leaves the file on disk as if the process had been killed now, which readers can handle: redirects HDF5's further
  // writes to /dev/null. Otherwise HDF5 would mark a file that it cannot write as properly closed, and nothing could
  // open it afterwards.
  void detach_from_disk() const noexcept {
    const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const int descriptor = file_descriptor();
    if (nowhere >= 0 && descriptor >= 0) {
      ::dup3(nowhere, descriptor, O_CLOEXEC);
    }
    if (nowhere >= 0) {
      ::close(nowhere);
    }
  }

  // Returns HDF5's own descriptor of the file, or -1.
  [[nodiscard]] int file_descriptor() const noexcept {
    void* descriptor = nullptr;
    const bool known = H5Fget_vfd_handle(file.get(), H5P_DEFAULT, &descriptor) >= 0 && descriptor != nullptr;
    return known ? *static_cast<const int*>(descriptor) : -1;
  }

  [[noreturn]] void fail(const std::string& what) {
    failed = true;
    throw_hdf5_error(shown + ": " + what);
  }

  void require_usable() const {
    if (!file.valid()) {
      throw std::logic_error(shown + ": is closed, nothing more can be written to it");
    }
    if (failed) {
      throw std::runtime_error(shown + ": an earlier write failed, nothing more can be written to it");
    }
  }

  [[noreturn]] void refuse(std::string_view dataset, const std::string& why) const {
    throw std::invalid_argument(shown + ": dataset '" + std::string(dataset) + "' " + why);
  }

  OpenDataset& find(std::string_view name) {
    const auto found = datasets.find(name);
    if (found == datasets.end()) {
      refuse(name, "was not declared when the file was created");
    }
    return found->second;
  }

  OpenDataset& find(std::string_view name, ElementType given) {
    initialize_hdf5();
    require_usable();
    OpenDataset& dataset = find(name);
    if (dataset.type != given) {
      refuse(name, "holds " + std::string(element_type_name(dataset.type)) + ", given " +
                       std::string(element_type_name(given)));
    }
    return dataset;
  }

  // Returns values in the form that HDF5 takes.
  template <typename T>
  [[nodiscard]] std::span<const T> packed(std::string_view, const OpenDataset&, std::span<const T> values) const {
    return values;
  }
  [[nodiscard]] std::string packed(std::string_view name, const OpenDataset& dataset,
                                   std::span<const std::string> texts) const {
    return pack_texts(texts, dataset.text_bytes, shown + ": dataset '" + std::string(name) + "'");
  }

  void write_region(std::string_view name, const OpenDataset& dataset, const Shape& offset, const Shape& count,
                    const void* values) {
    dirty = true;
    const Hdf5Handle target(H5Dget_space(dataset.handle.get()), H5Sclose);
    const Hdf5Handle source = simple_space(count, shown);
    const std::vector<hsize_t> start(offset.begin(), offset.end());
    const std::vector<hsize_t> extent(count.begin(), count.end());
    if (!target.valid() ||
        H5Sselect_hyperslab(target.get(), H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr) < 0 ||
        H5Dwrite(dataset.handle.get(), memory_type(dataset.type, dataset.text_bytes).get(), source.get(), target.get(),
                 H5P_DEFAULT, values) < 0) {
      fail("cannot write dataset '" + std::string(name) + "'");
    }
  }

  template <typename T>
  void write(std::string_view name, const Shape& offset, const Shape& count, std::span<const T> values) {
    OpenDataset& dataset = find(name, element_type_of<T>);
    const size_t rank = dataset.shape.size();
    bool inside = offset.size() == rank && count.size() == rank;
    for (size_t i = 0; inside && i < rank; ++i) {
      inside =
          offset[i] >= 0 && count[i] >= 0 && count[i] <= dataset.shape[i] && offset[i] <= dataset.shape[i] - count[i];
    }
    if (!inside) {
      refuse(name, "is " + to_text(dataset.shape) + ", a region of " + to_text(count) + " at " + to_text(offset) +
                       " does not lie inside it");
    }
    if (static_cast<int64_t>(values.size()) != element_count(count)) {
      refuse(name, "given " + std::to_string(values.size()) + " values, expected " +
                       std::to_string(element_count(count)) + " for a region of " + to_text(count));
    }
    if (!values.empty()) {
      const auto converted = packed(name, dataset, values);
      write_pending(name, dataset);
      write_region(name, dataset, offset, count, converted.data());
    }
  }

  template <typename T>
  void append(std::string_view name, std::span<const T> values) {
    OpenDataset& dataset = find(name, element_type_of<T>);
    Shape count = dataset.shape;
    count.front() = 1;
    const int64_t row = element_count(count);
    const auto given = static_cast<int64_t>(values.size());
    if (row == 0 || given % row != 0) {
      refuse(name, "given " + std::to_string(given) + " values, expected whole rows of " + std::to_string(row));
    }
    if (given == 0) {
      return;
    }
    const auto converted = packed(name, dataset, values);  // before the dataset grows, because it may throw
    const auto bytes = std::as_bytes(std::span(converted));
    dirty = true;
    if (dataset.pending.size() + bytes.size() >= max_pending_bytes) {
      write_pending(name, dataset);
    }
    dataset.shape.front() += given / row;
    if (bytes.size() >= max_pending_bytes) {
      write_last_rows(name, dataset, given / row, bytes.data());
    } else {
      dataset.pending.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      dataset.pending_rows += given / row;
    }
  }

  void write_pending(std::string_view name, OpenDataset& dataset) {
    if (dataset.pending_rows > 0) {
      write_last_rows(name, dataset, dataset.pending_rows, dataset.pending.data());
      dataset.pending.clear();
      dataset.pending_rows = 0;
    }
  }

  // Passes the last `rows` rows of a dataset to HDF5. `dataset.shape` includes them.
  void write_last_rows(std::string_view name, const OpenDataset& dataset, int64_t rows, const void* values) {
    const std::vector<hsize_t> grown(dataset.shape.begin(), dataset.shape.end());
    if (H5Dset_extent(dataset.handle.get(), grown.data()) < 0) {
      fail("cannot extend dataset '" + std::string(name) + "'");
    }
    Shape count = dataset.shape;
    count.front() = rows;
    Shape offset(count.size(), 0);
    offset.front() = dataset.shape.front() - rows;
    write_region(name, dataset, offset, count, values);
  }

  void write_attribute(const char* name, hid_t type, const void* value) {
    dirty = true;
    const Hdf5Handle attribute(H5Aopen(file.get(), name, H5P_DEFAULT), H5Aclose);
    if (!attribute.valid() || H5Awrite(attribute.get(), type, value) < 0) {
      fail("cannot write attribute '" + std::string(name) + "'");
    }
  }

  void flush() {
    for (auto& [name, dataset] : datasets) {
      write_pending(name, dataset);
    }
    // Flushes the whole file: flushing a dataset alone omits the file's length, without which ordinary tools truncate
    // the file of a killed writer.
    if (dirty && H5Fflush(file.get(), H5F_SCOPE_GLOBAL) < 0) {
      fail("cannot be flushed");
    }
    dirty = false;
  }
};

RunFileWriter::RunFileWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunFileWriter::RunFileWriter(RunFileWriter&&) noexcept = default;
RunFileWriter& RunFileWriter::operator=(RunFileWriter&&) noexcept = default;
RunFileWriter::~RunFileWriter() {
  initialize_hdf5();
  state_.reset();
  H5Eclear2(H5E_DEFAULT);
}

RunFileWriter RunFileWriter::create(const fs::path& path, const RunInfo& info, const std::vector<DatasetSpec>& datasets,
                                    bool overwrite, const std::function<void(RunFileWriter&)>& fill) {
  return create_filled(path, info, utc_now(), datasets, overwrite, fill);
}

RunFileWriter RunFileWriter::create_filled(const fs::path& path, const RunInfo& info, const std::string& created,
                                           const std::vector<DatasetSpec>& datasets, bool overwrite,
                                           const std::function<void(RunFileWriter&)>& fill) {
  initialize_hdf5();
  const std::string shown = path.string();
  check_datasets(shown, datasets);
  AtomicFile output(path, overwrite);
  auto state = std::make_unique<State>(shown);
  state->file = create_laid_out_file(output.path().string(), shown, info, created, datasets);
  state->open(datasets);
  state->dirty = true;
  RunFileWriter writer(std::move(state));
  fill(writer);
  writer.flush();
  output.commit();
  return writer;
}

void RunFileWriter::write(std::string_view dataset, const Shape& offset, const Shape& count,
                          std::span<const double> values) {
  state_->write(dataset, offset, count, values);
}
void RunFileWriter::write(std::string_view dataset, const Shape& offset, const Shape& count,
                          std::span<const int64_t> values) {
  state_->write(dataset, offset, count, values);
}
void RunFileWriter::write(std::string_view dataset, const Shape& offset, const Shape& count,
                          std::span<const int32_t> values) {
  state_->write(dataset, offset, count, values);
}
void RunFileWriter::write(std::string_view dataset, const Shape& offset, const Shape& count,
                          std::span<const uint8_t> values) {
  state_->write(dataset, offset, count, values);
}
void RunFileWriter::write(std::string_view dataset, const Shape& offset, const Shape& count,
                          std::span<const std::string> values) {
  state_->write(dataset, offset, count, values);
}

void RunFileWriter::append(std::string_view dataset, std::span<const double> values) {
  state_->append(dataset, values);
}
void RunFileWriter::append(std::string_view dataset, std::span<const int64_t> values) {
  state_->append(dataset, values);
}
void RunFileWriter::append(std::string_view dataset, std::span<const int32_t> values) {
  state_->append(dataset, values);
}
void RunFileWriter::append(std::string_view dataset, std::span<const uint8_t> values) {
  state_->append(dataset, values);
}
void RunFileWriter::append(std::string_view dataset, std::span<const std::string> values) {
  state_->append(dataset, values);
}

const Shape& RunFileWriter::shape(std::string_view dataset) const {
  return state_->find(dataset).shape;
}

void RunFileWriter::set_peak_memory_bytes(int64_t bytes) {
  initialize_hdf5();
  state_->require_usable();
  state_->write_attribute("peak_memory_bytes", H5T_NATIVE_INT64, &bytes);
}

void RunFileWriter::flush() {
  initialize_hdf5();
  state_->require_usable();
  state_->flush();
}

void RunFileWriter::finish() {
  flush();
  const int32_t finished = 1;
  state_->write_attribute("finished", H5T_NATIVE_INT32, &finished);
  state_->flush();
  // Opens a second descriptor, which stays open when HDF5 closes its own.
  const int descriptor = ::fcntl(state_->file_descriptor(), F_DUPFD_CLOEXEC, 0);
  const bool closed = state_->close();
  const int flush_error = descriptor >= 0 ? models::flush_to_disk(descriptor) : 0;
  if (descriptor >= 0) {
    ::close(descriptor);
  }
  if (!closed) {
    state_->fail("cannot be closed");
  }
  if (flush_error != 0) {
    throw std::runtime_error(state_->shown +
                             ": cannot be flushed to the disk: " + models::write_error_text(flush_error));
  }
}

}  // namespace hessian::experiments
