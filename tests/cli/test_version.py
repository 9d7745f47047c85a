"""--version of the programs, and the versions that run files record."""

import re
import subprocess

import pytest

from programs import ROOT, program

PROGRAMS = ("hessian-probe", "hessian-train", "hessian-sweep", "hessian-plot", "hessian-reproduce", "hessian-tokens")
CMAKE = (ROOT / "CMakeLists.txt").read_text()
VERSION = re.search(r"project\(hessian VERSION ([\d.]+)", CMAKE).group(1)


def version_line(name):
    done = subprocess.run([program(name), "--version"], capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\n") and done.stdout.count("\n") == 1
    return done.stdout[:-1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_version_names_program_commit_and_libraries(name):
    libraries = "" if name in ("hessian-plot", "hessian-tokens") else r", LibTorch \d+\.\d+\.\d+, (without CUDA|CUDA \d+\.\d+)"
    commit = r"([0-9a-f]{7}|unknown)(-dirty)?"
    line = version_line(name)
    assert re.fullmatch(rf"{name} {re.escape(VERSION)} \(commit {commit}{libraries}\)", line), line


def test_all_programs_report_the_same_commit():
    commits = {re.search(r"commit ([\w-]+)", version_line(name)).group(1) for name in PROGRAMS}
    assert len(commits) == 1


def test_help_lists_the_option(probe):
    done = subprocess.run([program("hessian-probe"), "--help"], capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert "--version" in done.stdout


def test_a_run_file_records_the_versions_that_the_program_prints(probe, nanogpt):
    attributes = probe.run("--model", nanogpt, "--sequences", 1, "--seq-len", 4).attributes
    commit = attributes["git_commit"]
    dirty = "-dirty" if commit.endswith("-dirty") else ""
    cuda = f"CUDA {attributes['cuda']}" if attributes["cuda"] else "without CUDA"
    assert version_line("hessian-probe") == (
        f"hessian-probe {attributes['version']} (commit {commit[:7]}{dirty}, LibTorch {attributes['libtorch']}, {cuda})"
    )
