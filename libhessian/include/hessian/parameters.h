#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hessian {

/// Named tensors in a fixed order: the weights that a Program reads.
class Parameters {
 public:
  using Entry = std::pair<std::string, at::Tensor>;

  /// Adds a tensor at the end.
  /// \throws std::invalid_argument  if the name is taken
  void add(std::string name, at::Tensor tensor);

  /// \throws std::out_of_range  if there is no tensor of that name
  const at::Tensor& at(const std::string& name) const;
  bool contains(const std::string& name) const { return index_.contains(name); }

  std::size_t size() const { return entries_.size(); }
  std::vector<Entry>::const_iterator begin() const { return entries_.begin(); }
  std::vector<Entry>::const_iterator end() const { return entries_.end(); }

  /// The same tensors on another device or in another precision; tensors that already fit are shared, not copied.
  Parameters to(at::Device device, at::ScalarType dtype) const;

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> index_;
};

/// Vectors [..., n] of all entries of some parameters, one behind the other, as tensors of their names, [..., shape]
/// each. One split, not a slice for each: the backward of a slice is a vector of full length.
/// \throws c10::Error  if the parameters do not have n entries
Parameters split_like(const at::Tensor& vectors, const Parameters& parameters);

}  // namespace hessian
