#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hessian {

/// Gives parameters that are not held but fetched when they are needed, such as weights that do not fit into memory.
/// To be used from one thread at a time.
class ParameterSource {
 public:
  virtual ~ParameterSource() = default;
  ParameterSource(const ParameterSource&) = delete;
  ParameterSource& operator=(const ParameterSource&) = delete;

  /// The tensors of these names, in their order. Their memory goes when the caller lets them go.
  /// \param next  what will most likely be asked for next, which the source may get ready meanwhile
  virtual std::vector<at::Tensor> fetch(const std::vector<std::string>& names,
                                        const std::vector<std::string>& next) = 0;

  /// Rows of a table [V, width] chosen by ids, [..., width]: what an embedding reads of it.
  virtual at::Tensor rows(const std::string& table, const at::Tensor& ids) = 0;

 protected:
  ParameterSource() = default;
};

/// Named tensors in a fixed order: the weights that a Program reads. Some may be deferred: a source gives them when
/// they are fetched, and only their shapes are known before.
class Parameters {
 public:
  using Entry = std::pair<std::string, at::Tensor>;

  /// Adds a tensor at the end.
  /// \throws std::invalid_argument  if the name is taken
  void add(std::string name, at::Tensor tensor);

  /// Adds a deferred tensor at the end.
  /// \param like  its shape and precision: a tensor on the meta device, which takes no memory
  /// \throws std::invalid_argument  if the name is taken, or `like` has memory
  void add_deferred(std::string name, at::Tensor like, std::shared_ptr<ParameterSource> source);

  /// Adds another's entry at the end, deferred if it is so there.
  /// \throws std::out_of_range, std::invalid_argument  if it is absent there, or the name is taken here
  void add_from(const Parameters& other, const std::string& name);

  /// \throws std::out_of_range  if there is no tensor of that name
  /// \throws std::logic_error   if it is deferred: fetch it first
  const at::Tensor& at(const std::string& name) const;
  /// The same for what is asked of its shape and precision alone: a deferred tensor is on the meta device.
  const at::Tensor& shape_of(const std::string& name) const;
  bool contains(const std::string& name) const { return index_.contains(name); }
  bool is_deferred(const std::string& name) const { return sources_.contains(name); }
  bool any_deferred() const { return !sources_.empty(); }

  /// Entries in order; tensors that are deferred are on the meta device.
  std::size_t size() const { return entries_.size(); }
  std::vector<Entry>::const_iterator begin() const { return entries_.begin(); }
  std::vector<Entry>::const_iterator end() const { return entries_.end(); }

  /// The parameters of these names at hand: what is deferred is fetched and held as long as the result is; what is not
  /// is shared.
  /// \param next  the names that will be fetched after these, as far as that is known
  /// \throws std::out_of_range  if one is absent
  Parameters fetched(const std::vector<std::string>& names, const std::vector<std::string>& next = {}) const;

  /// Rows of a table, which is not fetched for them where it is deferred.
  at::Tensor rows(const std::string& table, const at::Tensor& ids) const;

  /// The same tensors on another device or in another precision; tensors that already fit are shared, not copied, and
  /// deferred ones are fetched, one after the other.
  Parameters to(at::Device device, at::ScalarType dtype) const;

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
  std::unordered_map<std::string, std::shared_ptr<ParameterSource>> sources_;  // of those that are deferred
};

/// Vectors [..., n] of all entries of some parameters, one behind the other, as tensors of their names, [..., shape]
/// each. One split, not a slice for each: the backward of a slice is a vector of full length.
/// \throws c10::Error  if the parameters do not have n entries
Parameters split_like(const at::Tensor& vectors, const Parameters& parameters);

}  // namespace hessian
