"""hessian-probe --decompose: the Hessian at the input of each linear map as J^T H_zz J + C."""

import numpy
import pytest

import tiny_models

MAPS = {
    "prenorm": ["attention.wq", "attention.wk", "attention.wv", "attention.wo"]
    + ["feed_forward.w1", "feed_forward.w3", "feed_forward.w2"],
    "simplegpt": ["attention.snq", "attention.snk", "attention.snv", "attention.sno"]
    + ["feed_forward.sn1", "feed_forward.sn3", "feed_forward.sn2"],
}


def dissect(probe, tokens, placement, *options):
    model = tiny_models.write(probe.folder / f"{placement}.safetensors", tiny_models.configuration(placement=placement))
    common = ("--model", model, "--data", tokens, "--dtype", "float64", "--tol", 1e-7)
    outcome = probe(*common, "--decompose", *options, out=f"{placement}.h5")
    assert outcome.status == 0, outcome.stderr
    anatomy = {path[len("/anatomy/") :]: values for path, values in outcome.run.datasets.items() if "anatomy" in path}
    return outcome, anatomy, common


@pytest.mark.parametrize("placement", MAPS)
def test_every_map_of_every_layer_has_a_row(probe, tokens, placement):
    outcome, anatomy, _ = dissect(probe, tokens, placement, "--layer", "all")
    assert sorted(anatomy["map"].astype(str)) == sorted(2 * MAPS[placement])
    assert (anatomy["layer"] == [0] * 7 + [1] * 7).all()
    assert (anatomy["normalised"] == (placement == "simplegpt")).all()
    assert (anatomy["converged"] == 1).all() and anatomy["norm"].shape == (14, 2)
    rows = [line.split() for line in outcome.stdout.splitlines()[2:16]]
    for row, name, layer, gain, norm in zip(
        rows, anatomy["map"].astype(str), anatomy["layer"], anatomy["gain_norm"], anatomy["norm"]
    ):
        assert row[:3] == [str(layer), name, f"{numpy.median(gain):.4e}"]
        assert row[4] == f"{numpy.median(norm):.4e}"


def test_a_map_without_a_norm_has_only_the_gain_term(probe, tokens):
    _, anatomy, _ = dissect(probe, tokens, "prenorm", "--layer", "all")
    assert (anatomy["curvature_norm"] == 0).all() and numpy.isnan(anatomy["cosine"]).all()
    assert anatomy["norm"] == pytest.approx(anatomy["gain_norm"], rel=1e-6)
    assert (anatomy["gain_norm"] > 0).all()


def test_a_norm_after_a_map_adds_a_curvature_term(probe, tokens):
    _, anatomy, _ = dissect(probe, tokens, "simplegpt", "--layer", 0)
    gain, curvature, norm, cosine = (anatomy[name] for name in ("gain_norm", "curvature_norm", "norm", "cosine"))
    assert (gain > 0).all() and (curvature > 0).all()
    slack = 1 + 1e-6
    assert (norm <= slack * (gain + curvature)).all() and (slack * norm >= abs(gain - curvature)).all()
    assert ((cosine >= 0) & (cosine <= slack)).all() and numpy.unique(cosine).size == cosine.size
    for name, size in (("gain_residual", gain), ("curvature_residual", curvature), ("residual", norm)):
        assert (anatomy[name] <= 1e-7 * size * slack).all(), name


@pytest.mark.parametrize("placement", MAPS)
def test_the_sum_of_both_terms_is_the_hessian_at_a_site_that_one_map_reads(probe, tokens, placement):
    _, anatomy, common = dissect(probe, tokens, placement, "--layer", "all")
    sites = probe.run(*common, "--site", "attn_proj_in,ffn_down_in")
    for site, place in (("attn_proj_in", 3), ("ffn_down_in", 6)):
        rows = anatomy["map"].astype(str) == MAPS[placement][place]
        assert anatomy["norm"][rows] == pytest.approx(sites[f"{site}/spectral_norm"][0], rel=1e-6), site


def test_the_scale_of_a_normalised_weight_changes_neither_term(probe, tokens):
    config = tiny_models.configuration(placement="simplegpt")
    tensors = tiny_models.draw(config)
    norms = []
    for factor in (1, 8):
        for name in ("attention.snv", "feed_forward.sn2"):
            tensors[f"layers.1.{name}.lin.weight"] = tensors[f"layers.1.{name}.lin.weight"] * numpy.float32(factor)
        model = tiny_models.write(probe.folder / "scaled.safetensors", config, tensors)
        options = ("--model", model, "--data", tokens, "--layer", 1, "--decompose", "--dtype", "float64", "--tol", 1e-7)
        run = probe.run(*options)
        norms.append([run.datasets[f"/anatomy/{term}_norm"] for term in ("gain", "curvature")])
    # Except for the epsilon of the norm, 1e-5 added to a mean square near 1.
    assert norms[1][0] == pytest.approx(norms[0][0], rel=1e-3)
    assert norms[1][1] == pytest.approx(norms[0][1], rel=1e-3)


def test_the_last_residual_has_no_maps(probe, llama, tokens):
    line = probe.fails(2, "--model", llama, "--data", tokens, "--layer", 2, "--decompose")
    assert line == "--decompose: --layer '2' is only the input of the final norm, which has no linear maps"
