"""hessian-plot of spectra, densities, estimates and decompositions, from the files of the real hessian-probe."""

import re

import numpy
import pytest

import tiny_models
from probe_runs import Probe, RunFile

ASKED = ("--layer", "0,1", "--top", 3, "--density", "--trace", "--samples", 4, "--decompose", "--dtype", "float64")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tokens):
    folder = tmp_path_factory.mktemp("spectra")
    paths = {}
    for placement in ("prenorm", "simplegpt"):
        model = tiny_models.write(folder / f"{placement}.safetensors", tiny_models.configuration(placement=placement))
        Probe(folder).run("--model", model, "--data", tokens, *ASKED, out=f"{placement}.h5")
        paths[placement] = folder / f"{placement}.h5"
    return paths


OF_SPECTRA = {
    *("eigenvalues-by-block-residual", "eigenvalues-residual-0", "eigenvalues-residual-1"),
    *("trace-residual", "frobenius-norm-residual", "effective-rank-residual"),
    *("density-by-block-residual", "density-residual-0", "density-residual-1"),
}
OF_MAPS = {"anatomy-gain", "anatomy-curvature", "anatomy-ratio", "anatomy-cosine"}


def test_draws_every_figure_of_a_file_with_spectra(plot, runs):
    outcome = plot.done(runs["simplegpt"])
    assert {name.removesuffix(".svg") for name in outcome.names()} == OF_SPECTRA | OF_MAPS
    listed = plot.done("--list", runs["simplegpt"], out=None).stdout.splitlines()[-1]
    assert set(listed.removeprefix("  figures: ").split(", ")) == OF_SPECTRA | OF_MAPS
    bare = plot.done("--list", runs["prenorm"], out=None).stdout.splitlines()[-1]
    assert set(bare.removeprefix("  figures: ").split(", ")) == OF_SPECTRA | {"anatomy-gain"}, "C is zero everywhere"


def test_the_numbers_are_those_of_the_file(plot, runs):
    outcome = plot.done(runs["simplegpt"], "--csv", "--format", "none")
    run = RunFile(runs["simplegpt"]).datasets
    for layer in (0, 1):
        group = {path.split("/")[-1]: values for path, values in run.items() if f"/residual-{layer}/" in path}
        for end, word in (("upper", "largest"), ("lower", "smallest")):
            x, y, low, high = outcome.curve(f"eigenvalues-residual-{layer}", word)
            values, errors = group[f"lambda_{end}"], group[f"residual_{end}"]
            assert list(x) == [1, 2, 3] and y == pytest.approx(numpy.median(values, axis=0))
            assert low == pytest.approx((values - errors).min(axis=0))
            assert high == pytest.approx((values + errors).max(axis=0))
        x, y, low, high = outcome.curve(f"density-residual-{layer}", "simplegpt.h5")
        assert (x == group["grid"]).all() and (y == group["density"]).all()
        assert high - y == pytest.approx(group["density_error"], abs=1e-12 * y.max())
        x, *_ = outcome.curve(f"density-residual-{layer}", "Ritz values")
        assert sorted(x) == sorted(group["ritz_values"][numpy.isfinite(group["ritz_values"])])
        for name in ("trace", "frobenius_norm", "effective_rank"):
            x, y, low, high = outcome.curve(f"{name.replace('_', '-')}-residual", "simplegpt.h5")
            # An effective rank near a trace of zero is not determined, and left out of the mean.
            used = group.get(f"{name}_determined", numpy.ones(2)) == 1
            assert y[list(x).index(layer)] == pytest.approx(group[name][used].mean())
            error = numpy.linalg.norm(group[f"{name}_error"][used]) / used.sum()
            assert (high - low)[list(x).index(layer)] == pytest.approx(2 * error)
    anatomy = {path[len("/anatomy/") :]: values for path, values in run.items() if path.startswith("/anatomy/")}
    rows = anatomy["map"] == b"feed_forward.sn2"
    for figure, values in (
        ("anatomy-gain", anatomy["gain_norm"]),
        ("anatomy-curvature", anatomy["curvature_norm"]),
        ("anatomy-ratio", anatomy["curvature_norm"] / anatomy["gain_norm"]),
        ("anatomy-cosine", anatomy["cosine"]),
    ):
        x, y, low, high = outcome.curve(figure, "feed_forward.w2")
        assert list(x) == [0, 1] and y == pytest.approx(numpy.median(values[rows], axis=1))
        assert low == pytest.approx(values[rows].min(axis=1)) and high == pytest.approx(values[rows].max(axis=1))


def test_several_runs_are_overlaid_map_by_map(plot, runs):
    outcome = plot.done(*runs.values(), "--csv", "--report")
    terms = {f"anatomy-terms-{name}" for name in ("attention.wq", "attention.wo", "feed_forward.w1", "feed_forward.w2")}
    names = {name.rpartition(".")[0] for name in outcome.names()}
    assert terms <= names and {"density-by-block-residual-1", "density-by-block-residual-2"} <= names
    labels = {row[0] for row in outcome.table("anatomy-terms-feed_forward.w2")}
    curved = [label for label in labels if label.endswith(", C")]
    assert len(labels) == 3 and len(curved) == 1 and "simplegpt" in curved[0], "PreNorm's maps have no C"
    page = (outcome.out / "report.html").read_text(encoding="utf-8")
    for words in ("spectral densities", "effective rank", "at linear maps", "feed_forward.sn2", "attention.wq"):
        assert words in page
    entries = re.findall(r"<td>residual-[01]</td>\s*<td>96</td>", page)
    assert len(entries) == 4, "two runs of two layers"
