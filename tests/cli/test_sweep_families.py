"""A sweep over narrowed models of other families than Llama."""

from sweep_runs import ENDED, GRID, SweepFile

# The numbers of parameters with PreNorm at width 16, with 2 heads, one layer and a vocabulary of bytes. The embedding, 256 x 16,
# is counted twice in Pythia, where the head is not tied.
# - Gemma: heads of 8, of which 7.1 would be the share of the published size; one key/value head; 3 x 16 x 64 in the gate.
# - Pythia: 12 x 16^2 in the maps, 9 x 16 in their biases, and three LayerNorms with biases.
GEMMA, PYTHIA = "gemma2-8.0K-sandwich", "pythia-12K-prenorm"


def test_a_sweep_compares_families_by_their_own_placements(sweep):
    outcome = sweep(
        settings=(
            "sweep.models=['new:gemma2-2b', 'new:pythia-70m']",
            "sweep.seeds=[0]",
            "sweep.bisect=false",
            "model.window=5",
        )
    )
    assert outcome.status == 0, outcome.stderr
    rows = SweepFile(sweep.out / "sweep.h5").rows()
    assert {row["model"] for row in rows} == {GEMMA, PYTHIA}
    for model in (GEMMA, PYTHIA):
        runs = [row for row in rows if row["model"] == model]
        assert [row["lr"] for row in runs] == GRID
        assert (sweep.out / model).is_dir()
        assert model in outcome.stdout
        # A fresh model guesses: log 256 is 5.55 nats.
        assert all(abs(row["initial_loss"] - 5.6) < 0.4 for row in runs), runs
    assert len(ENDED.findall(outcome.stderr)) == len(rows)
