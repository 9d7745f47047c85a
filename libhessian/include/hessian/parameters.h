#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hessian {

/// Loads parameters when they are needed, such as weights that do not fit into memory. Not thread-safe.
class ParameterSource {
 public:
  virtual ~ParameterSource() = default;
  ParameterSource(const ParameterSource&) = delete;
  ParameterSource& operator=(const ParameterSource&) = delete;

  /// Returns the tensors of these names, in the same order. Their memory is released with the last copy of each tensor.
  /// \param next  the names that will probably be fetched next; the source may start to load them
  virtual std::vector<at::Tensor> fetch(const std::vector<std::string>& names,
                                        const std::vector<std::string>& next) = 0;

  /// Returns the rows of a table [V, width] for the given ids, [..., width], without loading the whole table.
  virtual at::Tensor rows(const std::string& table, const at::Tensor& ids) = 0;

 protected:
  ParameterSource() = default;
};

/// Named tensors in a fixed order: the parameters that a Program reads. Some may be deferred: only their shapes are known
/// until a source loads them.
class Parameters {
 public:
  using Entry = std::pair<std::string, at::Tensor>;

  /// Adds a tensor at the end.
  /// \throws std::invalid_argument  if the name is taken
  void add(std::string name, at::Tensor tensor);

  /// Adds a deferred tensor at the end.
  /// \param like  its shape and precision, as a tensor on the meta device
  /// \throws std::invalid_argument  if the name is taken, or `like` is not on the meta device
  void add_deferred(std::string name, at::Tensor like, std::shared_ptr<ParameterSource> source);

  /// Adds an entry of `other` at the end; it stays deferred if it is deferred there.
  /// \throws std::out_of_range      if `other` has no such entry
  /// \throws std::invalid_argument  if the name is taken
  void add_from(const Parameters& other, const std::string& name);

  /// Returns a tensor that is not deferred.
  /// \throws std::out_of_range  if there is no tensor of that name
  /// \throws std::logic_error   if it is deferred; see fetched()
  const at::Tensor& at(const std::string& name) const;
  /// Returns a tensor for its shape and precision only: a deferred one is on the meta device.
  /// \throws std::out_of_range  if there is no tensor of that name
  const at::Tensor& shape_of(const std::string& name) const;
  bool contains(const std::string& name) const { return index_.contains(name); }
  bool is_deferred(const std::string& name) const { return sources_.contains(name); }
  bool any_deferred() const { return !sources_.empty(); }

  // Iterate over the entries in order. Deferred tensors are on the meta device.
  std::size_t size() const { return entries_.size(); }
  std::vector<Entry>::const_iterator begin() const { return entries_.begin(); }
  std::vector<Entry>::const_iterator end() const { return entries_.end(); }

  /// Returns these parameters as materialised tensors. Deferred ones are loaded and live as long as the result; the
  /// others are shared.
  /// \param next  the names that will be fetched after these, if known
  /// \throws std::out_of_range  if one is missing
  Parameters fetched(const std::vector<std::string>& names, const std::vector<std::string>& next = {}) const;

  /// Returns the rows of a table for the given ids. If the table is deferred, only the rows are loaded.
  at::Tensor rows(const std::string& table, const at::Tensor& ids) const;

  /// Returns the tensors on this device and in this precision. Tensors that already match are shared, not copied;
  /// deferred ones are loaded one by one.
  Parameters to(at::Device device, at::ScalarType dtype) const;

  /// Returns the tensors detached from autograd, with shared storage. None may be deferred.
  Parameters detached() const;

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
  std::unordered_map<std::string, std::shared_ptr<ParameterSource>> sources_;  // of the deferred ones
};

/// Splits flat vectors [..., n] into tensors shaped like `parameters`, [..., shape] each: the inverse of concatenating
/// their flattened entries. Uses a single split rather than slices, because the backward of each slice would be a vector
/// of length n.
/// \throws c10::Error  if the parameters do not have n entries
Parameters split_like(const at::Tensor& vectors, const Parameters& parameters);

}  // namespace hessian
