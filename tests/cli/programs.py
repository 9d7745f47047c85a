"""Runs the built programs: finds them, sets their environment, reads their one-line errors, waits for conditions."""

import json
import os
import pathlib
import pty
import random
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"


def program(name):
    """Returns the path of a program in the folder of HESSIAN_PROBE, the path of hessian-probe; ends the session without one."""
    probe = os.environ.get("HESSIAN_PROBE")
    if not probe:
        pytest.exit("set HESSIAN_PROBE to the hessian-probe to test, such as build/release/bin/hessian-probe", returncode=4)
    if not os.access(probe, os.X_OK):
        pytest.exit(f"HESSIAN_PROBE is {probe!r}, which is not a program; build it first", returncode=4)
    return str(pathlib.Path(os.path.abspath(probe)).with_name(name))


def environment(**changes):
    """Returns the environment of the tests with one thread, so that numbers repeat exactly. None removes a variable."""
    result = {**os.environ, "OMP_NUM_THREADS": "1", **changes}
    if (ROOT / "data" / "kjv.txt").exists():
        result.setdefault("HESSIAN_DATA_DIR", str(ROOT / "data"))
    return {name: value for name, value in result.items() if value is not None}


def execute(command, folder, timeout=120, changes=None, **options):
    """Runs a command in a folder, with `changes` to the environment; returns its status, stdout and stderr."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**(changes or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout,
        encoding="utf-8",
        errors="surrogateescape",
        **options,
    )
    return done.returncode, done.stdout, done.stderr


class Outcome:
    """The exit status and the output of a program."""

    name = ""  # of the program, which begins each of its messages

    def __init__(self, status, stdout, stderr):
        self.status, self.stdout, self.stderr = status, stdout, stderr

    @property
    def report(self):
        """Parses the JSON on stdout."""
        return json.loads(self.stdout)

    def error_line(self):
        """Returns the only line on stderr, without the program's name."""
        start = f"{self.name}: "
        assert self.stdout == ""
        assert self.stderr.count("\n") == 1 and self.stderr.endswith("\n"), self.stderr
        assert self.stderr.startswith(start), self.stderr
        assert len(self.stderr) < 600, self.stderr
        return self.stderr[len(start) : -1]

    def warnings(self):
        start = f"{self.name}: warning: "
        return [line[len(start) :] for line in self.stderr.splitlines() if line.startswith(start)]


def wait_until(condition, said=lambda: "", process=None, seconds=60, pause=0.005):
    """Waits until condition() holds. Fails with the text of said() if that takes too long or if the process ends first."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds} s; {said()}"
        assert process is None or process.poll() is None, f"the process ended first; {said()}"
        time.sleep(pause)


class Terminal:
    """A pseudo-terminal for a program's stderr. Pass `end` to the program, then close_end()."""

    def __init__(self):
        self.leader, self.end = pty.openpty()
        os.set_blocking(self.leader, False)
        self.text = b""

    def close_end(self):
        os.close(self.end)

    def read(self):
        """Returns all bytes that the program has written so far."""
        try:
            while text := os.read(self.leader, 4096):
                self.text += text
        except OSError:  # nothing more at present, or the other end is closed
            pass
        return self.text

    def close(self):
        os.close(self.leader)


def execute_on_terminal(command, folder):
    """Runs a command whose stderr is a terminal; returns its status, its stdout and the bytes written to the terminal."""
    terminal = Terminal()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stdout:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=stdout, stderr=terminal.end)
        terminal.close_end()

        def has_ended():
            terminal.read()  # otherwise the program would block once the terminal's buffer is full
            return process.poll() is not None

        try:
            wait_until(has_ended, seconds=120)
        finally:
            process.kill()  # does nothing once it has ended
            process.wait()
        written = terminal.read()
        terminal.close()
        stdout.seek(0)
        return process.returncode, stdout.read(), written


def random_generator():
    """Returns a generator whose seed differs in each session. A failing test prints it; HESSIAN_TEST_SEED sets it."""
    seed = int(os.environ.get("HESSIAN_TEST_SEED", time.time_ns() % 1_000_000))
    print(f"HESSIAN_TEST_SEED={seed}")
    return random.Random(seed)
