#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "hessian/models/model.h"

namespace hessian::models {

/// Whether weights can be streamed to a device with less memory than holding them takes there: where they lie over a
/// mapped file, or in the memory of another device than the one that computes.
bool can_be_streamed(const Model& model, at::Device device);

/// The parameters of a model as deferred ones, which come to a device in a precision when they are fetched, and are
/// held only as long as whoever fetched them holds them.
///
/// What is announced as next is made ready on a thread of its own: for the CPU, pages of the mapped file are read and
/// converted, and given back; for other devices the weights go through pinned memory, in the precision that they are
/// stored in, and are converted there, on a stream of its own that the fetch waits for. Rows of a table are read
/// without the rest of it. The model's own tensors must not change while the result lives.
/// \param model  most useful as WeightAccess::deferred gives it
/// Cost: a fetch reads the weights once and writes them once. Memory: what was fetched, as much again for what is next,
/// and the pages of one tensor.
hessian::Parameters stream_weights(const Model& model, at::Device device, at::ScalarType dtype);

/// Bytes that streamed weights take at most: the two largest parts that follow each other (a block, or the last norm
/// and the head), and the largest tensor as it is stored.
int64_t streamed_bytes(const Model& model, at::ScalarType dtype);

/// Bytes of the parameters at hand that lie over mapped files, and so are not an allocator's.
int64_t mapped_bytes(const hessian::Parameters& parameters);

/// Bytes of all weights in a precision.
int64_t weight_bytes(const Model& model, at::ScalarType dtype);

}  // namespace hessian::models
