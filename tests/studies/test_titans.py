"""The rules on streams of odors and of random pairs."""

import numpy as np
import pytest
import torch
import xarray as xr

from lib.checks import BadSetting
from lib.memory import titans
from lib.studies import titans as studies

SMALL = dict(n_neurons=200, n_glomeruli=20)


@pytest.fixture(scope="module")
def stream():
    return studies.odor_stream(**SMALL, forgetting=[0.002, 0.02], n_odors=400, sample=40, seed=3)


def test_titans_are_the_online_rules_on_one_stream(monkeypatch):
    found = studies.distances(**SMALL, n_odors=150, sample=20, seed=1)
    assert found["hebbian"] < 1e-6 and found["sgd"] < 1e-12
    other = titans.rule("gated delta rule", 0.002, 0.002)  # were the memory another rule, the distance would say so
    monkeypatch.setattr(studies, "rule", lambda *settings: other)
    assert min(studies.distances(**SMALL, n_odors=150, sample=20, seed=1).values()) > 1e-3


def test_a_stream_is_the_same_until_it_changes(stream):
    half = stream.sizes["presentations"] // 2
    before = stream.isel(presentations=slice(half))
    for name in ("drive", "response"):
        for change in studies.CHANGES:
            xr.testing.assert_equal(before[name].sel(change="nothing"), before[name].sel(change=change).assign_coords(
                change="nothing"))  # fmt: skip
        xr.testing.assert_equal(before[name], before[f"{name}_first"].rename(name))
        same = stream.sel(change="nothing")
        xr.testing.assert_equal(same[name], same[f"{name}_first"].rename(name))
    assert stream.presentations.values.tolist() == [8, 20, 40, 80, 160, 280, 400, 408, 420, 440, 480, 560, 680, 800]


def test_what_does_not_forget_does_not_depend_on_forgetting(stream):
    for name, (_, forgets, _) in titans.RULES.items():
        one, other = (stream.response.sel(rule=name, forgetting=alpha).values for alpha in (0.002, 0.02))
        assert np.array_equal(one, other) != forgets


def test_what_a_change_leaves_of_the_old_world(stream):
    """Decay forgets either world, the delta rule only the one that is contradicted, linear attention neither."""
    end = stream.isel(presentations=-1).sel(forgetting=0.02)
    old = end.drive_first
    assert old.sel(rule="linear attention with decay", change="odors") < 0.25
    assert old.sel(rule="delta rule", change="odors") > 0.4
    assert old.sel(rule="delta rule", change="wiring") < old.sel(rule="delta rule", change="odors") - 0.15
    assert old.sel(rule="linear attention", change="wiring") > old.sel(rule="delta rule", change="wiring") + 0.15
    now = end.drive.sel(change="wiring")
    assert now.sel(rule="linear attention") < now.sel(rule="linear attention with decay") - 0.1


def test_first_odors_teach_every_rule_the_same(stream):
    """Eight odors into an empty memory: prediction, momentum and forgetting hardly matter yet."""
    first = stream.drive.isel(presentations=0).sel(change="nothing", forgetting=0.002)
    np.testing.assert_allclose(first, first.mean(), atol=0.02)


def test_the_stream_of_a_wrong_setting_is_refused():
    wrong = {"n_odors": 20, "activity": 0.9, "n_glomeruli": 1, "forgetting": [1.5], "sample": 0, "seed": -1}
    for name, value in wrong.items():
        settings = SMALL | {"n_odors": 100, "forgetting": [0.1]} | {name: value}
        with pytest.raises(BadSetting, match=name):
            studies.odor_stream(**settings)


def test_curves_of_the_stream(stream):
    found = stream.expand_dims(seed=[0])
    curves = studies.stream_curves(found)
    chosen = curves.gated_delta_rule_first.sel(measure="drive", change="odors", forgetting=0.02)
    np.testing.assert_array_equal(
        chosen, stream.drive_first.sel(rule="gated delta rule", change="odors", forgetting=0.02)
    )


@pytest.fixture(scope="module")
def stored():
    points = [
        [[studies.capacity(d, n, forgetting=[0.0, 0.03], seed=seed) for seed in range(6)] for n in (8, 32, 128)]
        for d in (16, 32)
    ]
    seeds = [[xr.concat(row, "seed") for row in rows] for rows in points]
    rows = [xr.concat(row, "n_pairs") for row in seeds]
    found = xr.concat(rows, "n_keys")
    return found.assign_coords(n_keys=[16, 32], n_pairs=[8, 32, 128], seed=range(6))


def test_capacity_follows_the_closed_forms(stored):
    """Six seeds of four streams: means within .03, single ages within .09."""
    curves = studies.capacity_curves(stored)
    for name in ("linear_attention", "delta_rule"):
        expected = curves[f"{name}_theory"].interp(fine=curves.n_pairs)
        assert float(abs(curves[f"{name}_recall"] - expected).max()) < 0.03
    for name in ("linear_attention_with_decay", "gated_delta_rule"):
        gap = abs(curves[f"{name}_by_age"] - curves[f"{name}_theory"])
        assert float(gap.max()) < 0.09
        assert gap.notnull().any()
    assert float(abs(curves.full - 0.5**0.5).max()) < 0.03


def test_linear_attention_is_worth_one_over_the_root(stored):
    expected = (1 + (stored.n_pairs - 1) / stored.n_keys) ** -0.5
    found = stored.recall.sel(plain="linear attention").mean("seed")
    np.testing.assert_allclose(found.transpose(*expected.dims), expected, atol=0.02)


def test_many_passes_come_to_least_squares(stored):
    found = stored.recall.sel(plain=studies.MANY).mean("seed")
    keys, values = studies._pairs(np.random.default_rng([0, 128]), 16, 128, "cpu")
    fitted = torch.from_numpy(keys.numpy() @ np.linalg.pinv(keys.numpy()) @ values.numpy())
    exact = float(studies.pearson(fitted, values).mean())
    assert float(stored.recall.sel(plain=studies.MANY, n_keys=16, n_pairs=128, seed=0)) == pytest.approx(
        exact, abs=0.01
    )
    assert exact == pytest.approx(float(titans.expected_limit(16, 128)), abs=0.02)
    assert float(found.sel(n_keys=32, n_pairs=8)) > 0.99


def test_ages_stop_at_the_first_pair(stored):
    known = stored.by_age.sel(n_pairs=8).notnull().all(["seed", "n_keys", "rule", "forgetting"])
    assert known.values.tolist() == (studies.AGES <= 8).tolist()
