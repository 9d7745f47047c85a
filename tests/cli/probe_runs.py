"""Runs the real hessian-probe, and reads its run files with h5py."""

import re

import h5py

import programs
from programs import program

SITES = ("residual", "attn_in", "attn_proj_in", "ffn_in", "ffn_down_in")
OF_SEQUENCES = ("spectral_norm", "lambda_max", "lambda_min", "norm_upper", "residual_norm", "iterations", "converged")
OF_SEQUENCES += ("asymmetry",)
OF_ROWS = ("rms", "abs_max", "abs_mean", "feature_outlier")
OF_CHECKS = ("check_relative_difference", "check_precision_difference")
PROGRESS = re.compile(rb"(\d+) of (\d+), [^\r\x1b]* left")


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
        """Returns a dataset below /probe."""
        return self.datasets["/probe/" + name]


class Outcome(programs.Outcome):
    name = "hessian-probe"

    def __init__(self, status, stdout, stderr, path):
        super().__init__(status, stdout, stderr)
        self.path = path

    @property
    def run(self):
        return RunFile(self.path)


class Probe:
    """hessian-probe in a temporary working folder."""

    def __init__(self, folder):
        self.folder = folder

    def command(self, arguments, out="run.h5"):
        return [program("hessian-probe"), *map(str, arguments), *(["--out", str(out)] if out else [])]

    def __call__(self, *arguments, out="run.h5", environment_changes=None, **options):
        command = self.command(arguments, out)
        done = programs.execute(command, self.folder, changes=environment_changes, **options)
        return Outcome(*done, self.folder / (out or ""))

    def run(self, *arguments, out="run.h5"):
        """Runs the program, which must succeed; returns its run file. Replaces a file of that name."""
        outcome = self(*arguments, "--overwrite", out=out)
        assert outcome.status == 0, outcome.stderr
        return outcome.run

    def read(self, out):
        """Reads a run file in the probe's folder."""
        return RunFile(self.folder / out)

    def fails(self, status, *arguments, **options):
        """Runs the program, which must fail and leave no file; returns its error line."""
        before = sorted(path.name for path in self.folder.iterdir())
        outcome = self(*arguments, **options)
        assert outcome.status == status, (outcome.status, outcome.stderr)
        assert sorted(path.name for path in self.folder.iterdir()) == before
        return outcome.error_line()


def expected_rows(sites, layers, last):
    """Returns sites and layers in the order of the report. The last layer, the input of the final norm, has only a residual."""
    return [(site, layer) for layer in layers for site in sites if layer < last or site == "residual"]
