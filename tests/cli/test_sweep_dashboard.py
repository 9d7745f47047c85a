"""The display of a sweep on a terminal."""

import re

import programs
from sweep_runs import ENDED, NO_BISECTION, ONE_MODEL, SIMPLEGPT

# Two runs at a time, of two seconds or more since rows are flushed once a second. They do not stop when the loss diverges.
SLOW = [
    *(*ONE_MODEL, *NO_BISECTION, "sweep.lr.from=1e-3", "sweep.lr.to=1e-3", "sweep.jobs=2"),
    *("steps=3000", "divergence.margin=100", "validation.every=0", "log.update_every=0"),
]


def screen_of(text):
    """Returns the final lines of a screen that knows two commands: move the cursor up, and clear below the cursor."""
    lines, row = [""], 0
    for piece in re.split(r"(\n|\x1b\[\d+A|\x1b\[J)", text):
        if piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece.endswith("A") and piece.startswith("\x1b"):
            row -= int(piece[2:-1])
            assert row >= 0
        elif piece == "\x1b[J":
            del lines[row + 1 :]
            lines[row] = ""
        else:
            assert "\x1b" not in piece
            lines[row] += piece
    return lines


def test_on_a_terminal_every_running_run_has_a_line_that_shows_its_progress(sweep):
    status, stdout, written = programs.execute_on_terminal(sweep.command(settings=SLOW), sweep.folder)
    text = written.decode().replace("\r\n", "\n")
    assert status == 0
    for seed in (0, 1):
        shown = re.findall(
            rf"  {SIMPLEGPT}, lr 1\.000e-03, seed {seed}: step (\d+) of 3000, loss (-|\d+\.\d{{4}}), running\n", text
        )
        steps = [int(step) for step, _ in shown]
        assert steps == sorted(steps)
        assert len(set(steps)) > 1 and 0 < steps[-1] <= 3000
        assert all((loss == "-") == (step == "0") for step, loss in shown)
    # Both runs have a line, and each drawing replaces the last one.
    assert re.search(r"seed 0: step .*, running\n.*seed 1: step .*, running\n0 of 2 runs done\n\x1b\[3A\x1b\[J", text)
    # At the end the screen has one line per run, and stdout only the table.
    *lines, last = screen_of(text)
    assert last == ""
    ended = [found.groupdict() for found in map(ENDED.fullmatch, lines) if found]
    assert sorted((run["seed"], run["step"], run["status"]) for run in ended) == [
        ("0", "3000", "stable"),
        ("1", "3000", "stable"),
    ]
    assert [line for line in lines if "running" in line or line.startswith(("0 of", "1 of"))] == []
    assert "\x1b" not in stdout and SIMPLEGPT in stdout
