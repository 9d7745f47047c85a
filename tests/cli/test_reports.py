"""The output of hessian-probe: the table, --json, warnings, progress, help."""

import json
import os
import re
import subprocess

import numpy
import pytest

import programs
from probe_runs import OF_CHECKS, OF_ROWS, OF_SEQUENCES, PROGRESS
from programs import environment

COLUMNS = ["site", "layer", "||H_xx||_2", "upper", "bound", "range", "over", "sequences", "residual", "iter.", "RMS"]


def test_the_table_has_a_line_for_each_site_and_layer(probe, llama, tokens):
    outcome = probe("--model", llama, "--data", tokens, "--site", "residual,ffn_in")
    assert outcome.status == 0 and outcome.stderr == ""
    run = outcome.run
    title, header, *rows, legend, certificate, symmetry, memory = outcome.stdout.splitlines()
    assert title.startswith("llama2 prenorm checkpoint, step 0, 2 sequences of 6 tokens, loss ")
    assert f"loss {run['loss'].mean():.4f} nats, on cpu" in title
    assert header.split() == COLUMNS
    assert [tuple(row.split()[:2]) for row in rows] == [
        ("residual", "0"), ("ffn_in", "0"), ("residual", "1"), ("ffn_in", "1"), ("residual", "2"),
    ]  # fmt: skip
    assert legend == "||H_xx||_2 and upper bound: median over sequences, in nats; residual and iterations: the largest."
    asymmetry = max((run[f"{site}/asymmetry"] / run[f"{site}/spectral_norm"]).max() for site in ("residual", "ffn_in"))
    assert symmetry == f"Products are symmetric up to {asymmetry:.1e} of the norm."
    assert asymmetry < 1e-4
    assert certificate == (
        "All norms are at most their upper bounds with probability 0.999; without *, a bound exceeds its norm by at most 1 %."
    )
    assert memory.startswith("peak memory ")
    for row in rows:
        site, layer, norm, bound, low, dots, high, residual, iterations, rms = row.split()
        norms = run[f"{site}/spectral_norm"][0, int(layer)]
        assert norm == f"{numpy.median(norms):.4e}"
        assert (low, dots, high) == (f"{norms.min():.4e}", "..", f"{norms.max():.4e}")
        assert bound == f"{numpy.median(run[f'{site}/norm_upper'][0, int(layer)]):.4e}"
        assert residual == f"{run[f'{site}/residual_norm'][0, int(layer)].max():.1e}"
        assert int(iterations) == run[f"{site}/iterations"][0, int(layer)].max()
        assert rms == f"{run[f'{site}/rms'][0, int(layer)]:.4f}"


def test_the_plan_for_a_memory_limit_is_printed_before_the_work(probe, llama, tokens):
    outcome = probe("--model", llama, "--data", tokens, "--site", "residual,ffn_in", "--memory", "1GiB")
    lines = outcome.stderr.splitlines()
    plan = r"hessian-probe: {}: {} layers and 2 sequences at once, everything kept; [\d.]+ [KM]iB planned of 1.0 GiB allowed"
    assert len(lines) == 3
    assert re.fullmatch(plan.format("residual", 3), lines[0]), lines
    assert re.fullmatch(plan.format("ffn_in", 2), lines[1]), lines
    assert re.fullmatch(r"hessian-probe: time: about [\d.]+ s with 18 products per eigenproblem, .* with the maximum of 201", lines[2])
    amounts = r"^peak memory [\d.]+ [KM]iB, planned [\d.]+ [KM]iB; time [\d.]+ s, planned [\d.]+ s$"
    assert re.search(amounts, outcome.stdout, re.M), outcome.stdout
    report = json.loads(probe("--model", llama, "--data", tokens, "--memory", "1GiB", "--json", "--overwrite").stdout)
    assert "hessian-probe: " + report["plan"][0] == lines[0]
    assert 0 < report["planned_bytes"] < 1 << 30
    assert report["weights_streamed"] is False
    assert report["planned_seconds"] > 0 and report["seconds"] > 0


def test_json_has_the_numbers_of_the_file(probe, llama, tokens):
    outcome = probe("--model", llama, "--data", tokens, "--site", "all", "--ends", "both", "--check", "--json")
    assert outcome.status == 0 and outcome.stderr == ""
    report, run = json.loads(outcome.stdout), outcome.run
    assert (report["model"], report["step"], report["sequences"], report["seq_len"]) == (
        "llama2 prenorm checkpoint",
        0,
        2,
        6,
    )
    assert report["device"] == run.attributes["device"]
    assert report["peak_memory_bytes"] == run.attributes["peak_memory_bytes"]
    assert report["loss"] == run["loss"][0].tolist()
    assert len(report["rows"]) == 3 + 4 * 2
    for row in report["rows"]:
        place = run[f"layer/{row['site']}"].tolist().index(row["layer"])
        for name in OF_SEQUENCES + OF_ROWS + OF_CHECKS:
            assert row[name] == run[f"{row['site']}/{name}"][0, place].tolist(), (row["site"], name)


def test_estimates_that_did_not_converge_are_marked_and_reported(probe, nanogpt):
    outcome = probe("--model", nanogpt, "--sequences", 2, "--seq-len", 8, "--max-iter", 2)
    assert outcome.status == 0
    assert (outcome.run["residual/converged"] == 0).all()
    assert (outcome.run["residual/iterations"] <= 2).all()
    assert outcome.run.attributes["finished"] == 1
    rows = outcome.stdout.splitlines()[2:6]
    assert all(row.startswith("residual") and row.endswith(" *") for row in rows)
    assert outcome.stderr == (
        "hessian-probe: warning: 8 of 8 norms did not converge (marked *): "
        "check their residuals and upper bounds, and raise --max-iter, --tol or --certify\n"
    )


def test_stdout_holds_only_json_even_if_there_are_warnings(probe, nanogpt):
    outcome = probe("--model", nanogpt, "--sequences", 2, "--seq-len", 8, "--max-iter", 2, "--json")
    assert outcome.status == 0 and "warning" in outcome.stderr
    assert all(row["converged"] == [False, False] for row in json.loads(outcome.stdout)["rows"])


def test_progress_is_shown_on_a_terminal_and_erased_at_the_end(probe, llama, tokens):
    # The layers of a site are measured together: three of the residual, two of each other site.
    command = probe.command(["--model", llama, "--data", tokens, "--site", "residual,attn_in,ffn_in"])
    status, stdout, stderr = programs.execute_on_terminal(command, probe.folder)
    assert status == 0
    assert [(int(done), int(total)) for done, total in PROGRESS.findall(stderr)] == [(3, 7), (5, 7), (7, 7)]
    assert re.search(rb"probing: 5 of 7, \d+ s left", stderr)
    assert stderr.endswith(b"\r\x1b[K")
    assert "left" not in stdout and "\x1b" not in stdout


def test_only_the_result_is_printed_into_pipes(probe, llama, tokens):
    outcome = probe("--model", llama, "--data", tokens)
    assert outcome.stderr == ""
    assert "\r" not in outcome.stdout and "\x1b" not in outcome.stdout and "left" not in outcome.stdout


def test_help_names_every_option(probe):
    outcome = probe("--help", out=None)
    assert (outcome.status, outcome.stderr) == (0, "")
    for option in (
        *(
            "--model",
            "--layer",
            "--site",
            "--data",
            "--sequences",
            "--seq-len",
            "--unit",
            "--method",
            "--tol",
            "--max-iter",
        ),
        *(
            "--dtype",
            "--device",
            "--memory",
            "--vocab-size",
            "--certify",
            "--confidence",
            "--seed",
            "--check",
            "--out",
            "--overwrite",
            "--json",
            "--help",
        ),
    ):
        assert option in outcome.stdout, option
    assert "->" not in outcome.stdout  # CLI11 would show the numbers of enumerators
    assert list(probe.folder.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_result_that_cannot_be_printed_is_a_failure(probe, llama, tokens):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            probe.command(["--model", llama, "--data", tokens]),
            cwd=probe.folder, env=environment(), stdout=full, stderr=subprocess.PIPE, encoding="utf-8", timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "hessian-probe: stdout: the result cannot be printed: No space left on device\n"
