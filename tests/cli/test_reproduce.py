"""hessian-reproduce at its smoke scale: the claims agree with its run files, and a repeated run reuses them."""

import csv
import re
import shutil
import signal
import subprocess
from pathlib import Path

import h5py
import numpy
import pytest

import programs
import sweep_runs
from probe_runs import RunFile
from programs import environment, program

FAMILIES = ("gpt2", "llama2", "llama3")
SIZES = ("small", "medium", "large")
PLACEMENTS = ("prenorm", "preqknorm", "simplegpt")
# Runs of one thread each, two at a time.
TWO_RUNS = {"OMP_NUM_THREADS": "2"}


class Outcome(programs.Outcome):
    name = "hessian-reproduce"


def command(*arguments):
    return [program("hessian-reproduce"), "--scale", "smoke", "--out", "out", *map(str, arguments)]


def reproduce(folder, *arguments, timeout=600):
    return Outcome(*programs.execute(command(*arguments), folder, timeout, TWO_RUNS))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """All figures at the smoke scale. Read-only for tests: `smoke_copy` is a copy."""
    folder = tmp_path_factory.mktemp("smoke")
    done = reproduce(folder)
    assert done.status == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


def claims_of(folder):
    with open(folder / "out" / "claims.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def claim(folder, words):
    (found,) = [row for row in claims_of(folder) if words in row["claim"]]
    return found


def curvature_runs(folder, family):
    """Returns the run files of a family by placement and seed."""
    runs = {}
    for path in folder.glob(f"out/{family}-curvature/*/lr-*/seed-*/run.h5"):
        placement = path.parents[2].name.rsplit("-", 1)[1]
        runs[placement, path.parent.name] = RunFile(path)
    return runs


def test_every_claim_has_its_number_and_verdict(smoke):
    claims = claims_of(smoke)
    assert {row["figure"] for row in claims} == set("abcdefg")
    assert all(row["verdict"] in ("holds", "does not hold") for row in claims), claims
    assert all(row["here"] not in ("", "–") for row in claims)
    stdout = (smoke / "stdout.txt").read_text()
    for row in claims:
        assert f"({row['figure']}) {row['claim']}\n    paper: {row['the paper']}; here: {row['here']}\n    {row['verdict']}" in stdout
    assert stdout.endswith("report: out/report.html\n")


def test_slopes_agree_with_the_points(smoke):
    with h5py.File(smoke / "out" / "synthetic.h5", "r") as file:
        points = {name: file[f"/synthetic/{name}"][:] for name in ("map", "width", "weight_norm", "spectral_norm", "converged")}
    assert points["converged"].all()
    for name, words in ((b"linear", "linear map grows"), (b"simplenorm", "does not depend on")):
        chosen = (points["map"] == name) & (points["width"] == 64)
        slope = numpy.polyfit(numpy.log(points["weight_norm"][chosen]), numpy.log(points["spectral_norm"][chosen]), 1)[0]
        printed = float(re.search(r"slope (\S+)", claim(smoke, words)["here"]).group(1))
        assert printed == pytest.approx(slope, abs=6e-4)
        assert claim(smoke, words)["verdict"] == "holds", "the theory is exact here"


def test_orderings_of_norms_are_counted_from_the_run_files(smoke):
    holds = cases = 0
    for family in FAMILIES:
        runs = curvature_runs(smoke, family)
        assert len(runs) == len(PLACEMENTS) * 2
        for seed in {seed for _, seed in runs}:
            pre, qk, simple = (
                numpy.median(runs[placement, seed]["residual/spectral_norm"][1:], axis=2) for placement in PLACEMENTS
            )
            holds += ((simple < qk) & (qk < pre)).sum()
            cases += simple.size
    assert claim(smoke, "‖H_xx‖: SimpleNorm < ")["here"].startswith(f"{holds} of {cases} cases")


def test_drifts_cover_every_site(smoke):
    drifts = []
    for family in FAMILIES:
        of_seeds = []
        for (placement, _), run in curvature_runs(smoke, family).items():
            if placement == "simplegpt":
                sites = [path.split("/")[2] for path in run.datasets if path.endswith("/rms")]
                assert len(sites) == 5
                ratios = [run[f"{site}/rms"] / run[f"{site}/rms"][0] for site in sites]
                of_seeds.append(max(numpy.maximum(ratio, 1 / ratio).max() for ratio in ratios))
        drifts.append(numpy.median(of_seeds))
    printed = float(re.match(r"by a factor of (\S+) ", claim(smoke, "scales stable")["here"]).group(1))
    assert printed == pytest.approx(numpy.median(drifts), rel=5e-3)


def test_ratios_agree_with_the_sweeps(smoke):
    texts = []
    for family in FAMILIES:
        ratios = []
        for size in SIZES:
            with h5py.File(smoke / "out" / f"{family}-{size}" / "sweep.h5", "r", swmr=True) as file:
                assert file.attrs["finished"] == 1
                stable = {}
                for model, lr, status in zip(*(file[f"/sweep/{name}"][:] for name in ("model", "lr", "status"))):
                    if status == b"stable":
                        placement = model.decode().rsplit("-", 1)[1]
                        stable[placement] = max(stable.get(placement, 0), lr)
            ratios.append(stable["simplegpt"] / stable["prenorm"])
        texts.append(f"{family}: " + ", ".join(f"{ratio:.3g}" for ratio in ratios))
    assert claim(smoke, "largest stable learning rate of")["here"] == "; ".join(texts)


def test_costs_agree_with_the_step_times(smoke):
    with h5py.File(smoke / "out" / "step_times.h5", "r") as file:
        seconds = {}
        for model, round_, time_ in zip(*(file[f"/step_times/{name}"][:] for name in ("model", "round", "step_seconds"))):
            seconds.setdefault(model.decode().rsplit("-", 1)[1], {})[round_] = time_
    ratios = [seconds["simplegpt"][round_] / seconds["prenorm"][round_] for round_ in seconds["prenorm"]]
    assert f"{100 * (numpy.median(ratios) - 1):+.0f} %" in claim(smoke, "additional norms")["here"]


def test_the_page_shows_every_figure_and_its_command(smoke):
    page = (smoke / "out" / "report.html").read_text(encoding="utf-8")
    drawn = sorted(path.stem for path in (smoke / "out" / "figures").glob("*.svg"))
    assert page.count("<svg") == len(drawn) > 40
    assert all(f'<figure id="{name}"' in page for name in drawn)
    assert all((smoke / "out" / "figures" / f"{name}.csv").stat().st_size > 0 for name in drawn)
    for letter in "abcdefg":
        assert f"hessian-reproduce --scale smoke --out out --resume --figure {letter}" in page


def run_marks(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("out/*/*/lr-*/seed-*/run.h5")}


@pytest.fixture
def smoke_copy(smoke, tmp_path):
    shutil.copytree(smoke / "out", tmp_path / "out")
    return tmp_path


def test_resume_does_not_repeat_finished_runs(smoke_copy):
    before, marks = (smoke_copy / "out" / "claims.csv").read_bytes(), run_marks(smoke_copy)
    done = reproduce(smoke_copy, "--resume")
    assert done.status == 0, done.stderr
    assert (smoke_copy / "out" / "claims.csv").read_bytes() == before
    assert run_marks(smoke_copy) == marks


def test_existing_results_are_refused_without_resume_or_overwrite(smoke_copy):
    done = reproduce(smoke_copy)
    assert done.status == 1
    assert done.stderr.count("\n") == 1 and "already exists; use --resume to continue it or --overwrite" in done.stderr
    assert done.stdout == ""


def test_one_figure_can_be_repeated_and_the_page_keeps_the_others(smoke_copy):
    synthetic = smoke_copy / "out" / "synthetic.h5"
    before, marks = synthetic.stat().st_ino, run_marks(smoke_copy)
    done = reproduce(smoke_copy, "--overwrite", "--figure", "a")
    assert done.status == 0, done.stderr
    assert synthetic.stat().st_ino != before
    assert run_marks(smoke_copy) == marks
    assert {row["figure"] for row in claims_of(smoke_copy)} == set("abcdefg")


def test_hessian_sweep_resumes_the_sweeps_of_a_reproduction(smoke_copy):
    marks = run_marks(smoke_copy)
    command = [program("hessian-sweep"), "out/llama2-small.toml", "--resume"]
    done = sweep_runs.Outcome(*programs.execute(command, smoke_copy))
    assert done.status == 0, done.stderr
    assert run_marks(smoke_copy) == marks
    assert re.search(r"^llama2-\d+K-simplegpt ", done.stdout, re.M), done.stdout


def test_an_interrupted_reproduction_can_be_resumed(tmp_path):
    running = subprocess.Popen(
        command("--figure", "b"), cwd=tmp_path, env=environment(**TWO_RUNS), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip

    def three_runs_are_finished():
        return len([path for path in run_marks(tmp_path) if RunFile(path).attributes["finished"]]) >= 3

    programs.wait_until(three_runs_are_finished, process=running, seconds=120, pause=0.05)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 1, stderr
    assert "ordering" in stdout, "the existing results are shown"
    page = tmp_path / "out" / "report.html"
    assert "not finished" in page.read_text(encoding="utf-8") or "not there yet" in page.read_text(encoding="utf-8")
    finished = {path: mark for path, mark in run_marks(tmp_path).items() if RunFile(path).attributes["finished"]}
    done = reproduce(tmp_path, "--figure", "b", "--resume")
    assert done.status == 0, done.stderr
    after = run_marks(tmp_path)
    assert len(after) == 18 and all(after[path] == mark for path, mark in finished.items())


@pytest.mark.parametrize("scale", ["smoke", "cpu", "gpu"])
def test_the_plan_lists_the_runs_without_running_them(tmp_path, scale):
    done = Outcome(*programs.execute([program("hessian-reproduce"), "--scale", scale, "--plan"], tmp_path))
    assert done.status == 0 and done.stderr == ""
    assert list(Path(tmp_path).iterdir()) == []
    assert re.search(r"^llama2-\w+: at most \d+ runs of \S+ parameters and \S+ tokens, \S+ flop$", done.stdout, re.M)
    if scale == "gpu":
        assert "llama2-1B" in done.stdout
        assert re.search(r"^not run: llama2-7B-simplegpt: 6.74e\+09 parameters, 60K steps", done.stdout, re.M)
        assert re.search(r"^not run: llama3-8B-simplegpt: 8.03e\+09 parameters", done.stdout, re.M)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--figure", "z", "--out", "out"], "--figure"),
        (["--scale", "huge", "--out", "out"], "--scale"),
        (["--resume", "--overwrite", "--out", "out"], "excludes"),
        ([], "--out is required"),
    ],
)
def test_usage_errors_are_one_line(tmp_path, arguments, message):
    done = Outcome(*programs.execute([program("hessian-reproduce"), *arguments], tmp_path))
    assert done.status == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
    assert list(Path(tmp_path).iterdir()) == []
