"""Reads and writes safetensors files, for the tests alone: eight bytes of length, a JSON header, raw numbers."""

import json
import struct

import numpy

# NumPy has no bfloat16: numbers of 16 bits stand for its bits.
TYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "BF16": "<u2"}


def as_bfloat16(tensor):
    """The upper halves of float32 numbers: the bits of bfloat16, rounded towards zero."""
    return (numpy.ascontiguousarray(tensor, "<f4").view("<u4") >> 16).astype("<u2")


def read(path):
    """The tensors of a file, by name, and its metadata."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def write(path, tensors, metadata=None):
    header = {"__metadata__": metadata} if metadata else {}
    parts = []
    offset = 0
    for name, tensor in tensors.items():
        kind = next(kind for kind, code in TYPES.items() if tensor.dtype == numpy.dtype(code))
        parts.append(numpy.ascontiguousarray(tensor).astype(TYPES[kind]).tobytes())
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, offset + len(parts[-1])]}
        offset += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
