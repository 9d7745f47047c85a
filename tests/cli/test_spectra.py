"""hessian-probe --top, --density, --trace, --diagonal and --vectors, compared with a dense Hessian computed from losses only."""

import json

import numpy
import pytest

import job_runs
import second_differences
from probe_runs import Probe, RunFile

EVERYTHING = ("--top", 3, "--vectors", "--density", "--trace", "--diagonal", "--dtype", "float64")
SIZE = second_differences.SIZE


class Found:
    """A group of a run file, and the dense Hessian of its one sequence."""

    def __init__(self, run, dense):
        self.dense, self.run = dense, run
        self.eigenvalues = numpy.linalg.eigvalsh(dense)
        # Differences of losses have an error of STEP^2 = 2e-7 times a fourth derivative, some hundred times the second.
        self.tolerance = 1e-4 * abs(self.eigenvalues).max()

    def spectrum(self, name):
        return self.run.datasets[f"/spectrum/residual-0/{name}"][0]

    def density(self, name):
        return self.run.datasets[f"/density/residual-0/{name}"]


@pytest.fixture(scope="module", params=["prenorm", "simplegpt"])
def found(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    problem = second_differences.Problem(folder, request.param)
    probe = Probe(folder)
    common = ("--model", problem.model, "--dtype", "float64")
    moved = probe.run(*common, "--data", problem.moved, "--layer", 2, "--tol", 0.5)
    run = probe.run(
        *(*common, "--data", problem.sequence, "--layer", 0, "--tol", 1e-8),
        *("--top", SIZE, "--vectors", "--density", "--steps", SIZE, "--samples", 16, "--trace", "--diagonal"),
        out="spectra.h5",
    )
    return Found(run, problem.hessian(moved["loss"][0]))


def test_all_eigenvalues_agree_with_the_dense_hessian(found):
    assert found.spectrum("entries") == SIZE
    assert found.spectrum("lambda_lower") == pytest.approx(found.eigenvalues, abs=found.tolerance)
    assert found.spectrum("lambda_upper") == pytest.approx(found.eigenvalues[::-1], abs=found.tolerance)
    for end in ("upper", "lower"):
        assert (found.spectrum(f"converged_{end}") == 1).all()
        assert (found.spectrum(f"residual_{end}") <= 1e-8 * abs(found.eigenvalues).max()).all()


@pytest.mark.parametrize("end", ["upper", "lower"])
def test_vectors_are_unit_eigenvectors_of_the_dense_hessian(found, end):
    vectors, values = found.spectrum(f"vectors_{end}"), found.spectrum(f"lambda_{end}")
    assert vectors @ vectors.T == pytest.approx(numpy.eye(SIZE), abs=1e-10)
    assert vectors @ found.dense == pytest.approx(values[:, None] * vectors, abs=found.tolerance)


def test_estimates_agree_with_the_dense_hessian_within_their_errors(found):
    values = found.eigenvalues
    exact = {
        "trace": values.sum(),
        "frobenius_norm": numpy.linalg.norm(values),
        "effective_rank": values.sum() ** 2 / (values**2).sum(),
    }
    for name, value in exact.items():
        error = found.spectrum(f"{name}_error")
        # Five standard errors of 64 samples, and the error of the differences.
        assert abs(found.spectrum(name) - value) < 5 * error + 1e-3 * abs(value) + found.tolerance, name
    diagonal, error = found.spectrum("diagonal"), found.spectrum("diagonal_error")
    assert (abs(diagonal - found.dense.diagonal()) < 5 * error + found.tolerance).all()
    assert (error > 0).all() and (error < abs(values).max()).all()
    assert abs(diagonal.sum() - exact["trace"]) < 5 * numpy.linalg.norm(error) + found.tolerance * SIZE


def test_as_many_steps_as_entries_find_the_eigenvalues_in_every_sample(found):
    nodes, weights = found.density("ritz_values"), found.density("ritz_weights")
    assert nodes.shape == weights.shape == (16, SIZE)
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-12)
    there = numpy.isfinite(nodes)
    assert there[:, 0].all() and (weights[~there] == 0).all()
    distances = abs(nodes[there][:, None] - found.eigenvalues).min(axis=1)
    assert distances.max() < found.tolerance


def test_the_density_is_the_mean_of_gaussians_at_the_ritz_values(found):
    nodes, weights = found.density("ritz_values"), found.density("ritz_weights")
    grid, width, threshold = found.density("grid"), found.density("width")[0], found.density("zero_threshold")[0]
    weights, nodes = numpy.where(numpy.isfinite(nodes), weights, 0), numpy.nan_to_num(nodes)
    gaussians = numpy.exp(-(((grid[:, None, None] - nodes) / width) ** 2) / 2) / (width * (2 * numpy.pi) ** 0.5)
    samples = (gaussians * weights).sum(axis=2)
    assert found.density("density") == pytest.approx(samples.mean(axis=1), rel=1e-9)
    errors = samples.std(axis=1, ddof=1) / 16**0.5
    assert found.density("density_error") == pytest.approx(errors, rel=1e-6, abs=1e-9 * errors.max())
    assert width == pytest.approx((nodes.max() - nodes.min()) / 100)
    shares = (weights * (abs(nodes) <= threshold)).sum(axis=1)
    assert found.density("mass_near_zero")[0] == pytest.approx(shares.mean(), abs=1e-12)
    assert found.density("mass_near_zero_error")[0] == pytest.approx(shares.std(ddof=1) / 16**0.5, abs=1e-12)


def test_the_first_of_few_eigenvalues_agree_with_an_ordinary_probe(probe, llama, tokens):
    options = ("--model", llama, "--data", tokens, "--dtype", "float64", "--tol", 1e-8)
    plain = probe.run(*options, "--ends", "both")
    few = probe.run(*options, "--top", 3, "--block-width", 2)
    for layer in range(3):
        upper = few.datasets[f"/spectrum/residual-{layer}/lambda_upper"]
        lower = few.datasets[f"/spectrum/residual-{layer}/lambda_lower"]
        assert upper.shape == lower.shape == (2, 3)
        assert (numpy.diff(upper) <= 0).all() and (numpy.diff(lower) >= 0).all()
        assert upper[:, 0] == pytest.approx(plain["residual/lambda_max"][0, layer], rel=1e-6)
        assert lower[:, 0] == pytest.approx(plain["residual/lambda_min"][0, layer], rel=1e-6)
        assert few.datasets[f"/spectrum/residual-{layer}/entries"] == 96


def test_the_unit_token_has_as_many_eigenvalues_as_features(probe, llama, tokens):
    options = ("--model", llama, "--data", tokens, "--dtype", "float64")
    run = probe.run(*options, "--unit", "token", "--layer", 1, "--top", 40)
    upper, lower = (run.datasets[f"/spectrum/residual-1/lambda_{end}"] for end in ("upper", "lower"))
    assert upper.shape == (2, 16)
    assert upper == pytest.approx(lower[:, ::-1], abs=1e-3 * abs(upper).max())


def test_the_file_holds_only_the_requested_quantities(probe, llama, tokens):
    run = probe.run("--model", llama, "--data", tokens, "--layer", 1, "--site", "ffn_in", "--diagonal", "--samples", 2)
    assert {path for path in run.datasets if not path.startswith("/probe/")} == {
        f"/spectrum/ffn_in-1/{name}" for name in ("entries", "diagonal", "diagonal_error")
    }
    assert run["step"] == [0] and run["loss"].shape == (1, 2)
    for path in run.datasets:
        assert run.dataset_attributes[path]["long_name"] and run.dataset_attributes[path]["units"]


def same(said, stored):
    """Returns whether the numbers of JSON, in which null stands for NaN, equal those of the file."""
    said = numpy.array(said, dtype=float)
    return said.shape == stored.shape and numpy.array_equal(said, stored.astype(float), equal_nan=True)


def test_json_has_the_numbers_of_the_file(probe, llama, tokens):
    outcome = probe("--model", llama, "--data", tokens, "--layer", "1,2", *EVERYTHING, "--decompose", "--json")
    assert outcome.status == 0 and outcome.stderr == ""
    report, run = json.loads(outcome.stdout), outcome.run
    assert report["loss"] == pytest.approx(run["loss"].mean())
    assert [group["name"] for group in report["groups"]] == ["residual-1", "residual-2"]
    for group in report["groups"]:
        assert (group["entries"], group["blocks"]) == (96, 2)
        names = {"spectrum": set(), "density": set()}
        for path, values in run.datasets.items():
            kind, name, quantity = (path.split("/")[1:] + ["", ""])[:3]
            if kind in names and name == group["name"] and quantity != "entries" and "vectors" not in quantity:
                names[kind].add(quantity)
                if "diagonal" not in quantity:
                    assert same(group[quantity], values), path
        assert {"lambda_upper", "converged_lower", "trace_error", "diagonal"} <= names["spectrum"]
        assert {"grid", "density_error", "ritz_weights", "mass_near_zero"} <= names["density"]
        assert not any("vectors" in name or "diagonal" in name for name in group), "they are for the file alone"
    assert len(report["maps"]) == 7
    for row, entry in enumerate(report["maps"]):
        assert entry["map"] == run.datasets["/anatomy/map"][row].decode()
        assert entry["layer"] == run.datasets["/anatomy/layer"][row] == 1
        for name in ("gain_norm", "gain_residual", "curvature_norm", "norm", "residual", "cosine", "converged"):
            assert same(entry[name], run.datasets[f"/anatomy/{name}"][row]), name


def test_two_processes_find_the_same_numbers_as_one(llama, tokens, tmp_path):
    command = Probe(tmp_path).command(
        ("--model", llama, "--data", tokens, "--layer", "all", *EVERYTHING, "--decompose", "--tol", 1e-7), out=None
    )
    job_runs.done([*command, "--out", "one.h5"], 1, tmp_path)
    said = job_runs.done([*command, "--out", "two.h5", "--json"], 2, tmp_path)
    one, two = RunFile(tmp_path / "one.h5").datasets, RunFile(tmp_path / "two.h5").datasets
    assert two.keys() == one.keys() and len(json.loads(said)["groups"]) == 3
    for path, values in one.items():
        # Each group is computed by one process.
        numpy.testing.assert_array_equal(two[path], values, err_msg=path)


def test_pairs_that_did_not_converge_are_marked_and_reported(probe, llama, tokens):
    outcome = probe("--model", llama, "--data", tokens, "--layer", 1, "--top", 2, "--max-iter", 4, "--tol", 1e-9)
    assert outcome.status == 0
    run = outcome.run.datasets
    open_pairs = sum((run[f"/spectrum/residual-1/converged_{end}"] == 0).sum() for end in ("upper", "lower"))
    assert open_pairs > 0
    assert outcome.stderr.startswith(f"hessian-probe: warning: {open_pairs} eigenpairs did not converge (marked *)")
    assert outcome.stdout.count("not converged *") == 2


def test_an_existing_file_is_kept(probe, llama, tokens):
    before = probe.run("--model", llama, "--data", tokens, "--layer", 1, "--top", 1)
    outcome = probe("--model", llama, "--data", tokens, "--layer", 1, "--top", 2)
    assert outcome.status == 1 and "run.h5" in outcome.error_line() and "--overwrite" in outcome.error_line()
    assert outcome.run.datasets.keys() == before.datasets.keys()


PARAMETERS_ALONE = "--operator, --params and --adam are for --target parameters; activations have only a Hessian"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--operator", "ggn", "--top", 1], PARAMETERS_ALONE),
        (["--params", "layers.0.*", "--top", 1], PARAMETERS_ALONE),
        (["--adam", "--density"], PARAMETERS_ALONE),
        (["--target", "parameters", "--decompose"], "--decompose is for --target activations"),
        (
            ["--target", "parameters"],
            "--target parameters needs one of --top, --density, --trace and --diagonal",
        ),
    ],
)
def test_incompatible_options_are_refused(probe, llama, tokens, arguments, message):
    assert probe.fails(2, "--model", llama, "--data", tokens, *arguments) == message


@pytest.mark.parametrize("option", ["--top", "--steps", "--samples", "--block-width"])
def test_counts_must_be_positive(probe, llama, option):
    line = probe.fails(2, "--model", llama, "--density", option, 0)
    assert line == f"{option}: '0' is not a whole number from 1 on; see hessian-probe --help"


def test_unknown_words_are_refused_with_the_accepted_ones(probe, llama):
    for option, word in (("--trace", "girard"), ("--operator", "jacobian"), ("--target", "weights")):
        line = probe.fails(2, "--model", llama, f"{option}={word}")
        assert line.startswith(f"{option}: {word} not in {{") and line.endswith("; see hessian-probe --help")
