import numpy as np
import pytest
import torch
import xarray as xr

from lib.checks import BadSetting
from lib.memory import hopfield as networks
from lib.studies import hopfield as studies


def test_letters_are_eight_different_pictures():
    letters = studies.glyphs()
    assert letters.shape == (8, 192)
    assert len(torch.unique(letters, dim=0)) == 8
    picture = letters[list(studies.GLYPHS).index("L")].reshape(studies.SHAPE)
    assert picture[:10, 2:6].min() == 1  # the stroke on the left, the foot below, nothing elsewhere
    assert picture[10:, 2:14].min() == 1
    assert picture.sum() == 10 * 4 + 2 * 12


@pytest.mark.parametrize("patterns", ["glyphs", "odors"])
def test_the_first_pattern_does_not_depend_on_how_many_are_stored(patterns):
    few, many = (studies.stored_patterns(patterns, n, np.random.default_rng(0)) for n in (2, 20))
    assert len(many) == 20
    assert torch.equal(many[:2], few)


def test_a_moved_pattern_has_the_same_activity_and_the_share_asked_for():
    bits = studies.glyphs()[0]
    cue = studies.moved(bits, 0.25, np.random.default_rng(0))
    assert cue.sum() == bits.sum()
    assert int(((bits == 1) & (cue == 0)).sum()) == round(0.25 * float(bits.sum()))
    assert torch.equal(studies.moved(bits, 0.0, np.random.default_rng(0)), bits)


def test_recall_comes_back_or_fails():
    back = studies.recall("glyphs", "modern", 8, 0.3)
    assert back.own[0] < 0.6
    assert back.own[-1] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(back.state[-1], back.stored, atol=0.05)
    lost = studies.recall("glyphs", "classic", 8, 0.3)
    assert lost.own[-1] < 0.9
    assert lost.other[-1] > lost.own[-1]
    assert back.other[-1] < 0.9  # the pattern itself is not among the others
    with pytest.raises(BadSetting, match="network"):
        studies.recall("glyphs", "quantum", 8, 0.3)


def test_recall_updates_neuron_by_neuron():
    """Two neurons that inhibit each other would exchange their states for ever if both moved at once."""
    drawn, spoiled, order = np.random.default_rng(3).spawn(3)
    bits = studies.stored_patterns("glyphs", 6, drawn)
    net = networks.Classic.store(bits)
    states = net.encode(studies.moved(bits[0], 0.45, spoiled)[None])
    found = studies.recall("glyphs", "classic", 6, 0.45, seed=3)
    at_once = net.decode(net.step(states))[0].reshape(studies.SHAPE).flip(0)
    states = net.sweep(order, states)
    np.testing.assert_array_equal(found.state[1], net.decode(states)[0].reshape(studies.SHAPE).flip(0))
    assert not np.array_equal(found.state[1], at_once)


def test_overlap_is_the_correlation_of_the_pictures():
    found = studies.recall("odors", "sparse", 4, 0.4)
    for step in found.step.values:
        expected = np.corrcoef(found.state.sel(step=step).values.ravel(), found.stored.values.ravel())[0, 1]
        assert float(found.own.sel(step=step)) == pytest.approx(expected, abs=1e-5)


def test_held_patterns_are_where_the_share_is_a_half():
    loads = np.geomspace(0.01, 1, 30)
    share = (["kind", "load"], [1 / (1 + (loads / 0.2) ** 3), np.ones(30)])
    held = studies.held_patterns(xr.Dataset({"share": share}, coords={"load": loads, "n_neurons": 50}))
    assert float(held[0]) == pytest.approx(50 * 0.2, rel=0.01)
    assert np.isnan(held[1])


def test_capacity_curves_lie_near_their_closed_forms():
    """N = 100, four seeds: shares within .12 on average, the cue's overlap after one step within .06 at every load."""
    runs = [studies.capacity(100, [0.4, 1.0], seed=s) for s in range(4)]
    found = xr.concat(runs, xr.Variable("seed", range(4))).expand_dims(n_neurons=[100])
    curves = studies.capacity_curves(found).squeeze("n_neurons")
    exact = curves.sel(criterion="every bit")
    for kind in ("classic", "dense", "sparse"):
        expected = np.interp(np.log(exact["load"]), np.log(exact.fine), exact[f"{kind}_theory"])
        assert abs(exact[kind] - expected).mean() < 0.12
    assert (curves.modern == 1).all()
    lenient = curves.sel(criterion="98 % of the bits").classic
    assert (lenient >= exact.classic).all()
    assert float((lenient - exact.classic).max()) > 0.2
    for kind in ("classic", "dense", "sparse"):
        assert float(exact[f"held_{kind}"]) == pytest.approx(float(exact[f"held_{kind}_theory"]), rel=0.25)
    assert np.isnan(curves.held_classic_theory.sel(criterion="98 % of the bits"))
    assert 10 < float(exact.held_classic) < 25  # N / (2 ln N) is 11, to leading order
    for cue in (0.4, 1.0):
        loads = [round(load * 100) / 100 for load in studies.LOADS]
        expected = networks.one_step_overlap(cue, np.array(loads))
        np.testing.assert_allclose(curves.one_step.sel(cue=cue), expected, atol=0.06)
    assert float(curves.settled[0]) > 0.99 > 0.6 > float(curves.settled[-1])
    assert curves.edge.values == pytest.approx(0.1379, abs=1e-3)


def test_cues_share_their_draws():
    """So that a kernel's answer for one cue is that of the page for several."""
    both, one = studies.capacity(50, [0.3, 0.8], load=(0.1, 0.4)), studies.capacity(50, [0.8], load=(0.1, 0.4))
    xr.testing.assert_equal(both.sel(cue=[0.8]), one)
