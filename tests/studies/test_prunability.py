"""What chapter 7 reads off its sweeps, on curves whose limits are known."""

import numpy as np
import pytest
import xarray as xr

from lib import published
from lib.checks import BadSetting
from lib.claims import CLAIMS
from lib.studies import limit_curves, limits, prunability, recorded

SPARSITY = [0.0, 0.2, 0.4, 0.6, 0.7, 0.8]


def sweep(shift=None):
    """Perplexity limits of .5, .51, .52 in the three seeds, moved by `shift` of the recipe, recall's .02 below."""
    shift = shift or {}
    coords = {"recipe": list(limits.MODELS), "method": list(prunability.METHODS), "sparsity": SPARSITY}
    coords["seed"] = [0, 1, 2]
    shape = [len(values) for values in coords.values()]
    perplexity, recall = np.ones(shape), np.ones(shape)
    for i, recipe in enumerate(coords["recipe"]):
        for j, method in enumerate(coords["method"]):
            for seed in range(3):
                at = (0.2 if method == "random" else 0.5) + shift.get(recipe, 0) + 0.01 * seed
                perplexity[i, j, :, seed] = 1.1 ** (np.array(SPARSITY) / at)
                recall[i, j, :, seed] = np.maximum(0, 1 - 0.1 * np.array(SPARSITY) / (at - 0.02))
    dims = tuple(coords)
    values = {"perplexity": (dims, 3 * perplexity), "recall": (dims, 0.8 * recall)}
    of = {"of_blocks": (dims, np.broadcast_to(np.array(SPARSITY)[:, None], shape))}
    return xr.Dataset(values | of | {"of_all": (dims, 0.7 * of["of_blocks"][1])}, coords)


def test_a_limit_is_where_the_bound_is_passed():
    s = xr.DataArray([0.0, 0.2, 0.4, 0.6], dims="sparsity", coords={"sparsity": [0.0, 0.2, 0.4, 0.6]})
    assert prunability.limit(1.21 ** (s / 0.6), 1.1) == pytest.approx(0.3)  # straight in the logarithm
    assert prunability.limit(1 - s, 0.9) == pytest.approx(0.1)  # straight
    assert np.isnan(prunability.limit(1 + 0 * s, 1.1))  # nowhere
    uneven = xr.DataArray([1.0, 1.2, 1.0, 1.3], s.coords)
    assert prunability.limit(uneven, 1.1) == pytest.approx(0.2 * np.log(1.1) / np.log(1.2))  # the first place
    gap = xr.DataArray([1.0, np.nan, 1.21, np.nan], s.coords)
    assert prunability.limit(gap, 1.1) == pytest.approx(0.2)  # between those measured
    below = xr.DataArray([1.0, 1.05, 0.95, 0.85], s.coords)
    assert prunability.limit(below, 0.9) == pytest.approx(0.5)


def test_ratios_are_to_the_same_model_without_pruning():
    found = sweep()
    ratio = prunability.ratios(found)
    assert float(ratio.perplexity.sel(sparsity=0.0).min()) == float(ratio.perplexity.sel(sparsity=0.0).max()) == 1
    named = found.sel(sparsity=[0.6]).assign(dense_perplexity=2 * found.perplexity[:, :, 0],
                                             dense_recall=found.recall[:, :, 0])  # fmt: skip
    np.testing.assert_allclose(prunability.ratios(named).perplexity, ratio.perplexity.sel(sparsity=[0.6]) / 2)


def test_the_claims_quantities_by_hand():
    found = sweep({"llama3": -0.05, "llama2-more-facts": -0.02, "llama3-same-text": 0.04})
    two, three, five = prunability.prunable(found), prunability.at_sixty(found), prunability.kept(found)
    for claim, measured in (("C2", two), ("C3", three), ("C5", five)):
        assert [condition.quantity for condition in CLAIMS[claim].conditions] == list(measured)
    np.testing.assert_allclose(two["share of block weights pruned at 1.1 x the dense perplexity, Llama-2 style"],
                               [0.5, 0.51, 0.52])  # fmt: skip
    np.testing.assert_allclose(two["share of block weights pruned at .9 x the dense recall, Llama-3 style"],
                               [0.43, 0.44, 0.45])  # fmt: skip
    np.testing.assert_allclose(two["share of all parameters pruned at 1.1 x the dense perplexity, Llama-3 style"],
                               published.SHAPES["Llama-3-8B"].block_share * np.array([0.45, 0.46, 0.47]))  # fmt: skip
    np.testing.assert_allclose(list(three.values())[0], 1.1 ** (0.6 / np.array([0.5, 0.51, 0.52])))
    np.testing.assert_allclose(list(three.values())[1], np.log(1.1) * 0.6 / np.array([0.2, 0.21, 0.22]))
    for values, expected in zip(five.values(), (0.05, 0.05, 0.02, 0.09), strict=True):
        np.testing.assert_allclose(values, [expected] * 3, atol=1e-12)


def test_what_was_measured_again_is_held_against_its_own_point():
    found = sweep()
    place = {"recipe": "llama2", "seed": 0, "sparsity": 0.6, "method": list(prunability.PLAIN)}
    measured = prunability.ratios(found).sel(place, drop=True)
    assert prunability.difference(measured, found) == 0
    off = measured.assign(recall=measured.recall * [1, 1, 0.95])
    assert prunability.difference(off, found) == pytest.approx(-np.log(0.95))
    assert prunability.difference(measured.isel(method=[0]), found.isel(seed=[1, 0])) < 1e-12


def test_curves_hold_limits_and_denominators():
    found = sweep()
    measured = prunability.ratios(found).sel(
        {"recipe": "llama2", "seed": 0, "sparsity": 0.6, "method": list(prunability.PLAIN)}, drop=True
    )
    curves = limit_curves.limit_curves(found, [0.1, 0.2], measured)
    at = curves.limit_perplexity.sel(recipe="llama2")[..., prunability.METHODS.index("wanda")]
    assert float(at.sel(loss=0.1, denominator="block weights")) == pytest.approx(0.51)
    assert float(at.sel(loss=0.1, denominator="all parameters")) == pytest.approx(0.7 * 0.51)
    assert (curves.bound_recall.sel(loss=0.2) == 0.8).all() and (curves.bound_perplexity.sel(loss=0.2) == 1.2).all()
    assert np.isnan(curves.again_recall.sel(recipe="llama3")).all()
    assert float(curves.again_share.sel(denominator="all parameters", recipe="llama2")[0]) == pytest.approx(0.42)


def test_the_idea_is_drawn_for_both_styles():
    found = sweep({"llama3": -0.05})
    curves, ratio = limit_curves.idea_curves(found), prunability.ratios(found)
    for style in ("llama2", "llama3"):
        one = ratio.perplexity.sel(recipe=style)
        np.testing.assert_allclose(curves[f"perplexity_{style}"], one.mean("seed"))
        np.testing.assert_allclose(curves[f"perplexity_{style}_high"], one.max("seed"))
    assert not curves.recall_llama2.equals(curves.recall_llama3)


def test_knowledge_is_drawn_for_the_models_that_know_it():
    found = sweep({"llama3": -0.05})
    bits = xr.DataArray(np.outer(np.arange(1, 6), [1, 1, 1.0]), {"recipe": [*limits.MODELS][::-1], "seed": [0, 1, 2]})
    stored = xr.Dataset({"bits": bits, "n_all": 0 * bits + 2})
    curves = limit_curves.hypothesis_curves(found, [0.1], stored)
    assert curves.bits.values.tolist() == [2.5, 2, 1.5, 1, 0.5]  # of the recipes in the order of the sweep
    at = curves.sel({"method": "sparsegpt", "measure": "perplexity", "loss": 0.1})
    assert float(at.kept.sel(recipe="Llama-3")) == pytest.approx(1 - 0.46) == float(at.known[-1])
    assert float(at.apart.sel(pair="style and facts")) == pytest.approx(0.05)


def test_published_rows_stand_with_their_family():
    names = ["magnitude", "wanda", "sparsegpt"]
    found = xr.Dataset(
        {"perplexity": (("recipe", "method", "pattern", "seed"), np.full((2, 3, 5, 3), 4.0)),
         "recall": (("recipe", "method", "pattern", "seed"), np.ones((2, 3, 5, 3))),
         "dense_perplexity": 2.0, "dense_recall": 1.0},
        {"recipe": ["llama2", "llama3"], "method": names, "pattern": list(limits.PATTERNS), "seed": [0, 1, 2]},
    )  # fmt: skip
    stored = xr.Dataset({"n_all": ("recipe", [10.0, 20.0])}, {"recipe": ["llama2", "llama3"]})
    curves = limit_curves.published_curves(found, stored)
    at = curves.sel({"method": "sparsegpt", "pattern": "50 %"})
    assert at.ratio_llama_3.values.tolist() == pytest.approx([9.40 / 6.14, 5.79 / 2.85])
    assert at.ours_llama2.item() == 2 and curves.own_size_llama3.item() == 20
    at = curves.sel({"method": "wanda", "pattern": "2:4"})
    off = curves.ratio_llama_3.sel({"method": "magnitude", "pattern": "50 %"})
    assert np.isnan(off[0]) and off[1] == 19.11 / 2.85  # 407 is off the scale
    assert np.isnan(at.ratio_opt).all() and at.ratio_llama_2[0] == 11.02 / 5.12


def test_settings_of_the_chapter():
    prunability.check(0, 0.1)
    for seed, loss, name in ((1, 0.1, "seed"), (0, 0, "loss"), (0, 1.0, "loss")):
        with pytest.raises(BadSetting, match=name):
            prunability.check(seed, loss)


def test_sparsities_that_were_not_recorded_are_measured(monkeypatch):
    kept = sweep()
    monkeypatch.setattr(prunability, "_kept", lambda name, recording: kept)
    asked = []

    def measure(recipe, method, sparsity, digest, *, seed, device):
        asked.append((recipe, method, sparsity, digest, seed))
        one = kept.sel({"recipe": recipe, "method": method, "seed": seed}, drop=True).isel(sparsity=[0] * len(sparsity))
        return (one.assign_coords(sparsity=sparsity) * 0 + 7).assign(seconds=1.0)

    monkeypatch.setitem(recorded.RECORDINGS, "limits", recorded.Recording(measure, (), (), "sparsity"))
    monkeypatch.setattr(limits, "digests", lambda recipes, seeds: f"{recipes} {seeds}")
    found = prunability.course("llama3", "wanda", [0.6, 0.55, 0.0], "x", seed=1)
    assert asked == [("llama3", "wanda", [0.55], "['llama3'] [1]", 1)]
    assert found.sparsity.values.tolist() == [0.6, 0.55, 0.0]
    place = {"recipe": "llama3", "method": "wanda", "seed": 1}
    assert float(found.recall.sel(sparsity=0.55)) == 7
    assert float(found.recall.sel(sparsity=0.6)) == float(kept.recall.sel({**place, "sparsity": 0.6}))
    prunability.course("llama3", "wanda", [0.2, 0.6], "x", seed=1)
    assert len(asked) == 1


@pytest.mark.parametrize("name", recorded.RECORDINGS)
def test_the_recorded_sweeps_are_of_the_models_that_ship(name):
    found = recorded.load(name)
    made = recorded.RECORDINGS[name]
    assert found.recipe.values.tolist() == list(made.recipes) and found.seed.values.tolist() == list(made.seeds)
    assert recorded.receipt()[name]["seeds"] == list(made.seeds)
    if "method" not in found or "random" not in found["method"].values:  # which was pruned to fewer sparsities
        assert all(np.isfinite(found[key]).all() for key in ("perplexity", "recall") if key in found)


def test_a_recording_that_does_not_match_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "_models", lambda name: "these")
    with pytest.raises(BadSetting, match="is missing; make it with: python -m lib.studies.recorded limits"):
        recorded.load("limits", tmp_path)
    file, wanted = tmp_path / "limits.nc", sweep().assign_attrs(models="these")
    wanted.to_netcdf(file, engine="scipy")
    (tmp_path / "receipt.json").write_text("{}")
    with pytest.raises(BadSetting, match="is not the file"):
        recorded.load("limits", tmp_path)
    digest = recorded.files.digest(file)
    recorded.files.write(tmp_path / "receipt.json", {"limits": {"sha256": digest}})
    np.testing.assert_array_equal(recorded.load("limits", tmp_path).recall, wanted.recall)
    assert recorded.fingerprint("limits", tmp_path) == digest[:8]
    monkeypatch.setattr(recorded, "_models", lambda name: "others")
    with pytest.raises(BadSetting, match="other trained models"):
        recorded.load("limits", tmp_path)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadSetting, match="is not the file"):
        recorded.load("limits", tmp_path)


def test_a_recording_holds_what_was_measured(tmp_path, monkeypatch):
    calls = []

    def measure(recipe, method, sparsity, digest, *, seed=0, device="cpu"):
        calls.append((recipe, method, seed))
        values = [limits.MODELS.index(recipe) + 10 * seed + 100 * s for s in sparsity]
        return xr.Dataset({"recall": ("sparsity", values), "seconds": 2.0}, {"sparsity": sparsity})

    grids = ({"method": ["wanda"], "sparsity": [0.0, 0.5]}, {"method": ["random"], "sparsity": [0.0]})
    made = recorded.Recording(measure, grids, ("llama2", "llama3"), "sparsity")
    monkeypatch.setitem(recorded.RECORDINGS, "limits", made)
    monkeypatch.setattr(recorded, "POINTS", tmp_path / "points")
    monkeypatch.setattr(limits, "digests", lambda recipes, seeds: "digest")
    recorded.record("limits", folder=tmp_path / "out")
    found = recorded.load("limits", tmp_path / "out")
    assert found.recall.sel({"recipe": "llama3", "method": "wanda", "seed": 2, "sparsity": 0.5}) == 4 + 20 + 50
    assert np.isnan(found.recall.sel({"recipe": "llama2", "method": "random", "seed": 0, "sparsity": 0.5}))
    line = recorded.receipt(tmp_path / "out")["limits"]
    assert line["seconds"] == 2 * len(calls) == 24 and line["seeds"] == [0, 1, 2]
    recorded.record("limits", folder=tmp_path / "out")
    assert len(calls) == 12  # nothing twice


def test_the_command_says_what_is_wrong(capsys, monkeypatch):
    def fail(name, device):
        raise BadSetting("There is no trained llama2-0.")

    monkeypatch.setattr(recorded, "record", fail)
    assert recorded.main(["limits"]) == 2
    assert capsys.readouterr().err == "There is no trained llama2-0.\n"
