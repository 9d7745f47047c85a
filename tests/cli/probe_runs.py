"""Runs the real hessian-probe, and reads what it wrote by way of h5py."""

import os
import pathlib
import re
import subprocess

import h5py

PROGRAM = os.environ.get("HESSIAN_PROBE", "")
SITES = ("residual", "attn_in", "attn_proj_in", "ffn_in", "ffn_down_in")
OF_SEQUENCES = ("spectral_norm", "lambda_max", "lambda_min", "residual_norm", "iterations", "converged")
OF_ROWS = ("rms", "abs_max", "abs_mean", "feature_outlier")
PROGRESS = re.compile(rb"(\d+) of (\d+), [^\r\x1b]* left")

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


def environment(**changes):
    """The tests' own environment: one thread, so that numbers repeat exactly. None takes a variable out."""
    result = {**os.environ, "OMP_NUM_THREADS": "1", **changes}
    if (ROOT / "data" / "kjv.txt").exists():
        result.setdefault("HESSIAN_DATA_DIR", str(ROOT / "data"))
    return {name: value for name, value in result.items() if value is not None}


class RunFile:
    """The contents of a run file, in memory."""

    def __init__(self, path):
        self.datasets = {}
        self.dataset_attributes = {}
        with h5py.File(path, "r", swmr=True) as file:
            self.attributes = dict(file.attrs)
            file.visititems(self._take)

    def _take(self, name, item):
        if isinstance(item, h5py.Dataset):
            self.datasets["/" + name] = item[()]
            self.dataset_attributes["/" + name] = dict(item.attrs)

    def __getitem__(self, name):
        """A dataset below /probe."""
        return self.datasets["/probe/" + name]


class Outcome:
    def __init__(self, status, stdout, stderr, path):
        self.status, self.stdout, self.stderr, self.path = status, stdout, stderr, path

    @property
    def run(self):
        return RunFile(self.path)

    def error_line(self):
        """The one line on stderr, without the program's name."""
        assert self.stdout == ""
        assert self.stderr.count("\n") == 1 and self.stderr.endswith("\n"), self.stderr
        assert self.stderr.startswith("hessian-probe: "), self.stderr
        assert len(self.stderr) < 600, self.stderr
        return self.stderr[len("hessian-probe: ") : -1]


class Probe:
    """hessian-probe, working in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    def command(self, arguments, out="run.h5"):
        return [PROGRAM, *map(str, arguments), *(["--out", str(out)] if out else [])]

    def __call__(self, *arguments, out="run.h5", environment_changes=None, **options):
        done = subprocess.run(
            self.command(arguments, out),
            cwd=self.folder,
            env=environment(**(environment_changes or {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=120,
            encoding="utf-8",
            errors="surrogateescape",
            **options,
        )
        return Outcome(done.returncode, done.stdout, done.stderr, self.folder / (out or ""))

    def run(self, *arguments, out="run.h5"):
        """The run file of a run that succeeds; a file of that name is replaced."""
        outcome = self(*arguments, "--overwrite", out=out)
        assert outcome.status == 0, outcome.stderr
        return outcome.run

    def read(self, out):
        """A run file in the probe's folder."""
        return RunFile(self.folder / out)

    def fails(self, status, *arguments, **options):
        """The error line of a run that fails, and leaves no file."""
        before = sorted(path.name for path in self.folder.iterdir())
        outcome = self(*arguments, **options)
        assert outcome.status == status, (outcome.status, outcome.stderr)
        assert sorted(path.name for path in self.folder.iterdir()) == before
        return outcome.error_line()


def expected_rows(sites, layers, last):
    """Sites and layers in the order in which they are reported; the last layer has no site but the residual."""
    return [(site, layer) for layer in layers for site in sites if layer < last or site == "residual"]
