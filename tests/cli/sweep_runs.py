"""Runs the real hessian-sweep, and reads the files of the sweep and of its runs with h5py."""

import os
import pathlib
import re
import signal
import subprocess
import time

import h5py
import numpy

import programs
from programs import environment, program

# A language model of a few thousand parameters. A run takes a third of a second, mostly for the start of its process.
CONFIG = """
out = "sweep"
steps = 24
threads = 1
device = "cpu"
[model]
dim = 16
n_layers = 1
n_heads = 2
[data]
seq_len = 16
batch_size = 2
[schedule]
warmup = 2
[validation]
every = 12
sequences = 2
[divergence]
patience = 5
plateau_drop = 0
[sweep]
models = ["new:llama2-20M-prenorm", "new:llama2-20M-simplegpt"]
seeds = [0, 1]
# A grid from a stable rate to an unstable one, and two rounds of bisection.
lr = { from = 0.5, to = 8, per_octave = 0.5 }
factor = 1.42
"""
STEPS = 24
FACTOR = 1.42
GRID = [0.5, 2.0, 8.0]
SEEDS = [0, 1]
# Labels have the parameter count: 2 x 256 x 16 of the embedding and the head, 4 x 16^2 + 3 x 16 x 64 of the layer, and gains.
PRENORM, SIMPLEGPT = "llama2-12K-prenorm", "llama2-12K-simplegpt"
MODELS = [PRENORM, SIMPLEGPT]
# Settings that make the sweep smaller.
ONE_MODEL = ("sweep.models=['new:llama2-20M-simplegpt']",)
ONE_SEED = ("sweep.seeds=[0]",)
NO_BISECTION = ("sweep.bisect=false",)

ENDED = re.compile(
    r"(?P<model>\S+), lr (?P<lr>\S+), seed (?P<seed>\d+): step (?P<step>\d+), loss (?P<loss>\S+), "
    r"(?P<status>stable|(?:diverged|failed): .*) \((?P<done>\d+) of (?P<wanted>\d+) runs done\)"
)


class Outcome(programs.Outcome):
    name = "hessian-sweep"

    @property
    def table(self):
        return self.report

    def ended(self):
        """Returns the lines on stderr about runs that ended, in their order, each as a dictionary of ENDED's groups."""
        return [found.groupdict() for found in map(ENDED.fullmatch, self.stderr.splitlines()) if found]


class Sweep:
    """hessian-sweep in a temporary working folder, with its output in sweep/."""

    def __init__(self, folder, text=CONFIG):
        self.folder = pathlib.Path(folder)
        self.out = self.folder / "sweep"
        (self.folder / "sweep.toml").write_text(text)

    def command(self, *arguments, settings=()):
        sets = [word for setting in settings for word in ("--set", setting)]
        return [program("hessian-sweep"), "sweep.toml", *sets, *map(str, arguments)]

    def __call__(self, *arguments, settings=(), timeout=120):
        return Outcome(*programs.execute(self.command(*arguments, settings=settings), self.folder, timeout))

    def start(self, *arguments, settings=()):
        return RunningSweep(self.command(*arguments, settings=settings), self.folder)

    def cell(self, model, lr, seed):
        return self.out / model / f"lr-{lr:.3e}" / f"seed-{seed}"

    def children(self):
        """Returns the process ids of this sweep's training runs, each with the folder of its cell."""
        return children_below(self.out)

    def wait_for_child(self, running, among=lambda folder: True, after=()):
        """Waits for a run in progress that is not among `after`; returns None if the sweep ends first."""
        deadline = time.monotonic() + 60
        while running.process.poll() is None:
            for number, folder in self.children().items():
                if number not in after and among(folder):
                    return number, folder
            assert time.monotonic() < deadline
            time.sleep(0.003)
        return None

    def wait_for_no_children(self):
        programs.wait_until(lambda: not self.children(), lambda: str(self.children()), seconds=20)

    def finished_runs(self):
        """Returns marks of each finished run that repeating it would change: its file's inode, date, creation time, and its log."""
        marks = {}
        for path in self.out.glob("*/lr-*/seed-*/run.h5"):
            if not path.is_file():
                continue
            with h5py.File(path, "r", swmr=True) as run:
                if run.attrs["finished"]:
                    found = path.stat()
                    log = path.with_name("log.txt")  # a task of an array has none
                    said = log.stat().st_size if log.exists() else None
                    marks[path] = (found.st_ino, found.st_mtime_ns, run.attrs["created"], said)
        return marks


class RunningSweep:
    """A sweep in progress, with its stdout and stderr in files."""

    def __init__(self, command, folder):
        self.out = open(folder / "stdout.txt", "w+")
        self.err = open(folder / "stderr.txt", "w+")
        self.process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=self.out, stderr=self.err)

    def said(self):
        return pathlib.Path(self.err.name).read_text()

    def wait_for_ended(self, count):
        """Waits until `count` runs have ended."""
        programs.wait_until(lambda: len(ENDED.findall(self.said())) >= count, self.said, self.process)

    def end(self, signal_number=None):
        if signal_number is not None:
            self.process.send_signal(signal_number)
        try:
            self.process.wait(timeout=60)
        finally:
            self.process.kill()  # does nothing once it has ended
            self.process.wait()
        outcome = Outcome(self.process.returncode, pathlib.Path(self.out.name).read_text(), self.said())
        self.out.close()
        self.err.close()
        return outcome


def children_below(folder):
    """Returns the hessian-train processes whose configuration lies in a folder below this one."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has ended in the meantime
            continue
        if len(words) > 1 and words[0].endswith("/hessian-train"):
            config = pathlib.Path(words[1])
            place = config if config.is_absolute() else cwd_of(entry) / config
            if folder in place.parents:
                found[int(entry.name)] = place.parent
    return found


def cwd_of(entry):
    try:
        return pathlib.Path(os.readlink(entry / "cwd"))
    except OSError:
        return pathlib.Path("/")


def kill(number):
    try:
        os.kill(number, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


class SweepFile:
    """The contents of a sweep.h5 in memory, with texts as str."""

    def __init__(self, path):
        self.datasets, self.units, self.long_names = {}, {}, {}
        with h5py.File(path, "r", swmr=True) as file:
            self.attributes = dict(file.attrs)
            file.visititems(self._take)

    def _take(self, name, item):
        if isinstance(item, h5py.Dataset):
            text = h5py.check_string_dtype(item.dtype) is not None
            self.datasets["/" + name] = (item.asstr()[:] if text else item[:]).tolist()
            self.units["/" + name] = item.attrs["units"]
            self.long_names["/" + name] = item.attrs["long_name"]

    def __getitem__(self, name):
        """Returns a dataset below /sweep."""
        return self.datasets["/sweep/" + name]

    def rows(self):
        names = ("model", "lr", "seed", "status", "final_loss", "initial_loss", "diverged_at", "run_file")
        return [dict(zip(names, row)) for row in zip(*(self[name] for name in names), strict=True)]

    def summaries(self):
        names = [name.rsplit("/", 1)[1] for name in self.datasets if name.startswith("/sweep/summary/")]
        columns = [self["summary/" + name] for name in names]
        return [dict(zip(names, row)) for row in zip(*columns, strict=True)]


def diverged_at(losses, norms, margin=0.5, patience=5, smoothing=11):
    """Returns the step at which a run diverged, -1 if it did not, by the definition in experiments/src/train/divergence.h."""
    best, above = numpy.inf, 0
    padded = [losses[0]] * (smoothing - 1) + list(losses)
    for index, (loss, norm) in enumerate(zip(losses, norms, strict=True)):
        if not (numpy.isfinite(loss) and numpy.isfinite(norm)):
            return index + 1
        smoothed = numpy.median(padded[index : index + smoothing])
        best = min(best, smoothed)
        above = above + 1 if smoothed > best + margin else 0
        if above == patience:
            return index + 2 - patience
    return -1


def only(table, models):
    """Returns the entries of a table about these models. Those of one model do not depend on the others."""
    return {
        **table,
        "models": [entry for entry in table["models"] if entry["model"] in models],
        "ratios": [entry for entry in table["ratios"] if {entry["model"], entry["baseline"]} <= set(models)],
        "runs": [entry for entry in table["runs"] if entry["model"] in models],
    }
