"""What is read off the sweeps of chapter 8, against numbers made by hand, and that the recorded ones are whole."""

import numpy as np
import pytest
import xarray as xr

from lib.biographies import RATES
from lib.checks import BadSetting
from lib.protocol import FORGOTTEN, KEPT, MADE_UP, MISLAID, VERDICTS
from lib.studies import lost, recorded
from lib.studies.forgetting import NEW, TAUGHT, savings

SPARSITIES = [0.0, 0.4, 0.6, 0.8]


def course(recalls, growth=1.0):
    """A sweep of limits.course in which perplexity is 10 exp(growth s) and recall is as given, for each recipe."""
    s = xr.DataArray(SPARSITIES, dims="sparsity", coords={"sparsity": SPARSITIES})
    one = xr.Dataset({"perplexity": 10 * np.exp(growth * s)})
    each = [one.assign(recall=("sparsity", recall)) for recall in recalls.values()]
    found = xr.concat(each, xr.Variable("recipe", list(recalls)))
    return found.expand_dims({"method": list(lost.METHODS), "seed": [0, 1]})


def test_errors_are_read_at_the_limit():
    """ln 1.1 = .0953 is where the perplexity is 1.1 x dense; recall falls by .5 a unit of sparsity there."""
    found = course({"llama2": [1.0, 0.8, 0.6, 0.1], "llama3": [0.9, 0.9, 0.2, 0.0]})
    wrong = lost.errors(found, 0.1)
    np.testing.assert_allclose(wrong.sel(recipe="llama2"), 0.5 * np.log(1.1))
    np.testing.assert_allclose(wrong.sel(recipe="llama3"), 0.1)
    for name, values in lost.apart(found).items():
        assert name.startswith("factual errors at the limit, Llama-3 less Llama-2 style, ")
        np.testing.assert_allclose(values, [0.1 - 0.5 * np.log(1.1)] * 2)
    assert lost.errors(course({"llama2": [1, 1, 1, 1.0]}, growth=0.01)).isnull().all()  # a limit that is not reached
    curves = lost.error_curves(found, [0.05, 0.1])
    assert curves.model.values.tolist() == [lost.MODELS["llama2"], lost.MODELS["llama3"]]
    np.testing.assert_allclose(curves.pruned.sel(loss=0.1), np.log(1.1))


def test_the_worst_kind_is_the_one_that_is_named_rightly_least():
    counts = 10 * np.eye(len(VERDICTS))
    counts[1], counts[VERDICTS.index(MISLAID)] = [5, 15, 0, 0, 0], [0, 0, 0, 9, 1]
    cases = xr.Dataset({"cases": (("planted", "named"), counts), "strangers_kept": 0.01},
                       {"planted": list(VERDICTS), "named": list(VERDICTS)}).expand_dims(seed=[0, 1])  # fmt: skip
    assert lost.rightly(cases).isel(seed=0).values.tolist() == [1, 0.75, 1, 0.9, 1]
    saved = [[0.6, 0.1, 0.3, 0.0], [0.5, 0.2, 0.3, 0.0]]
    taught = xr.Dataset({"savings": (("seed", "kind"), saved)}, {"kind": list(TAUGHT)})
    taught = taught.expand_dims({"recipe": ["llama2", "llama3"], "sparsity": [0.6, 0.7]})
    cases = cases.expand_dims(recipe=["llama2", "llama3"])
    worst, apart, kept = lost.trusted(cases, taught).values()
    assert worst.tolist() == [0.75, 0.75] and kept.tolist() == [0.01, 0.01]
    np.testing.assert_allclose(apart, [0.5, 0.3])
    grid = {"recipe": ["llama2", "llama3"], "method": ["wanda", "sparsegpt"], "sparsity": [0.6, 0.7], "seed": [0, 1],
            "group": ["A", "B"], "rate": range(3), "verdict": list(VERDICTS)}  # fmt: skip
    verdicts = np.arange(2.0**5 * 15).reshape([len(values) for values in grid.values()])
    shown = lost.beside(cases, taught, xr.Dataset({"verdicts": (tuple(grid), verdicts)}, grid))
    assert shown["mislaid_least"] == verdicts[0, 1, 1, 0, :, :, VERDICTS.index(MISLAID)].sum()
    assert shown["savings_60_value"] == pytest.approx(0.4) and shown["worst_llama3"] == 0.75
    assert shown["drowned_least"] == pytest.approx(0.9)
    assert shown["saved_found"] == pytest.approx(0.55) and shown["saved_forgotten"] == pytest.approx(0.15)


def test_savings_are_measured_against_new_facts_of_the_attribute():
    """Two attributes, of which new facts take 4 and 10 exposures; a fact that never comes right counts as 11."""
    first = {(MISLAID, "a"): 1, (MISLAID, "b"): 5, (FORGOTTEN, "a"): 4, (FORGOTTEN, "b"): 11}
    first |= {(NEW, "a"): 4, (NEW, "b"): 10}
    right = np.array([[exposure >= at for at in first.values()] for exposure in range(11)])
    kinds, attributes = (np.array([key[i] for key in first]) for i in (0, 1))
    found = savings(right, kinds, attributes)
    expected = {MISLAID: (0.75 + 0.5) / 2, FORGOTTEN: (0 - 0.1) / 2, NEW: 0}
    for kind, value in expected.items():
        assert float(found.savings.sel(kind=kind)) == pytest.approx(value)
    assert np.isnan(found.savings.sel(kind=MADE_UP)) and found.facts.values.tolist() == [2, 2, 0, 2]
    assert found.recalled.sel(kind=FORGOTTEN).values.tolist() == [0] * 4 + [0.5] * 7


def test_decline_counts_facts_and_curves_are_shares():
    shape = {"seed": 2, "sparsity": 2, "group": 2, "rate": 3}
    told = np.full(tuple(shape.values()), 10.0)
    verdicts = np.zeros((*told.shape, len(VERDICTS)))
    verdicts[..., VERDICTS.index(KEPT)], verdicts[:, 1, :, 0, VERDICTS.index(FORGOTTEN)] = 8, 4
    verdicts[:, 1, :, 0, VERDICTS.index(KEPT)] = 4
    dims = tuple(shape)
    found = xr.Dataset(
        {"told": (dims, told), "right": (dims, 0.5 * told), "fluent": (dims, 0.9 * told), "known": (dims, 0.8 * told),
         "verdicts": ((*dims, "verdict"), verdicts)},
        {"sparsity": [0.0, 0.6], "group": ["A", "B"], "rate": list(RATES), "verdict": list(VERDICTS)},
    )  # fmt: skip
    curves = lost.decline_curves(found, ["both", "A"])
    assert curves.verdict_0.sel(group="both").values.tolist() == [1, 20 / 24]
    assert curves[f"verdict_{VERDICTS.index(FORGOTTEN)}"].sel(group="A").values.tolist() == [0, 4 / 24]
    np.testing.assert_allclose(curves.lost, 4 / 24)
    np.testing.assert_allclose(curves.right_rare, 0.5)
    np.testing.assert_allclose(curves.fluent_high, 0.9)
    one = found.isel(seed=0, sparsity=1)
    assert lost.difference(one, one) == 0
    assert lost.difference(one, found.isel(seed=0, sparsity=0)) == pytest.approx(8 / 48)


def test_sizes_and_quality_stand_side_by_side():
    grid = {"seed": [0, 1], "sparsity": [0.0, 0.5], "storage": ["fp16", "int8", "int4"]}
    perplexity = np.array([[[2.0, 2.2, 3.0], [4.0, 4.2, 5.0]]] * 2)
    values = {"perplexity": perplexity, "recall": 1 / perplexity}
    values |= {"bytes": 1e4 / perplexity, "block_bytes": 1e3 / perplexity}
    values |= {"memory": np.full_like(perplexity, 2e4), "speed": 1 + perplexity / 10}
    found = xr.Dataset({name: (tuple(grid), value) for name, value in values.items()}, grid)
    curves = lost.variant_curves(found, ["file", "blocks", "memory"])
    assert curves.perplexity_int8.values.tolist() == [1.1, 2.1]
    assert curves.size_fp16.sel(part="file").values.tolist() == [5, 2.5]
    assert curves.size_int4.sel(part="blocks").values.tolist() == pytest.approx([1 / 3, 0.2])
    assert (curves[[f"size_{name}" for name in grid["storage"]]].sel(part="memory").to_dataarray() == 20).all()
    assert curves.speed_int8.values.tolist() == pytest.approx([1.22, 1.42])


@pytest.mark.parametrize("name", ["decline", "named", "relearned", "inspected", "variants"])
def test_recorded_sweeps_are_those_of_the_models_that_ship(name):
    found = recorded.load(name)
    assert found.sizes["seed"] == len(recorded.RECORDINGS[name].seeds)
    with pytest.raises(BadSetting, match="recording"):
        lost._kept(name, "00000000")
