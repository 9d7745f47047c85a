"""hessian-plot reports files that it cannot use, and draws everything that it can."""

import shutil

import h5py
import numpy
import pytest

from plot_runs import probe_datasets, write_run


@pytest.fixture
def good(tmp_path):
    return write_run(tmp_path / "good.h5", probe_datasets(numpy.ones((1, 2, 2))))


def test_names_a_file_that_does_not_exist(plot):
    assert "missing.h5" in plot("missing.h5").error_line()
    assert not (plot.folder / "plots").exists()


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 100])
def test_names_a_file_that_is_not_a_run_file(plot, tmp_path, content):
    (tmp_path / "bad.h5").write_bytes(content)
    outcome = plot("bad.h5")
    assert outcome.status == 1
    assert outcome.error_line().startswith("bad.h5: ")


def test_names_a_truncated_file(plot, good, tmp_path):
    whole = good.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    assert plot("cut.h5").error_line().startswith("cut.h5: ")


def test_draws_the_good_files_despite_a_bad_one(plot, good, tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"not HDF5")
    outcome = plot("bad.h5", good)
    assert outcome.status == 1, "a script must notice"
    assert len(outcome.warnings()) == 1 and outcome.warnings()[0].startswith("bad.h5: ")
    assert "spectral-norm-residual.svg" in outcome.names()


def test_a_file_of_another_program_is_refused(plot, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = [1, 2, 3]
    line = plot("other.h5").error_line()
    assert line.startswith("other.h5: ") and "run file" in line


def test_a_newer_format_and_an_impossible_one_are_refused(plot, tmp_path):
    datasets = probe_datasets(numpy.ones((1, 2, 1)))
    newer = write_run(tmp_path / "newer.h5", datasets, format_version=numpy.int32(99))
    assert "is of format version 99, this program reads up to version 1" in plot(newer).error_line()
    impossible = write_run(tmp_path / "impossible.h5", datasets, format_version=numpy.int32(0))
    assert "is of format version 0, expected 1 to 1" in plot(impossible).error_line()


def test_figures_of_datasets_that_an_older_file_lacks_are_left_out(plot, tmp_path):
    datasets = probe_datasets(numpy.ones((1, 2, 1)))
    for name in ("feature_outlier", "abs_mean", "lambda_min", "converged"):
        del datasets[f"/probe/residual/{name}"]
    outcome = plot.done(write_run(tmp_path / "older.h5", datasets), "--report")
    assert "spectral-norm-residual.svg" in outcome.names() and "feature-outlier-residual.svg" not in outcome.names()


def test_an_unfinished_file_is_drawn_and_reported_as_unfinished(plot, tmp_path):
    norms = numpy.full((2, 2, 1), 3.0)
    norms[1, 1, 0] = numpy.nan  # not written yet
    run = write_run(tmp_path / "run.h5", probe_datasets(norms), finished=numpy.int32(0))
    outcome = plot.done(run, "--report", "--csv")
    assert "not finished; its contents so far are shown" in (outcome.out / "report.html").read_text()
    _, y, _, _ = outcome.curve("spectral-norm-residual", "step 10")
    assert y[0] == 3 and numpy.isnan(y[1])


def test_a_file_without_numbers_is_refused(plot, tmp_path):
    run = write_run(tmp_path / "run.h5", {})
    assert plot(run).error_line() == f"{run} has no data for any figure yet; --list shows the contents"
    outcome = plot.done("--list", run, out=None)
    assert outcome.stdout.endswith("  figures: none yet\n")


def test_datasets_of_another_type_or_shape_are_left_out_and_named(plot, tmp_path):
    datasets = probe_datasets(numpy.ones((1, 2, 1)))
    datasets["/train/step"] = [1.5, 2.5]  # not whole numbers
    datasets["/train/loss"] = [1.0, 2.0]
    datasets["/probe/residual/rms"] = numpy.ones((1, 1))
    outcome = plot.done(write_run(tmp_path / "run.h5", datasets))
    assert any("/train/step" in warning for warning in outcome.warnings())
    assert "loss.svg" not in outcome.names() and "rms-residual.svg" not in outcome.names()
    assert "spectral-norm-residual.svg" in outcome.names()


def test_a_selection_that_matches_nothing_names_the_available_figures(plot, good):
    outcome = plot(good, "--select", "los*")
    assert outcome.status == 2
    assert outcome.error_line().startswith("--select 'los*' matches none of spectral-norm-residual, ")
    assert not (plot.folder / "plots").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--format", "gif"], "--format"),
        (["--watch", "0"], "'0' is not a positive number"),
        (["--watch", "soon"], "'soon' is not a positive number"),
        (["--list"], "--out excludes --list"),
        (["--unknown"], "--unknown"),
    ],
)
def test_usage_errors_are_one_line(plot, good, arguments, message):
    outcome = plot(good, *arguments)
    assert outcome.status == 2
    assert message in outcome.error_line()


def test_requires_files_and_a_folder(plot, good):
    assert plot().status == 2
    outcome = plot(good, out=None)
    assert outcome.status == 2 and outcome.error_line().startswith("--out is required")


def test_reports_that_gnuplot_is_missing_and_writes_tables_without_it(plot, good, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    outcome = plot(good, PATH=str(empty))
    assert outcome.status == 1
    assert "gnuplot was not found; install the package gnuplot-nox" in outcome.error_line()
    outcome = plot.done(good, "--csv", "--format", "none", PATH=str(empty))
    assert "spectral-norm-residual.csv" in outcome.names()


def test_a_folder_that_cannot_be_written_is_named(plot, good):
    (plot.folder / "plots").write_text("a file")
    line = plot(good).error_line()
    assert line.startswith("plots: cannot be made a folder")


def test_older_drawings_survive_when_a_new_one_fails(plot, good, tmp_path):
    plot.done(good)
    before = {name: (tmp_path / "plots" / name).read_bytes() for name in plot.done(good).names()}
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "gnuplot").write_text("#!/bin/sh\necho 'out of ink' >&2\nexit 1\n")
    (broken / "gnuplot").chmod(0o755)
    outcome = plot(good, PATH=f"{broken}:{shutil.os.environ['PATH']}")
    assert outcome.status == 1
    assert "gnuplot could not draw it: out of ink" in outcome.error_line()
    assert {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()} == before
