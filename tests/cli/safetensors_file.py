"""Reads and writes safetensors files, for tests and benchmarks: eight bytes of length, a JSON header, raw numbers."""

import json
import math
import struct

import numpy

# NumPy has no bfloat16: its bits are held as integers of 16 bits.
TYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "BF16": "<u2", "U8": "|u1"}


def as_bfloat16(tensor):
    """Rounds float32 numbers to bfloat16, ties away from zero, and returns their bits: the upper halves of float32's."""
    return ((numpy.ascontiguousarray(tensor, "<f4").view("<u4") + 0x8000) >> 16).astype("<u2")


def type_of(tensor):
    return next(name for name, code in TYPES.items() if tensor.dtype == numpy.dtype(code))


def read(path):
    """Returns the tensors of a file by name, and its metadata."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def write_in_turn(path, shapes, values, metadata=None):
    """Writes tensors, holding only one in memory at a time.

    shapes: type, as a key of TYPES, and shape of each tensor by name.
    values: a function that returns the tensor of a name; called once per tensor, in the order of `shapes`.
    """
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, (kind, shape) in shapes.items():
        begin, end = end, end + math.prod(shape) * numpy.dtype(TYPES[kind]).itemsize
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # aligns the numbers, so that a mapped file can be used without a copy
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, (kind, _) in shapes.items():
            file.write(numpy.ascontiguousarray(values(name), TYPES[kind]).tobytes())


def write(path, tensors, metadata=None):
    shapes = {name: (type_of(tensor), tensor.shape) for name, tensor in tensors.items()}
    write_in_turn(path, shapes, tensors.__getitem__, metadata)
