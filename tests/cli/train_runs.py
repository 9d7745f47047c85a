"""Runs the real hessian-train, and reads its output."""

import json
import pathlib
import subprocess
import time

import h5py
import numpy

import programs
import safetensors_file
from probe_runs import RunFile
from programs import environment, program

# A model of some thousand parameters. A run takes a quarter of a second, mostly for the start of its process.
SMALL = {
    "out": "run",
    "steps": 12,
    "device": "cpu",
    "threads": 1,
    "model.name": "new:llama2-20M-prenorm",
    "model.dim": 16,
    "model.n_layers": 2,
    "model.n_heads": 2,
    "data.seq_len": 16,
    "data.batch_size": 2,
    "schedule.warmup": 3,
    "validation.every": 5,
    "validation.sequences": 2,
    "log.update_every": 5,
    "checkpoint.every": 5,
    # No run of a few steps leaves its plateau.
    "divergence.plateau_drop": 0,
}
# The datasets that depend on the clock.
TIMES = ("/train/step_seconds", "/train/tokens_per_second")


def toml(values):
    """Formats dotted keys and values as TOML, which writes strings, numbers, booleans and flat lists as JSON does."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


class Outcome(programs.Outcome):
    name = "hessian-train"

    def __init__(self, status, stdout, stderr, folder):
        super().__init__(status, stdout, stderr)
        self.folder = folder

    @property
    def run(self):
        return RunFile(self.folder / "run.h5")

    def checkpoints(self):
        return sorted(path.name for path in self.folder.glob("checkpoint-*"))

    def checkpoint(self, step):
        """Returns the tensors and metadata of a checkpoint."""
        return safetensors_file.read(self.folder / f"checkpoint-{step:08}.safetensors")


class Train:
    """hessian-train in a temporary working folder, with its output in run/ unless the configuration has another `out`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def command(self, changes, *options):
        """Writes run.toml: SMALL with these changes (None removes a key), or the given text."""
        text = changes
        if isinstance(changes, dict):
            text = toml({key: value for key, value in {**SMALL, **changes}.items() if value is not None})
        (self.folder / "run.toml").write_text(text, encoding="utf-8")
        return [program("hessian-train"), "run.toml", *map(str, options)]

    def execute(self, command, out="run"):
        return Outcome(*programs.execute(command, self.folder), self.folder / out)

    def __call__(self, changes, *options):
        out = (changes.get("out") if isinstance(changes, dict) else None) or SMALL["out"]
        return self.execute(self.command(changes, *options), out)

    def done(self, changes, *options):
        """Runs the program, which must succeed. Replaces an existing run unless --resume is given."""
        if "--resume" not in options:
            options = (*options, "--overwrite")
        outcome = self(changes, *options)
        assert outcome.status == 0, outcome.stderr
        return outcome

    def fails(self, status, changes, *options):
        """Runs the program, which must fail and leave no file; returns its error line."""
        command = self.command(changes, *options)
        before = contents(self.folder)
        outcome = self.execute(command)
        assert outcome.status == status, (outcome.status, outcome.stderr)
        assert contents(self.folder) == before
        return outcome.error_line()

    def start(self, changes, *options, terminal=False):
        return RunningTrain(self.command(changes, *options), self.folder, terminal)


def contents(folder):
    """Returns every file below a folder with its bytes."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


class RunningTrain:
    """A run in progress. Its stdout goes to a file, its stderr to another file or to a terminal."""

    def __init__(self, command, folder, terminal=False):
        self.folder = folder
        self.out_path, self.err_path = folder / "stdout.txt", folder / "stderr.txt"
        self.terminal = programs.Terminal() if terminal else None
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            stderr = self.terminal.end if terminal else err
            self.process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=out, stderr=stderr)
        if terminal:
            self.terminal.close_end()

    def said(self):
        """Returns everything that the run has written to stderr so far."""
        return self.terminal.read().decode() if self.terminal else self.err_path.read_text()

    def wait_until(self, condition):
        programs.wait_until(condition, self.said, self.process, pause=0.002)

    def wait_for_checkpoint(self):
        self.wait_until(lambda: any(self.folder.glob("run/checkpoint-*")))

    def end(self, signal_number=None):
        """Ends the run by a signal, or waits for its end."""
        try:
            if signal_number is not None:
                self.process.send_signal(signal_number)
            while self.terminal and self.process.poll() is None:
                self.said()
                time.sleep(0.005)
            self.process.wait(timeout=60)
        finally:
            self.process.kill()  # does nothing once it has ended
            self.process.wait()
        said = self.said()
        if self.terminal:
            self.terminal.close()
        outcome = Outcome(self.process.returncode, self.out_path.read_text(), said, self.folder / "run")
        self.out_path.unlink()
        self.err_path.unlink()
        return outcome


def mark_unfinished(path):
    """Makes a run file look as if its process had been killed just before marking the run as finished."""
    with h5py.File(path, "r+") as file:
        file.attrs.modify("finished", numpy.int32(0))


def assert_same_run(found, expected, attributes=True):
    """Compares bit by bit: every dataset but the times, and the attributes that do not depend on the process."""
    assert found.datasets.keys() == expected.datasets.keys()
    for path, values in expected.datasets.items():
        assert found.datasets[path].shape == values.shape, path
        if path not in TIMES:
            assert found.datasets[path].tobytes() == values.tobytes(), path
    assert found.dataset_attributes == expected.dataset_attributes
    if attributes:
        own = ("command_line", "created", "peak_memory_bytes")
        for name, value in expected.attributes.items():
            assert name in own or found.attributes[name] == value, name


def assert_same_bytes(found, expected):
    assert found.read_bytes() == expected.read_bytes(), f"{found.name} differs"
