#include "run_file/file_layout.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <limits>

#include "run_file/dataset_checks.h"
#include "run_file/element_type.h"

namespace hessian::experiments {
namespace {

constexpr int64_t append_chunk_bytes = int64_t{32} * 1024;
constexpr int64_t append_chunk_rows = 4096;
constexpr int64_t max_chunk_bytes = int64_t{1024} * 1024;

Hdf5Handle property_list(hid_t kind) {
  return checked_handle(H5Pcreate(kind), H5Pclose, "HDF5 property list cannot be created");
}

void require(herr_t status, const std::string& what) {
  if (status < 0) {
    throw_hdf5_error(what);
  }
}

/// Writes a scalar attribute of a new object.
void write_attribute(hid_t object, const std::string& name, hid_t disk, hid_t memory, const void* value,
                     const std::string& shown) {
  const std::string what = shown + ": cannot write attribute '" + name + "'";
  const Hdf5Handle space = checked_handle(H5Screate(H5S_SCALAR), H5Sclose, what);
  const Hdf5Handle attribute =
      checked_handle(H5Acreate2(object, name.c_str(), disk, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose, what);
  require(H5Awrite(attribute.get(), memory, value), what);
}

void write_text(hid_t object, const std::string& name, const std::string& value, const std::string& shown) {
  const std::string what = shown + ": cannot write attribute '" + name + "'";
  const Hdf5Handle type = checked_handle(H5Tcopy(H5T_C_S1), H5Tclose, what);
  require(H5Tset_size(type.get(), H5T_VARIABLE), what);
  require(H5Tset_cset(type.get(), H5T_CSET_UTF8), what);
  const char* text = value.c_str();
  write_attribute(object, name, type.get(), type.get(), &text, shown);
}

void write_root_attributes(hid_t root, const RunInfo& info, const std::string& created, const std::string& shown) {
  const int32_t version = run_file_format_version;
  const int32_t finished = 0;
  const int64_t peak_memory_bytes = 0;
  write_text(root, "format", format_name, shown);
  write_attribute(root, "format_version", H5T_STD_I32LE, H5T_NATIVE_INT32, &version, shown);
  write_text(root, "program", info.program, shown);
  write_text(root, "command_line", info.command_line, shown);
  write_text(root, "version", info.version, shown);
  write_text(root, "git_commit", info.git_commit, shown);
  write_text(root, "libtorch", info.libtorch, shown);
  write_text(root, "cuda", info.cuda, shown);
  write_text(root, "created", created, shown);
  write_attribute(root, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, &info.seed, shown);
  write_text(root, "device", info.device, shown);
  write_text(root, "dtype", info.dtype, shown);
  write_text(root, "config", info.config, shown);
  write_text(root, "model", info.model, shown);
  if (!info.data.empty()) {
    write_text(root, "data", info.data, shown);
  }
  write_attribute(root, "finished", H5T_STD_I32LE, H5T_NATIVE_INT32, &finished, shown);
  write_attribute(root, "peak_memory_bytes", H5T_STD_I64LE, H5T_NATIVE_INT64, &peak_memory_bytes, shown);
}

void set_fill_value(hid_t creation, ElementType type, const std::string& what) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const int64_t minus_one = -1;
  const uint8_t zero = 0;
  switch (type) {
    case ElementType::float64:
      return require(H5Pset_fill_value(creation, H5T_NATIVE_DOUBLE, &nan), what);
    case ElementType::int64:
    case ElementType::int32:
      return require(H5Pset_fill_value(creation, H5T_NATIVE_INT64, &minus_one), what);
    case ElementType::uint8:
      return require(H5Pset_fill_value(creation, H5T_NATIVE_UINT8, &zero), what);
    case ElementType::text:
      return;  // NUL bytes are HDF5's default; an explicit fill value of that length may not fit into the header
  }
}

/// Returns the chunk shape of a dataset: about 32 KiB and at most 4096 rows if rows are appended to it, the whole
/// dataset if its size is fixed, and never more than 1 MiB.
std::vector<hsize_t> chunk_shape(const DatasetSpec& dataset) {
  const auto element_bytes = static_cast<int64_t>(H5Tget_size(memory_type(dataset.type, dataset.text_bytes).get()));
  Shape chunk = dataset.shape;
  for (int64_t& extent : chunk) {
    extent = std::max<int64_t>(extent, 1);
  }
  if (is_appended_to(dataset)) {
    const int64_t row_bytes = element_bytes * element_count(chunk);
    chunk.front() = std::clamp<int64_t>(append_chunk_bytes / row_bytes, 1, append_chunk_rows);
  }
  while (element_bytes * element_count(chunk) > max_chunk_bytes) {
    int64_t& widest = *std::max_element(chunk.begin(), chunk.end());
    widest = (widest + 1) / 2;
  }
  return {chunk.begin(), chunk.end()};
}

void create_dataset(hid_t file, const DatasetSpec& dataset, const std::string& shown) {
  const std::string what = shown + ": cannot create dataset '" + dataset.path + "'";
  const Hdf5Handle links = property_list(H5P_LINK_CREATE);
  require(H5Pset_create_intermediate_group(links.get(), 1), what);

  const Hdf5Handle creation = property_list(H5P_DATASET_CREATE);
  const std::vector<hsize_t> chunk = chunk_shape(dataset);
  require(H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data()), what);
  set_fill_value(creation.get(), dataset.type, what);

  const std::vector<hsize_t> extents(dataset.shape.begin(), dataset.shape.end());
  const std::vector<hsize_t> unlimited(extents.size(), H5S_UNLIMITED);
  const Hdf5Handle space = checked_handle(
      H5Screate_simple(static_cast<int>(extents.size()), extents.data(), unlimited.data()), H5Sclose, what);
  const Hdf5Handle type = disk_type(dataset.type, dataset.text_bytes);
  const Hdf5Handle created = checked_handle(
      H5Dcreate2(file, dataset.path.c_str(), type.get(), space.get(), links.get(), creation.get(), H5P_DEFAULT),
      H5Dclose, what);
  write_text(created.get(), "units", dataset.units, shown);
  write_text(created.get(), "long_name", dataset.long_name, shown);
  for (const auto& [name, value] : dataset.numbers) {
    write_attribute(created.get(), name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value, shown);
  }
}

}  // namespace

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::string text(sizeof("2000-01-01T00:00:00Z"), '\0');
  text.resize(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc));
  return text;
}

Hdf5Handle file_access() {
  Hdf5Handle access = property_list(H5P_FILE_ACCESS);
  // AtomicFile locks a file while it is created, and SWMR mode releases HDF5's own lock. On NFS both locks are of one
  // kind and would exclude each other. HDF5_USE_FILE_LOCKING in the environment overrides this setting.
  H5Pset_file_locking(access.get(), false, true);
  return access;
}

Hdf5Handle simple_space(const Shape& shape, const std::string& shown) {
  const std::vector<hsize_t> extents(shape.begin(), shape.end());
  return checked_handle(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose,
                        shown + ": cannot describe a region of shape " + to_text(shape));
}

Hdf5Handle create_laid_out_file(const std::string& path, const std::string& shown, const RunInfo& info,
                                const std::string& created, const std::vector<DatasetSpec>& datasets) {
  const std::string what = shown + ": cannot be created";
  const Hdf5Handle access = file_access();
  require(H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST), what);

  const Hdf5Handle creation = property_list(H5P_FILE_CREATE);
  // Metadata within one page is written completely or not at all if the process is killed.
  require(H5Pset_file_space_strategy(creation.get(), H5F_FSPACE_STRATEGY_PAGE, false, 1), what);
  require(H5Pset_file_space_page_size(creation.get(), 4096), what);
  // Keeps all root attributes in the object header, because HDF5's dense storage of attributes does not support SWMR.
  require(H5Pset_attr_phase_change(creation.get(), 64, 0), what);

  Hdf5Handle file =
      checked_handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose, what);
  write_root_attributes(file.get(), info, created, shown);
  for (const DatasetSpec& dataset : datasets) {
    create_dataset(file.get(), dataset, shown);
  }
  return file;
}

}  // namespace hessian::experiments
