"""Runs the real hessian-plot, and reads its output."""

import csv
import pathlib

import h5py
import numpy

import programs
from programs import program


class Outcome(programs.Outcome):
    name = "hessian-plot"

    def __init__(self, status, stdout, stderr, out):
        super().__init__(status, stdout, stderr)
        self.out = out

    def warnings(self):
        """Returns the lines of stderr, all of which are warnings."""
        found = super().warnings()
        assert len(found) == len(self.stderr.splitlines()), self.stderr
        return found

    def names(self):
        return sorted(path.name for path in self.out.iterdir())

    def table(self, figure):
        """Returns the rows of a figure's CSV. A cell is a number, a word, or None if it is empty."""
        with open(self.out / f"{figure}.csv", newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        return [[number_or_word(cell) for cell in row] for row in rows]

    def curve(self, figure, label):
        """Returns x, y, low and high of a curve."""
        rows = [row[1:] for row in self.table(figure) if row[0] == label]
        assert rows, (label, {row[0] for row in self.table(figure)})
        return [numpy.array(column, dtype=float) for column in zip(*rows)]


def number_or_word(cell):
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell


class Plot:
    """hessian-plot in a temporary working folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def command(self, *arguments, out="plots"):
        return [program("hessian-plot"), *map(str, arguments), *(["--out", out] if out else [])]

    def __call__(self, *arguments, out="plots", **changes):
        done = programs.execute(self.command(*arguments, out=out), self.folder, changes=changes)
        return Outcome(*done, self.folder / (out or ""))

    def done(self, *arguments, **options):
        outcome = self(*arguments, **options)
        assert outcome.status == 0, outcome.stderr
        return outcome


def write_run(path, datasets, **attributes):
    """Writes a run file in the programs' format with h5py."""
    defaults = {
        "format": "hessian-run",
        "format_version": numpy.int32(1),
        "program": "hessian-probe",
        "command_line": "hessian-probe --model m",
        "git_commit": "unknown",
        "created": "2026-01-01T00:00:00Z",
        "seed": numpy.uint64(0),
        "device": "cpu",
        "dtype": "float32",
        "config": "[probe]\n",
        "model": "{}",
        "finished": numpy.int32(1),
        "peak_memory_bytes": numpy.int64(0),
    }
    with h5py.File(path, "w", libver="v110") as file:
        for name, value in {**defaults, **attributes}.items():
            file.attrs[name] = value
        for name, values in datasets.items():
            values = numpy.asarray(values)
            dataset = file.create_dataset(name, data=values, chunks=True, maxshape=(None,) * values.ndim)
            dataset.attrs["units"] = "1"
            dataset.attrs["long_name"] = name
    return path


def probe_datasets(norms, converged=None):
    """Returns the datasets of a probe of the residual with these norms, [probes, layers, sequences]."""
    norms = numpy.asarray(norms, dtype=float)
    probes, layers, _ = norms.shape
    scales = numpy.ones((probes, layers))
    return {
        "/probe/step": numpy.arange(probes, dtype=numpy.int64) * 10,
        "/probe/loss": numpy.ones(norms.shape[::2]),
        "/probe/layer/residual": numpy.arange(layers, dtype=numpy.int64),
        "/probe/residual/spectral_norm": norms,
        "/probe/residual/lambda_max": norms,
        "/probe/residual/lambda_min": -norms,
        "/probe/residual/residual_norm": norms * 1e-3,
        "/probe/residual/iterations": numpy.full(norms.shape, 20, dtype=numpy.int32),
        "/probe/residual/converged": numpy.ones(norms.shape, dtype=numpy.uint8) if converged is None else converged,
        **{f"/probe/residual/{name}": scales for name in ("rms", "abs_max", "abs_mean", "feature_outlier")},
    }
