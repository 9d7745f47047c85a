import pathlib
import shutil
import subprocess
import sys

import pytest

import plot_runs
import probe_runs
import sweep_runs
import tiny_models
import train_runs

MAKER = pathlib.Path(__file__).with_name("make_nanogpt_checkpoint.py")


@pytest.fixture
def probe(tmp_path):
    return probe_runs.Probe(tmp_path)


@pytest.fixture
def plot(tmp_path):
    return plot_runs.Plot(tmp_path)


@pytest.fixture
def train(tmp_path):
    return train_runs.Train(tmp_path)


@pytest.fixture(scope="session")
def make_checkpoint():
    """Writes a nanoGPT checkpoint with the options of make_nanogpt_checkpoint.py."""

    def make(path, *options):
        subprocess.run([sys.executable, str(MAKER), str(path), *map(str, options)], check=True, timeout=60)
        return path

    return make


@pytest.fixture(scope="session")
def nanogpt(make_checkpoint, tmp_path_factory):
    """A fresh nanoGPT of three layers with a vocabulary of bytes."""
    path = tmp_path_factory.mktemp("nanogpt") / "ckpt.pt"
    return make_checkpoint(path, "--vocab", 256, "--layers", 3, "--block-size", 64, "--step", 7)


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """A Llama of two layers with a vocabulary of 31."""
    return tiny_models.write(tmp_path_factory.mktemp("llama") / "model.safetensors", tiny_models.configuration())


@pytest.fixture(scope="session")
def tokens(tmp_path_factory):
    """Two sequences of six tokens for `llama`."""
    return tiny_models.write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.safetensors", 31)


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("In the beginning — naïve, but UTF-8.\n" * 40, encoding="utf-8")
    return path


@pytest.fixture
def sweep(tmp_path):
    return sweep_runs.Sweep(tmp_path)


@pytest.fixture(scope="session")
def whole_sweep(tmp_path_factory):
    """A sweep that ran undisturbed, with its output as JSON and as text. Read-only for tests: `swept` is a copy."""
    sweep = sweep_runs.Sweep(tmp_path_factory.mktemp("whole_sweep"))
    sweep.outcome = sweep("--json")
    assert sweep.outcome.status == 0, sweep.outcome.stderr
    copy = sweep_runs.Sweep(tmp_path_factory.mktemp("copied_sweep"))
    shutil.copytree(sweep.out, copy.out)
    sweep.text = copy("--resume").stdout
    return sweep


@pytest.fixture
def swept(sweep, whole_sweep):
    """A copy of the whole sweep."""
    shutil.copytree(whole_sweep.out, sweep.out)
    return sweep
