#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <stdexcept>
#include <type_traits>

#include "hessian/run_file/reader.h"
#include "io/system_error_text.h"
#include "run_file/dataset_checks.h"
#include "run_file/element_type.h"
#include "run_file/file_layout.h"
#include "run_file/hdf5_handle.h"
#include "run_file/hdf5_read.h"

namespace hessian::experiments {

namespace fs = std::filesystem;

namespace {

// Values that were never written take no space in the file. A shape is taken to be damaged if it needs more memory than
// the size of the file plus this allowance.
constexpr uint64_t unwritten_bytes_allowed = uint64_t{1} << 30;

struct Rows {
  int64_t first = 0;
  int64_t count = 0;
};

template <typename T>
std::optional<std::vector<T>> read_values(hid_t dataset, hid_t memory, hid_t selection, size_t count) {
  if constexpr (std::is_same_v<T, std::string>) {
    return read_texts(dataset, memory, selection, count);
  } else {
    const Hdf5Handle type = memory_type(element_type_of<T>, 0);
    std::vector<T> values(count);
    return H5Dread(dataset, type.get(), memory, selection, H5P_DEFAULT, values.data()) >= 0
               ? std::optional(std::move(values))
               : std::nullopt;
  }
}

[[noreturn]] void refuse(const std::string& shown, const std::string& why) {
  throw std::runtime_error(shown + ": " + why);
}

Hdf5Handle open_file(const fs::path& path, const std::string& shown) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    refuse(shown, "cannot be opened: " + models::system_error_text(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    refuse(shown, "is not a file; expected a run file, such as run.h5");
  }
  const Hdf5Handle access = file_access();
  Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access.get()), H5Fclose);
  if (!file.valid()) {
    // The file was not written in SWMR mode.
    file = Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  }
  if (!file.valid()) {
    const std::string reason = hdf5_error_reason();
    if (H5Fis_hdf5(path.c_str()) == 0) {
      refuse(shown, "not an HDF5 file; expected a run file, such as hessian-probe --out writes");
    }
    refuse(shown, "cannot be opened as HDF5: " + reason);
  }
  return file;
}

herr_t collect_dataset(hid_t /*root*/, const char* name, const H5O_info_t* info, void* names) {
  try {
    if (info->type == H5O_TYPE_DATASET) {
      static_cast<std::vector<std::string>*>(names)->push_back("/" + std::string(name));
    }
  } catch (...) {
    return -1;
  }
  return 0;
}

}  // namespace

struct RunFileReader::State {
  fs::path path;
  std::string shown;
  Hdf5Handle file;
  RunInfo info;
  std::string created;
  int format_version = 0;
  bool finished = false;
  int64_t peak_memory_bytes = 0;

  void open() {
    file.close();  // first, because HDF5 would reuse its cache of an open file
    file = open_file(path, shown);
    // Needed if another reader in this process still has the file open, because HDF5 then reuses that reader's cache.
    if (const Hdf5Handle root(H5Gopen2(file.get(), "/", H5P_DEFAULT), H5Gclose); root.valid()) {
      H5Grefresh(root.get());
    }
    read_root();
  }

  [[noreturn]] void refuse_attribute(const char* name, const std::string& found) const {
    refuse(shown, "not a hessian run file: " + found + " '" + name + "'");
  }

  [[nodiscard]] std::string required_text(const char* name) const {
    auto value = read_text(file.get(), name);
    if (!value) {
      refuse_attribute(name, H5Aexists(file.get(), name) > 0 ? "unreadable attribute" : "no attribute");
    }
    return *std::move(value);
  }

  template <typename T>
  [[nodiscard]] T required_integer(const char* name, hid_t memory) const {
    T value = 0;
    if (!read_integer(file.get(), name, memory, &value)) {
      refuse_attribute(name, H5Aexists(file.get(), name) > 0 ? "unreadable attribute" : "no attribute");
    }
    return value;
  }

  void read_root() {
    if (const std::string format = required_text("format"); format != format_name) {
      refuse(shown, "not a hessian run file: its format is '" + format + "', expected '" + format_name + "'");
    }
    format_version = required_integer<int32_t>("format_version", H5T_NATIVE_INT32);
    if (format_version < 1) {
      refuse(shown, "is of format version " + std::to_string(format_version) + ", expected 1 to " +
                        std::to_string(run_file_format_version) + "; the file is damaged");
    }
    if (format_version > run_file_format_version) {
      refuse(shown, "is of format version " + std::to_string(format_version) + ", this program reads up to version " +
                        std::to_string(run_file_format_version) + "; read it with a newer version");
    }
    info.program = required_text("program");
    info.command_line = required_text("command_line");
    info.git_commit = required_text("git_commit");
    info.version = read_text(file.get(), "version").value_or("");
    info.libtorch = read_text(file.get(), "libtorch").value_or("");
    info.cuda = read_text(file.get(), "cuda").value_or("");
    info.seed = required_integer<uint64_t>("seed", H5T_NATIVE_UINT64);
    info.device = required_text("device");
    info.dtype = required_text("dtype");
    info.config = required_text("config");
    info.model = required_text("model");
    info.data = read_text(file.get(), "data").value_or("");
    created = required_text("created");
    finished = required_integer<int32_t>("finished", H5T_NATIVE_INT32) != 0;
    peak_memory_bytes = 0;
    read_integer(file.get(), "peak_memory_bytes", H5T_NATIVE_INT64, &peak_memory_bytes);
    H5Eclear2(H5E_DEFAULT);
  }

  // Opens a dataset; if that fails, returns an empty handle and leaves the reason in HDF5's error stack.
  [[nodiscard]] Hdf5Handle find(std::string_view name) const {
    initialize_hdf5();
    if (!file.valid()) {
      refuse(shown, "is not open: the last refresh failed");
    }
    Hdf5Handle dataset(H5Dopen2(file.get(), std::string(name).c_str(), H5P_DEFAULT), H5Dclose);
    if (dataset.valid()) {
      H5Drefresh(dataset.get());
    }
    return dataset;
  }

  [[nodiscard]] Hdf5Handle require(std::string_view name) const {
    Hdf5Handle dataset = find(name);
    if (!dataset.valid()) {
      const std::string quoted = "'" + std::string(name) + "'";
      const std::string reason = hdf5_error_reason();
      if (H5Oexists_by_name(file.get(), std::string(name).c_str(), H5P_DEFAULT) > 0) {
        refuse(shown, "cannot open dataset " + quoted + ": " + reason);
      }
      refuse(shown, "no dataset " + quoted + " in this file");
    }
    return dataset;
  }

  [[nodiscard]] static std::optional<DatasetSpec> describe(hid_t dataset, std::string path_in_file) {
    const auto type = element_type(dataset);
    auto shape = shape_of(dataset);
    if (!type || !shape) {
      return std::nullopt;
    }
    return DatasetSpec{std::move(path_in_file),
                       *type,
                       *std::move(shape),
                       read_text(dataset, "units").value_or(""),
                       read_text(dataset, "long_name").value_or(""),
                       text_bytes_of(dataset),
                       read_numbers(dataset)};
  }

  // Returns the number of elements; throws if the shape needs far more memory than the file can hold.
  [[nodiscard]] size_t plausible_count(std::string_view name, const Shape& shape, size_t element_bytes) const {
    hsize_t file_bytes = 0;
    H5Fget_filesize(file.get(), &file_bytes);
    const uint64_t limit = (file_bytes + unwritten_bytes_allowed) / element_bytes;
    uint64_t count = 1;
    for (const int64_t extent : shape) {
      const auto unsigned_extent = static_cast<uint64_t>(extent);
      if (unsigned_extent != 0 && count > limit / unsigned_extent) {
        refuse(shown, "dataset '" + std::string(name) + "' is " + to_text(shape) +
                          ", far more than the file can hold; the file is damaged");
      }
      count *= unsigned_extent;
    }
    return count;
  }

  // Selects rows of a dataset of this shape and returns the shape of the selection.
  [[nodiscard]] Shape select_rows(std::string_view name, hid_t space, Shape shape, Rows rows) const {
    if (shape.empty() || rows.first < 0 || rows.count < 0 || rows.count > shape.front() ||
        rows.first > shape.front() - rows.count) {
      throw std::invalid_argument(shown + ": dataset '" + std::string(name) + "' is " + to_text(shape) + ", " +
                                  std::to_string(rows.count) + " rows from row " + std::to_string(rows.first) +
                                  " on do not lie inside it");
    }
    std::vector<hsize_t> start(shape.size(), 0);
    start.front() = static_cast<hsize_t>(rows.first);
    shape.front() = rows.count;
    const std::vector<hsize_t> extent(shape.begin(), shape.end());
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr) < 0) {
      throw_hdf5_error(shown + ": cannot read dataset '" + std::string(name) + "'");
    }
    return shape;
  }

  // Reads a dataset, or only these rows of it.
  template <typename T>
  [[nodiscard]] DatasetValues<T> read(std::string_view name, std::optional<Rows> rows) const {
    const std::string quoted = "dataset '" + std::string(name) + "'";
    const Hdf5Handle dataset = require(name);
    const auto type = element_type(dataset.get());
    auto shape = shape_of(dataset.get());
    if (!type || !shape || *type != element_type_of<T>) {
      refuse(shown, quoted + " holds " + std::string(type ? element_type_name(*type) : "another type") + ", expected " +
                        std::string(element_type_name(element_type_of<T>)));
    }
    // Uses the shape found above, even if the dataset has grown since.
    const Hdf5Handle selection(H5Dget_space(dataset.get()), H5Sclose);
    if (rows) {
      shape = select_rows(name, selection.get(), *std::move(shape), *rows);
    }
    const auto element_bytes = std::max(sizeof(T), static_cast<size_t>(text_bytes_of(dataset.get())));
    const size_t count = plausible_count(name, *shape, element_bytes);
    const Hdf5Handle memory = simple_space(*shape, shown);
    auto values = count > 0 ? read_values<T>(dataset.get(), memory.get(), selection.get(), count) : std::vector<T>();
    if (!values) {
      throw_hdf5_error(shown + ": cannot read " + quoted);
    }
    return {*std::move(values), *std::move(shape)};
  }
};

RunFileReader::RunFileReader(const fs::path& path) : state_(std::make_unique<State>()) {
  initialize_hdf5();
  state_->path = fs::absolute(path);
  state_->shown = path.string();
  state_->open();
}
RunFileReader::RunFileReader(RunFileReader&&) noexcept = default;
RunFileReader& RunFileReader::operator=(RunFileReader&&) noexcept = default;
RunFileReader::~RunFileReader() {
  initialize_hdf5();
}

const RunInfo& RunFileReader::info() const {
  return state_->info;
}
int RunFileReader::format_version() const {
  return state_->format_version;
}
const std::string& RunFileReader::created() const {
  return state_->created;
}
bool RunFileReader::finished() const {
  return state_->finished;
}
int64_t RunFileReader::peak_memory_bytes() const {
  return state_->peak_memory_bytes;
}

bool RunFileReader::contains(std::string_view dataset) const {
  return state_->find(dataset).valid();
}

DatasetSpec RunFileReader::describe(std::string_view dataset) const {
  const Hdf5Handle handle = state_->require(dataset);
  auto spec = State::describe(handle.get(), std::string(dataset));
  if (!spec) {
    refuse(state_->shown, "dataset '" + std::string(dataset) + "' is not of float64, int64, int32, uint8 or text");
  }
  return *std::move(spec);
}

std::vector<DatasetSpec> RunFileReader::datasets() const {
  initialize_hdf5();
  std::vector<std::string> names;
  if (!state_->file.valid() ||
      H5Ovisit2(state_->file.get(), H5_INDEX_NAME, H5_ITER_INC, collect_dataset, &names, H5O_INFO_BASIC) < 0) {
    throw_hdf5_error(state_->shown + ": cannot list its datasets");
  }
  std::sort(names.begin(), names.end());
  std::vector<DatasetSpec> specs;
  for (std::string& name : names) {
    const Hdf5Handle handle = state_->require(name);
    if (auto spec = State::describe(handle.get(), std::move(name))) {
      specs.push_back(*std::move(spec));
    }
  }
  return specs;
}

template <typename T>
DatasetValues<T> RunFileReader::read(std::string_view dataset) const {
  return state_->read<T>(dataset, std::nullopt);
}
template DatasetValues<double> RunFileReader::read(std::string_view) const;
template DatasetValues<int64_t> RunFileReader::read(std::string_view) const;
template DatasetValues<int32_t> RunFileReader::read(std::string_view) const;
template DatasetValues<uint8_t> RunFileReader::read(std::string_view) const;
template DatasetValues<std::string> RunFileReader::read(std::string_view) const;

template <typename T>
DatasetValues<T> RunFileReader::read_rows(std::string_view dataset, int64_t first, int64_t count) const {
  return state_->read<T>(dataset, Rows{first, count});
}
template DatasetValues<double> RunFileReader::read_rows(std::string_view, int64_t, int64_t) const;
template DatasetValues<int64_t> RunFileReader::read_rows(std::string_view, int64_t, int64_t) const;
template DatasetValues<int32_t> RunFileReader::read_rows(std::string_view, int64_t, int64_t) const;
template DatasetValues<uint8_t> RunFileReader::read_rows(std::string_view, int64_t, int64_t) const;
template DatasetValues<std::string> RunFileReader::read_rows(std::string_view, int64_t, int64_t) const;

void RunFileReader::refresh() {
  initialize_hdf5();
  state_->open();
}

}  // namespace hessian::experiments
