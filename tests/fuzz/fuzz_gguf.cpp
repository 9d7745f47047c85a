#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "gguf/gguf.h"
#include "tokenizers/gguf_bpe.h"

namespace {

using namespace hessian::models;

/// Computes the values of all quantised tensors, which must lie inside the file.
void decode_tensors(const GgufHeader& header, std::span<const std::byte> file) {
  for (const GgufTensor& tensor : header.tensors) {
    if (tensor.begin > tensor.end || tensor.end > file.size()) {
      __builtin_trap();
    }
    const std::uint64_t bytes = tensor.end - tensor.begin;
    if (*element_count(tensor.shape) / tensor.format->values * tensor.format->bytes != bytes) {
      __builtin_trap();
    }
    if (tensor.format->decode != nullptr) {
      std::vector<float> values(bytes / tensor.format->bytes * tensor.format->values);
      dequantise(*tensor.format, file.subspan(tensor.begin, bytes), values);
    }
  }
}

/// Reads the tokenizer as a byte-level BPE, and encodes a text.
void encode_with(const GgufMetadata& metadata) {
  const auto encoder = parse_gguf_bpe(metadata, read_gguf_vocabulary(metadata));
  WordCache cache;
  TokenIds ids;
  encoder->encode("In the beginning, and 12345 <tool>\r\n <|endoftext|>", ids, cache);
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= encoder->vocab_size()) {
      __builtin_trap();
    }
  }
  encoder->decode(ids);
}

}  // namespace

/// Reads the input as a GGUF file: its header, its quantised tensors and its tokenizer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    const GgufHeader header = parse_gguf(file, "input");
    decode_tensors(header, file);
    encode_with(header.metadata);
  } catch (const std::runtime_error&) {
    return 0;
  }
  return 0;
}
