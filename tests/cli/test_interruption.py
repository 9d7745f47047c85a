"""The files of a probe that is killed, and what readers see of them while it runs."""

import signal
import subprocess
import time

import h5py
import numpy
import pytest

import programs
from probe_runs import OF_ROWS, OF_SEQUENCES, PROGRESS, SITES, Probe, RunFile, expected_rows
from programs import FIXTURES

MODEL = FIXTURES / "reference" / "llama2_prenorm"
LAST = 3
# Rows in the order in which they are written: the layers of a site are measured together.
ROWS = sorted(expected_rows(SITES, range(LAST + 1), LAST), key=lambda row: SITES.index(row[0]))
# Sixteen rows, in about a second.
ARGUMENTS = [
    *("--model", MODEL / "model.safetensors", "--data", MODEL / "expected.safetensors"),
    *("--site", "all", "--sequences", "2", "--seq-len", "8", "--tol", "1e-3", "--ends", "both"),
]


class RunningProbe:
    """A probe whose stderr is a terminal, so that it shows how many rows it has written."""

    def __init__(self, command, folder):
        self.terminal = programs.Terminal()
        self.process = subprocess.Popen(
            command, cwd=folder, env=programs.environment(), stdout=subprocess.DEVNULL, stderr=self.terminal.end
        )
        self.terminal.close_end()

    def rows_reported(self):
        reports = PROGRESS.findall(self.terminal.read())
        return int(reports[-1][0]) if reports else 0

    def wait_for_rows(self, count):
        programs.wait_until(lambda: self.rows_reported() >= count, process=self.process)

    def end(self, signal_number):
        self.process.send_signal(signal_number)
        self.process.wait(timeout=60)
        reported = self.rows_reported()
        self.terminal.close()
        return reported


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A complete run, and the seconds that it took."""
    start = time.monotonic()
    run = Probe(tmp_path_factory.mktemp("whole")).run(*ARGUMENTS)
    return run, time.monotonic() - start


def values_of_row(run, site, place):
    return {name: run[f"{site}/{name}"][0, place] for name in OF_SEQUENCES + OF_ROWS}


def complete_rows(run, whole_run):
    """Returns the number of leading rows that equal those of the whole run. The next may be incomplete; all others are empty."""
    equal = []
    empty = []
    for site, layer in ROWS:
        found, expected = (values_of_row(each, site, layer) for each in (run, whole_run))
        equal.append(all(numpy.array_equal(found[name], expected[name]) for name in expected))
        # Values not written yet: NaN, and -1 for the iterations.
        empty.append(
            numpy.isnan(found["spectral_norm"]).all()
            and numpy.isnan(found["rms"])
            and (found["iterations"] == -1).all()
        )
        for name in ("spectral_norm", "lambda_max", "lambda_min", "residual_norm"):
            numbers = found[name][~numpy.isnan(found[name])]
            assert numpy.isin(numbers, expected[name]).all(), (site, layer, name)
    count = equal.index(False) if False in equal else len(equal)
    assert all(empty[count + 1 :]), (equal, empty)
    return count


def test_a_probe_killed_at_any_moment_leaves_no_file_or_every_row_that_it_reported(probe, whole):
    whole_run, seconds = whole
    generator = programs.random_generator()
    counts = []
    # One random moment in each fiftieth of 1.05 times the run's time, in random order.
    moments = [(index + generator.random()) / 50 * 1.05 * seconds for index in range(50)]
    for moment in generator.sample(moments, len(moments)):
        path = probe.folder / "run.h5"
        if path.exists():
            path.unlink()
        running = RunningProbe(probe.command(ARGUMENTS), probe.folder)
        time.sleep(moment)
        reported = running.end(signal.SIGKILL)
        if not path.exists():
            assert reported == 0
            continue
        run = RunFile(path)
        count = complete_rows(run, whole_run)
        counts.append(count)
        assert count >= reported, f"reported {reported} rows, the file has {count}; killed after {moment:.3f} s"
        if run.attributes["finished"]:
            assert count == len(ROWS)
        assert (run["layer/residual"] == whole_run["layer/residual"]).all()
    print("complete rows after each kill:", sorted(counts))
    # The kills hit runs at their start, in their middle and at their end.
    assert len(set(counts)) > 3

    # The next run removes the temporary files of killed writers.
    assert probe.run(*ARGUMENTS).attributes["finished"] == 1
    assert [path.name for path in probe.folder.iterdir()] == ["run.h5"]


def test_a_reader_follows_a_growing_file(probe, whole):
    whole_run, _ = whole
    path = probe.folder / "run.h5"
    running = RunningProbe(probe.command(ARGUMENTS), probe.folder)
    programs.wait_until(path.exists, process=running.process, pause=0.002)
    deadline = time.monotonic() + 60
    seen = []
    with h5py.File(path, "r", swmr=True) as file:
        assert file.attrs["finished"] == 0
        datasets = {site: file[f"/probe/{site}/rms"] for site in SITES}
        while running.process.poll() is None:
            reported = running.rows_reported()
            for dataset in datasets.values():
                dataset.refresh()
            count = 0
            for site, layer in ROWS:
                value = datasets[site][0, layer]
                if numpy.isnan(value):
                    break
                assert value == whole_run[f"{site}/rms"][0, layer]
                count += 1
            assert count >= reported
            seen.append(count)
            assert time.monotonic() < deadline
            time.sleep(0.01)
    running.terminal.close()
    assert running.process.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen) - {0, len(ROWS)}) > 2
    assert RunFile(path).attributes["finished"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_probe_fails_and_keeps_its_rows(probe, whole, number):
    running = RunningProbe(probe.command(ARGUMENTS), probe.folder)
    running.wait_for_rows(3)
    reported = running.end(number)
    assert running.process.returncode != 0
    run = RunFile(probe.folder / "run.h5")
    assert run.attributes["finished"] == 0
    assert run.attributes["peak_memory_bytes"] == 0
    assert 3 <= reported <= complete_rows(run, whole[0]) < len(ROWS)


def test_an_old_file_is_replaced_atomically_and_its_readers_keep_it(probe, whole):
    probe.run(*ARGUMENTS, "--layer", "2-3")
    with h5py.File(probe.folder / "run.h5", "r", swmr=True) as old:
        running = RunningProbe(probe.command([*ARGUMENTS, "--overwrite"]), probe.folder)
        running.wait_for_rows(1)
        running.end(signal.SIGKILL)
        assert old.attrs["finished"] == 1
        assert old["/probe/layer/residual"][:].tolist() == [2, 3]
    assert RunFile(probe.folder / "run.h5")["layer/residual"].tolist() == [0, 1, 2, 3]
