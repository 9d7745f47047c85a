#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "hessian/models/model.h"

namespace hessian::models {

/// Returns whether streaming the weights to a device takes less memory there than holding them all: true if they are
/// views of a mapped file, or are on another device.
bool can_be_streamed(const Model& model, at::Device device);

/// Returns the parameters of a model as deferred parameters: fetching them copies them to `device` in `dtype`, and
/// their memory is released together with the fetched tensors.
///
/// The weights that a fetch names as next are prepared on a background thread. For the CPU it reads and converts pages
/// of the mapped file, and releases them; for other devices it copies the weights through pinned memory in their stored
/// precision and converts them on the device, on a separate stream that the fetch waits for. The rows of a table are
/// read without loading the whole table. The model's tensors must not change while the result exists.
/// \param model  best loaded with WeightAccess::deferred
/// Cost: a fetch reads the weights once and writes them once. Memory: the fetched weights, those named as next, and the
/// pages of one tensor.
Parameters stream_weights(const Model& model, at::Device device, at::ScalarType dtype);

/// Returns the maximum memory of streamed weights in bytes: the largest two consecutive stages (a layer, or the final
/// norm and the head), and the largest tensor as it is stored.
int64_t streamed_bytes(const Model& model, at::ScalarType dtype);

/// Returns the bytes of materialised parameters that are views of mapped files, which no allocator counts.
int64_t mapped_bytes(const Parameters& parameters);

/// Returns the bytes of all weights in a precision.
int64_t weight_bytes(const Model& model, at::ScalarType dtype);

}  // namespace hessian::models
