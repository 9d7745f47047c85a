"""Writes a checkpoint in the format of nanoGPT's train.py, without PyTorch: a zip archive with a pickle and raw tensors.

The same arguments give the same bytes. Options select the kinds of checkpoint that occur in practice (prefixes of
torch.compile and DistributedDataParallel, no biases, an untied copy of the head) and hostile ones.
"""

import argparse
import io
import pickle
import random
import struct
import sys
import types
import zipfile
from collections import OrderedDict


class Storage:
    """A stand-in for a typed storage, pickled as a persistent id as torch.save does."""

    def __init__(self, key, values):
        self.key = key
        self.count = len(values)
        self.data = struct.pack(f"<{len(values)}f", *values)


class Tensor:
    """Is pickled as torch.Tensor is: as a call of torch._utils._rebuild_tensor_v2."""

    form = "tensor"

    def __init__(self, storage, shape):
        self.storage = storage
        self.shape = tuple(shape)

    def strides(self):
        strides = []
        step = 1 if self.storage.count > 1 else 0  # a single element is broadcast
        for size in reversed(self.shape):
            strides.insert(0, step)
            step *= size
        return tuple(strides)

    def __reduce_ex__(self, protocol):
        utils = sys.modules["torch._utils"]
        arguments = (self.storage, 0, self.shape, self.strides(), False, OrderedDict())
        if self.form == "subclass":
            rebuild = sys.modules["torch._tensor"]._rebuild_from_type_v2
            return rebuild, (utils._rebuild_tensor_v2, Tensor, arguments, {"_no_weight_decay": True})
        if self.form != "tensor":
            plain = Tensor(self.storage, self.shape)
            plain.form = "tensor"
            if self.form == "parameter":
                return utils._rebuild_parameter, (plain, True, OrderedDict())
            return utils._rebuild_parameter_with_state, (plain, True, OrderedDict(), {"_no_weight_decay": True})
        return utils._rebuild_tensor_v2, arguments


class NumpyDtype:
    """Is pickled as numpy.dtype is."""

    def __init__(self, word):
        self.word = word

    def __reduce__(self):
        return sys.modules["numpy"].dtype, (self.word, False, True), (3, "<", None, None, None, -1, -1, 0)


class NumpyScalar:
    """Is pickled as numpy.int64, numpy.float32 or numpy.bool_ is."""

    def __init__(self, word, layout, value):
        self.word = word
        self.data = struct.pack("<" + layout, value)

    def __reduce__(self):
        return sys.modules["numpy._core.multiarray"].scalar, (NumpyDtype(self.word), self.data)


class RunsACommand:
    """Runs a shell command if a reader calls the functions that the pickle names."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


def install_stand_ins():
    """Installs modules with PyTorch's names, so that pickle writes these names."""
    torch = types.ModuleType("torch")
    utils = types.ModuleType("torch._utils")

    def add(module, name):
        def stand_in(*arguments):
            raise NotImplementedError

        stand_in.__module__ = module.__name__
        stand_in.__qualname__ = name
        setattr(module, name, stand_in)

    for name in ["_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_parameter_with_state"]:
        add(utils, name)
    tensor = types.ModuleType("torch._tensor")
    add(tensor, "_rebuild_from_type_v2")
    numpy = types.ModuleType("numpy")
    add(numpy, "dtype")
    multiarray = types.ModuleType("numpy._core.multiarray")
    add(multiarray, "scalar")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    torch._utils = utils
    modules = [torch, utils, tensor, numpy, types.ModuleType("numpy._core"), multiarray]
    sys.modules.update({module.__name__: module for module in modules})
    return torch


def make_pickler(torch, buffer, protocol):
    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if isinstance(thing, Storage):
                return ("storage", torch.FloatStorage, thing.key, "cpu", thing.count)
            return None

    return Pickler(buffer, protocol)


class StateDict:
    """Collects named tensors with random values."""

    def __init__(self, seed, prefix):
        self.generator = random.Random(seed)
        self.prefix = prefix
        self.storages = []
        self.tensors = OrderedDict()

    def draw(self, name, shape, mean=0.0, std=0.02):
        count = 1
        for size in shape:
            count *= size
        storage = Storage(str(len(self.storages)), [self.generator.gauss(mean, std) for _ in range(count)])
        self.storages.append(storage)
        self.share(name, Tensor(storage, shape))

    def broadcast(self, name, value):
        tensor = self[name]
        tensor.storage.__init__(tensor.storage.key, [value])

    def share(self, name, tensor):
        self.tensors[self.prefix + name] = tensor

    def __getitem__(self, name):
        return self.tensors[self.prefix + name]


def draw_model(options):
    state = StateDict(options.seed, options.prefix)
    dim = options.dim

    def layer(name, out, width):
        state.draw(f"{name}.weight", (out, width))
        if options.bias:
            state.draw(f"{name}.bias", (out,))

    def norm(name):
        state.draw(f"{name}.weight", (dim,), mean=1.0)
        if options.bias:
            state.draw(f"{name}.bias", (dim,))

    state.draw("transformer.wte.weight", (options.vocab, dim))
    state.draw("transformer.wpe.weight", (options.block_size, dim))
    for index in range(options.layers):
        prefix = f"transformer.h.{index}"
        norm(f"{prefix}.ln_1")
        layer(f"{prefix}.attn.c_attn", 3 * dim, dim)
        layer(f"{prefix}.attn.c_proj", dim, dim)
        if options.mask_buffer:
            state.draw(f"{prefix}.attn.bias", (1, 1, options.block_size, options.block_size))
        norm(f"{prefix}.ln_2")
        layer(f"{prefix}.mlp.c_fc", 4 * dim, dim)
        layer(f"{prefix}.mlp.c_proj", dim, 4 * dim)
    norm("transformer.ln_f")
    if options.untied_head:
        state.draw("lm_head.weight", (options.vocab, dim))
    else:
        state.share("lm_head.weight", state["transformer.wte.weight"])
    for name in options.broadcast:
        state.broadcast(name, 0.25)
    for name in options.drop:
        del state.tensors[state.prefix + name]
    return state


def checkpoint_contents(options, state):
    contents = {
        "model": state.tensors,
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95), "params": [0, 1, 2]}]},
        "model_args": {
            "n_layer": options.layers,
            "n_head": options.heads,
            "n_embd": options.claim_dim or options.dim,
            "block_size": options.block_size,
            "bias": options.bias,
            "vocab_size": options.vocab,
            "dropout": 0.0,
        },
        "iter_num": options.step,
        "best_val_loss": 2.5,
        "config": {"dataset": "shakespeare_char", "big": 1 << 100, "compile": True},
    }
    if options.numpy_scalars:
        arguments = contents["model_args"]
        for key in ["n_layer", "n_head", "n_embd", "block_size", "vocab_size"]:
            arguments[key] = NumpyScalar("i8", "q", arguments[key])
        arguments["bias"] = NumpyScalar("b1", "?", arguments["bias"])
        contents["iter_num"] = NumpyScalar("i4", "i", options.step)
        contents["best_val_loss"] = NumpyScalar("f4", "f", 2.5)
    if options.tensor_step:
        storage = Storage(str(len(state.storages)), [float(options.step)])
        state.storages.append(storage)
        contents["iter_num"] = Tensor(storage, ())
    for key in options.omit:
        del (contents["model_args"] if key in contents["model_args"] else contents)[key]
    if options.command:
        contents[options.command_key] = RunsACommand(options.command)
    return contents


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--vocab", type=int, default=65)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--block-size", type=int, default=32)
    parser.add_argument("--step", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--protocol", type=int, default=2, choices=range(2, 6), help="pickle protocol")
    parser.add_argument("--no-bias", dest="bias", action="store_false")
    parser.add_argument("--prefix", default="", help="in front of every name, as in '_orig_mod.module.'")
    parser.add_argument("--mask-buffer", action="store_true", help="with attn.bias, the causal mask of old checkpoints")
    parser.add_argument("--untied-head", action="store_true", help="lm_head.weight with values of its own")
    parser.add_argument("--drop", action="append", default=[], metavar="NAME", help="leave a tensor out")
    parser.add_argument("--omit", action="append", default=[], metavar="KEY", help="leave out an entry or a model argument")
    parser.add_argument("--claim-dim", type=int, help="n_embd in model_args, whatever the tensors are")
    parser.add_argument("--form", default="tensor", choices=["tensor", "parameter", "attribute", "subclass"],
                        help="how tensors are pickled: plain, as a parameter, one with a Python attribute, a subclass")
    parser.add_argument("--broadcast", action="append", default=[], metavar="NAME",
                        help="store one element, 0.25, with strides 0")
    parser.add_argument("--numpy-scalars", action="store_true", help="numpy's numbers in place of Python's")
    parser.add_argument("--tensor-step", action="store_true", help="iter_num as a tensor without dimensions")
    parser.add_argument("--compress", action="store_true", help="deflate the zip's entries")
    parser.add_argument("--command", help="a shell command that a careless reader would run")
    parser.add_argument("--command-key", default="config", help="the entry of the checkpoint that holds it")
    return parser.parse_args()


def main():
    options = parse_arguments()
    torch = install_stand_ins()
    Tensor.form = options.form
    state = draw_model(options)
    buffer = io.BytesIO()
    make_pickler(torch, buffer, options.protocol).dump(checkpoint_contents(options, state))
    method = zipfile.ZIP_DEFLATED if options.compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(options.path, "w", method) as archive:

        def write(name, data):
            archive.writestr(zipfile.ZipInfo(f"ckpt/{name}", (1980, 1, 1, 0, 0, 0)), data, method)

        write("data.pkl", buffer.getvalue())
        write("byteorder", b"little")
        for storage in state.storages:
            write(f"data/{storage.key}", storage.data)
        write("version", b"3\n")


if __name__ == "__main__":
    main()
