"""hessian-probe --target parameters: every matrix, and every quantity that is computed from it."""

import numpy
import pytest

import safetensors_file
import tiny_models

EXACT = ("--dtype", "float64", "--tol", 1e-9, "--max-iter", 2000)
NORM = "layers.0.attention_norm.weight"  # 16 entries, few enough for the whole spectrum
MATRICES = ("hessian", "ggn", "fisher", "mc-fisher", "fd-hessian")


class Spectra:
    """The datasets of one group in a run file."""

    def __init__(self, run, name):
        self.run, self.name = run, name

    def __getitem__(self, quantity):
        return self.run.datasets[f"/spectrum/{self.name}/{quantity}"]

    def density(self, quantity):
        return self.run.datasets[f"/density/{self.name}/{quantity}"]


@pytest.fixture
def spectra(probe, llama, tokens):
    def run(*options, name=NORM, model=llama, data=tokens):
        words = ("--target", "parameters", "--model", model, "--data", data, *EXACT, *options)
        return Spectra(probe.run(*words), name)

    return run


@pytest.mark.parametrize("matrix", MATRICES[:-1])  # without finite differences, which are too inaccurate for this
def test_the_whole_spectrum_of_a_small_tensor_agrees_with_every_estimate(spectra, matrix):
    options = ("--operator", matrix, "--params", NORM, "--top", 16, "--trace", "--diagonal", "--density", "--samples", 64)
    found = spectra(*options, "--vectors")
    values = found["lambda_upper"][0]
    assert found["entries"] == [16] and values.shape == (16,)
    assert (numpy.diff(values) <= 1e-12).all() and found["converged_upper"].all()
    if matrix != "hessian":  # semidefinite
        assert values.min() > -1e-12 * values.max()
        assert f"/spectrum/{NORM}/lambda_lower" not in found.run.datasets
    else:
        numpy.testing.assert_allclose(found["lambda_lower"][0], values[::-1], atol=1e-6 * abs(values).max())
    vectors = found["vectors_upper"][0]
    numpy.testing.assert_allclose(vectors @ vectors.T, numpy.eye(16), atol=1e-8)
    # All eigenpairs determine the matrix.
    dense = vectors.T @ numpy.diag(values) @ vectors
    for quantity, exact in {
        "trace": numpy.trace(dense),
        "frobenius_norm": numpy.linalg.norm(dense),
        "effective_rank": numpy.trace(dense) ** 2 / numpy.linalg.norm(dense) ** 2,
    }.items():
        assert abs(found[quantity][0] - exact) <= 5 * found[quantity + "_error"][0] + 1e-6 * abs(exact), quantity
    assert (abs(found["diagonal"][0] - numpy.diag(dense)) <= 6 * found["diagonal_error"][0] + 1e-6 * values.max()).all()
    # 16 steps exhaust 16 dimensions: Ritz values are eigenvalues.
    ritz = found.density("ritz_values")
    weights = found.density("ritz_weights")
    assert ritz.shape == weights.shape == (64, 16)
    numpy.testing.assert_allclose(weights.sum(1), 1, atol=1e-9)
    heavy = weights > 1e-6
    distances = abs(ritz[heavy][:, None] - values).min(1)
    assert distances.max() < 1e-6 * abs(values).max()
    grid, density = found.density("grid"), found.density("density")
    assert abs(numpy.trapezoid(density, grid) - 1) < 0.01
    assert (found.density("density_error") >= 0).all() and found.density("density_error").max() > 0


def test_the_matrices_differ_and_are_related_as_in_theory(spectra):
    options = ("--params", "layers.0.attention.*", "--trace", "hutchinson", "--samples", 100)
    trace = {
        matrix: spectra("--operator", matrix, *options, name="layers.0.attention.-")
        for matrix in MATRICES
    }

    def value(matrix):
        return trace[matrix]["trace"][0], trace[matrix]["trace_error"][0]

    # Differences of the gradient compute the same matrix, with the same random signs.
    assert abs(value("hessian")[0] - value("fd-hessian")[0]) < 1e-5 * abs(value("hessian")[0])
    # The expectation of a Fisher matrix with sampled labels is the Gauss-Newton matrix; one sample is within some tens of percent.
    assert 0.4 < value("mc-fisher")[0] / value("ggn")[0] < 2.5
    assert abs(value("hessian")[0] - value("ggn")[0]) > 1e-3 * abs(value("ggn")[0])
    assert abs(value("fisher")[0] - value("ggn")[0]) > 1e-3 * abs(value("ggn")[0])


def test_a_seed_chooses_the_labels_of_the_monte_carlo_fisher_matrix_and_changes_no_other_matrix(spectra):
    # The eigenvalues of a matrix do not depend on the start vectors, which the seed also chooses.
    def eigenvalues(matrix, seed):
        return spectra("--operator", matrix, "--params", NORM, "--top", 16, "--seed", seed)["lambda_upper"][0]

    for matrix in ("ggn", "fisher"):
        first, second = eigenvalues(matrix, 0), eigenvalues(matrix, 1)
        numpy.testing.assert_allclose(second, first, atol=1e-7 * abs(first).max())
    first, again, second = (eigenvalues("mc-fisher", seed) for seed in (0, 0, 1))
    numpy.testing.assert_array_equal(again, first)
    assert abs(second - first).max() > 1e-3 * abs(first).max()  # other labels


def test_the_traces_of_all_tensors_sum_to_that_of_the_model(spectra):
    config = tiny_models.configuration()
    names = list(tiny_models.shapes_of(config))
    options = ("--operator", "ggn", "--trace", "--samples", 50)
    whole = spectra(*options, name="all")
    parts = spectra(*options, "--params", ",".join(names), name="")
    total = sum(parts.run.datasets[f"/spectrum/{name}/trace"][0] for name in names)
    error = sum(parts.run.datasets[f"/spectrum/{name}/trace_error"][0] ** 2 for name in names) ** 0.5
    assert abs(total - whole["trace"][0]) < 5 * (error + whole["trace_error"][0])
    assert sum(parts.run.datasets[f"/spectrum/{name}/entries"][0] for name in names) == whole["entries"][0]


def test_a_small_memory_limit_gives_the_same_numbers(spectra):
    options = ("--params", "layers.1.*", "--top", 2)
    free = spectra(*options, name="layers.1.-")
    scarce = spectra(*options, "--memory", "3MiB", name="layers.1.-")
    for quantity in "lambda_upper", "lambda_lower":
        numpy.testing.assert_allclose(scarce[quantity], free[quantity], rtol=1e-6)


def test_a_checkpoint_has_the_sharpness_that_its_run_recorded(train, probe):
    rows = tiny_models.write_tokens(train.folder / "rows.safetensors", 31, sequences=20, length=12)
    changes = {
        # Nine tokens of the vocabulary do not occur, so that no update moves their embeddings.
        **{"data.source": "rows.safetensors", "data.seq_len": 12, "model.vocab_size": 40, "dtype": "float64"},
        **{"steps": 6, "probe.every": 6, "probe.sequences": 2, "probe.sharpness": True, "probe.tolerance": 1e-8},
        **{"optimizer.clip": 0.1},
        **{"probe.max_iterations": 2000, "validation.sequences": 2},
    }
    outcome = train.done(changes)
    recorded = outcome.run
    tensors, _ = safetensors_file.read(rows)  # the last tenth is held out, two sequences
    held_out = {name: values[18:] for name, values in tensors.items()}
    safetensors_file.write(train.folder / "held-out.safetensors", held_out)
    options = ("--target", "parameters", "--model", "run/checkpoint-00000006.safetensors", "--top", 1)
    options += ("--data", "held-out.safetensors", *EXACT)
    for kind, more in {"sharpness": (), "preconditioned_sharpness": ("--adam",)}.items():
        found = Spectra(probe.run(*options, *more), "all")
        expected = recorded.datasets[f"/probe/{kind}/lambda_max"][-1]
        assert abs(found["lambda_upper"][0, 0] - expected) < 1e-6 * expected, kind
    for quantity in "left_out", "clip_factor":
        assert found[quantity][0] == recorded.datasets[f"/probe/preconditioned_sharpness/{quantity}"][-1]
    assert found["left_out"][0] >= 9 * 16 and 0 < found["clip_factor"][0] < 1
    tensors, _ = outcome.checkpoint(6)
    unmoved = sum((values == 0).sum() for name, values in tensors.items() if name.startswith("optimizer.exp_avg_sq."))
    assert found["left_out"][0] == unmoved
    weights = sum(values.size for name, values in tensors.items() if name.startswith("optimizer.exp_avg."))
    assert found["entries"][0] + found["left_out"][0] == weights


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--params", "layers.9.*", "--top", 1), 2, "'layers.9.*'"),
        ((), 2, "--target parameters needs one of --top, --density, --trace and --diagonal"),
        (("--trace", "--vectors"), 2, "--vectors stores the eigenvectors of --top; give --top"),
        (("--decompose",), 2, "--decompose is for --target activations"),
        (("--top", 1, "--adam"), 1, "model.safetensors: "),
        (("--top", 1, "--operator", "kfac"), 2, "--operator"),
        (("--top", 1, "--trace", "xtrace"), 2, "--trace"),
        (("--top", 1, "--params", "layers.*,layers.*"), 2, "two globs have the name 'layers.-'"),
        (("--density", "--memory", "64KiB"), 1, "give --memory "),
    ],
)
def test_impossible_requests_are_refused_in_one_line(probe, llama, tokens, options, status, words):
    base = ("--target", "parameters", "--model", llama, "--data", tokens)
    assert words in probe.fails(status, *base, *options)
