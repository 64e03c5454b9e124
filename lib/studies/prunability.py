"""What chapter 7 reads off its recorded sweeps: limits, shares kept, and the quantities of its claims."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from lib import checks, published
from lib.recipe import Recipe
from lib.studies import limits, own, recorded

STYLES = {"llama2": "Llama-2", "llama3": "Llama-3"}  # the recipes that the claims call by these names
REAL = {"llama2": "Llama-2-7B", "llama3": "Llama-3-8B"}
METHODS = ("magnitude", "wanda", "sparsegpt", "random")
PLAIN = METHODS[:3]
TOLERATED = 0.1  # the loss at which the limits of the claims are read
TOLERANCE = 0.02  # by which the ratio to dense of a point measured again may differ from the recorded one
AGAIN = {"recipe": "llama2", "seed": 0, "sparsity": 0.6}  # the points that every run measures again


def check(seed: int, loss: float, model_dir: str = "", text: str = "", questions: str = "") -> None:
    """BadSetting for a parameter of the chapter that cannot be."""
    checks.whole("seed", seed, 0, 0)
    checks.scalar("loss", loss, 0, 0.9, open_low=True)
    own.check(model_dir, text, questions)
    if model_dir:
        own.windows(model_dir, text)


@functools.cache
def _kept(name: str, recording: str) -> xr.Dataset:
    checks.choice("recording", recording, [recorded.fingerprint(name)])
    return recorded.load(name)


def _point(name: str, recording: str, seed: int, **place) -> xr.Dataset | None:
    kept = _kept(name, recording)
    known = seed in kept.seed and all(value in kept[key].values for key, value in place.items())
    return kept.sel(seed=seed, drop=True).sel(place, drop=True) if known else None


def _sparsities(name, recording, recipe, method, sparsity, seed, device) -> xr.Dataset:
    """A recording at these sparsities; those that it lacks are measured."""
    asked = np.ravel(sparsity).tolist()
    kept = _point(name, recording, seed, recipe=recipe, method=method)
    known = [s for s in asked if kept is not None and s in kept.sparsity]
    missing = [s for s in asked if s not in known]
    found = [] if not known else [kept.sel(sparsity=known)]
    if missing:
        function, digest = recorded.RECORDINGS[name].function, limits.digests([recipe], [seed])
        found.append(function(recipe, method, missing, digest, seed=seed, device=device).drop_vars("seconds"))
    over_all = [v for v in found[0] if "sparsity" not in found[0][v].dims]
    joined = xr.concat([part.drop_vars(over_all) for part in found], "sparsity").sel(sparsity=asked)
    return joined.assign(found[0][over_all])


def course(recipe: str, method: str, sparsity, recording: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """`limits.course`: as recorded, or measured at sparsities that the recording lacks.

    `recording`: the fingerprint of the recorded file, so that a stored result never outlives it; so in the others.
    """
    return _sparsities("limits", recording, recipe, method, sparsity, seed, device)


def calibrated(recipe: str, method: str, sparsity, recording: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """`limits.calibrated`: as recorded, or measured at sparsities that the recording lacks."""
    return _sparsities("calibrated", recording, recipe, method, sparsity, seed, device)


def parts(recipe: str, method: str, sparsity: float, recording: str, *, seed: int = 0, device: str = "cpu"):
    """`limits.parts`: as recorded, or measured at a sparsity that the recording lacks."""
    kept = _point("parts", recording, seed, recipe=recipe, method=method, sparsity=sparsity)
    if kept is None:
        kept = limits.parts(recipe, method, sparsity, limits.digests([recipe], [seed]), seed=seed, device=device)
    return kept.drop_vars("seconds", errors="ignore")


def patterned(recipe: str, method: str, recording: str, *, seed: int = 0) -> xr.Dataset:
    """`limits.patterned`, as recorded."""
    return _kept("patterned", recording).sel({"seed": seed, "recipe": recipe, "method": method}, drop=True)


def recipe(name: str, curves: Callable, methods: Sequence[str], **shown) -> Recipe:
    """The recipe of a figure on a recorded sweep, at the settings that were recorded."""
    function = {"limits": course, "calibrated": calibrated, "parts": parts, "patterned": patterned}[name]
    stored = _kept(name, recorded.fingerprint(name))
    grid = {"recipe": list(recorded.RECORDINGS[name].recipes), "method": list(methods)}
    if "sparsity" in stored.dims:
        grid["sparsity"] = [round(float(value), 2) for value in stored.sparsity]
    fixed = {"recording": recorded.fingerprint(name)}
    code = "print(lib.studies.prunability.both_limits(found, {loss}))" if "loss" in shown else Recipe.code
    return Recipe(function, grid, curves, recorded.RECORDINGS[name].along, shown, code=code, fixed=fixed)


def ratios(found: xr.Dataset) -> xr.Dataset:
    """Perplexity and recall over those of the dense model, of a sweep whose first sparsity is 0 or that names them."""
    if "dense_perplexity" in found:
        dense = {"perplexity": found.dense_perplexity, "recall": found.dense_recall}
    else:
        dense = found[["perplexity", "recall"]].sel(sparsity=0.0, drop=True)
    return xr.Dataset({name: found[name] / dense[name] for name in ("perplexity", "recall")})


def limit(ratio: xr.DataArray, bound: float) -> xr.DataArray:
    """Sparsity at which `ratio`, 1 without pruning, first passes `bound`, from below if that is above 1 (`eq-limit`).

    Interpolated between sparsities, in the logarithm of a ratio that grows. NaN where the sparsities do not reach it.
    """
    scale = np.log if bound > 1 else np.negative

    def solve(values: np.ndarray) -> float:
        there = np.isfinite(values) & (values > 0 if bound > 1 else True)
        places, height = sparsity[there], scale(values[there])
        passed = np.flatnonzero(height > scale(bound))
        if not len(passed) or passed[0] == 0:
            return np.nan
        near = slice(passed[0] - 1, passed[0] + 1)
        return float(np.interp(scale(bound), height[near], places[near]))

    sparsity = ratio.sparsity.values
    return xr.apply_ufunc(solve, ratio, input_core_dims=[["sparsity"]], vectorize=True)


def both_limits(found: xr.Dataset, loss: float = TOLERATED) -> xr.Dataset:
    """Limits of a sweep of `course`: "perplexity" at 1 + loss, "recall" at 1 - loss times that of the dense model."""
    ratio = ratios(found)
    return xr.Dataset({
        "perplexity": limit(ratio.perplexity, 1 + loss),
        "recall": limit(ratio.recall, 1 - loss),
    })  # fmt: skip


def block_share(found: xr.Dataset) -> xr.DataArray:
    """Share of block weights in all parameters of each recipe, from what a pruning took off both."""
    at = found.sel({"sparsity": 0.6, "method": "magnitude"}, drop=True)
    return (at.of_all / at.of_blocks).mean("seed")


def prunable(found: xr.Dataset) -> dict[str, np.ndarray]:
    """The quantities of claim C2 from a sweep of `course`, one value a seed."""
    read, real = both_limits(found.sel({"method": "sparsegpt"})), published.SHAPES
    asked = {
        "share of block weights pruned at 1.1 x the dense perplexity": lambda at, shape: at.perplexity.values,
        "share of block weights pruned at .9 x the dense recall": lambda at, shape: at.recall.values,
        "share of all parameters pruned at 1.1 x the dense perplexity": lambda at, shape: (
            at.perplexity.values * shape.block_share
        ),
    }
    return {
        f"{quantity}, {style} style": value(read.sel(recipe=recipe), real[REAL[recipe]])
        for quantity, value in asked.items()
        for recipe, style in STYLES.items()
    }


def at_sixty(found: xr.Dataset) -> dict[str, np.ndarray]:
    """The quantities of claim C3 from a sweep of `course`, one value a seed."""
    ratio = ratios(found).perplexity.sel(recipe="llama2", sparsity=0.6)
    return {
        "perplexity over dense at 60 % of block weights, SparseGPT": ratio.sel({"method": "sparsegpt"}).values,
        "logarithm of the same with a random mask": np.log(ratio.sel({"method": "random"}).values),
    }


PAIRS = {  # the comparisons of claim C5: recipes that have to keep more, and fewer
    "Llama-3 less Llama-2 style": ("llama3", "llama2"),
    "three times the facts less one": ("llama2-more-facts", "llama2"),
    "Llama-3 style less its architecture and tokenizer alone": ("llama3", "llama3-same-text"),
    "over-trained less not": ("llama2-overtrained", "llama2"),
    "architecture and tokenizer alone": ("llama3-same-text", "llama2"),
}


def differences(found: xr.Dataset, method: str = "sparsegpt", loss: float = TOLERATED) -> xr.Dataset:
    """Share of block weights kept at the limits, one recipe less another (PAIRS), paired by seed, over "pair"."""
    read = both_limits(found.sel({"method": method}), loss)
    each = [read.sel(recipe=fewer, drop=True) - read.sel(recipe=more, drop=True) for more, fewer in PAIRS.values()]
    return xr.concat(each, xr.Variable("pair", list(PAIRS)))


def kept(found: xr.Dataset) -> dict[str, np.ndarray]:
    """The quantities of claim C5 from a sweep of `course`, one value a seed."""
    apart = differences(found)
    first, *_ = PAIRS
    asked = [("perplexity", "1.1 x the perplexity", first), ("recall", ".9 x the recall", first)]
    asked += [("perplexity", "1.1 x the perplexity", pair) for pair in list(PAIRS)[1:3]]
    return {f"share kept at {bound}, {pair}": apart[name].sel(pair=pair).values for name, bound, pair in asked}


def again(recipe: str = AGAIN["recipe"], seed: int = AGAIN["seed"], device: str = "cpu") -> xr.Dataset:
    """Perplexity and recall over dense of the points that every run measures again, over "method"."""
    given = limits.bench(recipe, seed, device=device)
    dense = limits.measure(given, given.model)
    found = [limits.measure(given, given.pruned(method, AGAIN["sparsity"])) for method in PLAIN]
    both = xr.concat(found, xr.Variable("method", list(PLAIN)))
    return both[["perplexity", "recall"]] / dense[["perplexity", "recall"]]


def difference(measured: xr.Dataset, found: xr.Dataset) -> float:
    """Largest difference of `again` from the recorded ratios."""
    place = {"recipe": AGAIN["recipe"], "seed": AGAIN["seed"], "sparsity": AGAIN["sparsity"], "method": list(PLAIN)}
    apart = abs(np.log(measured) - np.log(ratios(found).sel(place)))
    return float(max(apart.perplexity.max(), apart.recall.max()))
