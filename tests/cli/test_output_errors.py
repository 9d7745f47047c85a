"""Run files that cannot be written: exit status 1, one line that begins with the file, and no file left or changed."""

import os
import resource
import subprocess

import pytest

from probe_runs import RunFile

CHEAP = ("--sequences", 1, "--seq-len", 4)


def test_an_existing_file_is_not_touched(probe, nanogpt):
    (probe.folder / "run.h5").write_bytes(b"precious")
    line = probe.fails(1, "--model", nanogpt, *CHEAP)
    assert line == "run.h5: already exists; use --overwrite to replace it"
    assert (probe.folder / "run.h5").read_bytes() == b"precious"


def test_overwrite_replaces_a_file_of_any_content(probe, nanogpt):
    (probe.folder / "run.h5").write_bytes(b"worthless")
    assert probe.run("--model", nanogpt, *CHEAP).attributes["finished"] == 1


def test_a_failure_with_overwrite_leaves_the_old_file(probe, nanogpt):
    (probe.folder / "run.h5").write_bytes(b"precious")
    probe.fails(1, "--model", nanogpt, "--data", "nowhere.txt", "--overwrite")
    probe.fails(1, "--model", nanogpt, *CHEAP, "--memory", "1KiB", "--overwrite")
    assert (probe.folder / "run.h5").read_bytes() == b"precious"


def test_a_refusal_because_of_memory_leaves_no_file(probe, nanogpt):
    probe.fails(1, "--model", nanogpt, *CHEAP, "--memory", "1KiB")
    assert probe("--model", nanogpt, *CHEAP).status == 0


def test_a_folder_that_does_not_exist_is_named(probe, nanogpt):
    line = probe.fails(1, "--model", nanogpt, *CHEAP, out="out/run.h5")
    assert line == "out/run.h5: folder 'out' does not exist; make it first or write elsewhere"


def test_a_folder_in_place_of_the_file_is_refused(probe, nanogpt):
    (probe.folder / "out").mkdir()
    line = probe.fails(1, "--model", nanogpt, *CHEAP, out="out")
    assert line == "out: is a folder; expected the name of a file"


def test_a_file_in_place_of_the_folder_is_refused(probe, nanogpt):
    (probe.folder / "out").write_text("")
    line = probe.fails(1, "--model", nanogpt, *CHEAP, out="out/run.h5")
    assert line.startswith("out/run.h5: ") and "'out' is not a folder" in line


def test_a_device_in_place_of_the_file_is_refused(probe, nanogpt):
    line = probe.fails(1, "--model", nanogpt, *CHEAP, "--overwrite", out="/dev/null")
    assert line == "/dev/null: exists and is not a regular file; choose another name"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(probe, nanogpt):
    folder = probe.folder / "out"
    folder.mkdir()
    folder.chmod(0o555)
    line = probe.fails(1, "--model", nanogpt, *CHEAP, out="out/run.h5")
    assert line.startswith("out/run.h5: folder 'out' takes no new file: Permission denied; ")


def test_an_output_that_cannot_be_written_is_refused_before_the_model_is_read(probe):
    assert probe.fails(1, "--model", "nowhere.pt", out="out/run.h5").startswith("out/run.h5: ")


def check_what_a_full_disk_leaves(outcome, reason):
    line = outcome.error_line()
    assert outcome.status == 1
    assert line.startswith("run.h5: ") and reason in line, line
    assert not list(outcome.path.parent.glob(".run.h5*"))
    if outcome.path.exists():
        assert RunFile(outcome.path).attributes["finished"] == 0


# All datasets of all sites, so that the file exceeds each limit at a different moment.
LARGE = ("--site", "all", "--sequences", 2, "--seq-len", 4)


@pytest.mark.parametrize("kibibytes", [1, 16, 64, 128, 200])
def test_a_limit_on_file_sizes_leaves_no_unfinished_file_that_claims_to_be_finished(probe, nanogpt, kibibytes):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 1024, kibibytes * 1024))

    # Python ignores SIGXFSZ. Without restore_signals the program inherits that, so that a write fails with an error.
    outcome = probe("--model", nanogpt, *LARGE, preexec_fn=limit, restore_signals=False)
    if outcome.status == 0:
        pytest.skip("the file is smaller than this")
    check_what_a_full_disk_leaves(
        outcome, "File too large; raise the limit on file sizes (ulimit -f) or write elsewhere"
    )


@pytest.mark.parametrize("kibibytes", [16, 64, 128, 200])
def test_a_full_disk_leaves_no_unfinished_file_that_claims_to_be_finished(probe, nanogpt, kibibytes):
    disk = probe.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(disk)], stderr=subprocess.DEVNULL, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk takes root")
    try:
        probe.folder = disk
        outcome = probe("--model", nanogpt, *LARGE)
        if outcome.status == 0:
            pytest.skip("the file is smaller than this")
        check_what_a_full_disk_leaves(outcome, "No space left on device; free some space or write elsewhere")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
