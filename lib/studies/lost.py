"""What chapter 8 reads off its sweeps: errors at the limit, verdicts, savings, and the data of its figures."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from lib import checks
from lib.analysis import spread
from lib.biographies import RATES
from lib.protocol import FORGOTTEN, MISLAID, VERDICTS
from lib.recipe import Recipe
from lib.rules import measure
from lib.studies import limits, prunability, recorded
from lib.studies.assistant import ANSWERS, STORAGES
from lib.studies.forgetting import NEW, TAUGHT
from lib.studies.limit_curves import SHORT

METHODS = {"magnitude": "magnitude", "wanda": "Wanda", "sparsegpt": "SparseGPT"}
STYLES = {"llama2": "Llama-2 style", "llama3": "Llama-3 style"}
MODELS = SHORT | STYLES
GROUPS = {"both": "all", "A": "biography and questions seen", "B": "biography seen"}
TOLERATED = prunability.TOLERATED
AGAIN = {"recipe": "llama2", "method": "sparsegpt", "sparsity": 0.6}  # what every run measures again, with seed 0
RELEARNED = {"recipe": "llama2", "sparsity": 0.7}  # where claim C6 reads the savings, with SparseGPT
POINTS = {  # of which the chapter tells numbers
    f"{recipe}_{sparsity * 100:.0f}": {"recipe": recipe, "method": "sparsegpt", "sparsity": sparsity}
    for recipe in STYLES
    for sparsity in (0.6, 0.7, 0.8)
}
TOLERANCE = 0.03  # share of facts that may be named otherwise than recorded


def check(seed: int, loss: float) -> None:
    """BadSetting for a parameter of the chapter that cannot be."""
    prunability.check(seed, loss)


@functools.cache
def _kept(name: str, recording: str) -> xr.Dataset:
    checks.choice("recording", recording, [recorded.fingerprint(name)])
    return recorded.load(name).drop_encoding()  # which would fix the lengths of texts


def _recorded(name: str, recording: str, seed: int, device: str = "cpu", **place) -> xr.Dataset:
    """A point of a recording, measured here where it has none."""
    kept = _kept(name, recording)
    if seed in kept.seed and all(value in kept[key].values for key, value in place.items()):
        return kept.sel(seed=seed, drop=True).sel(place, drop=True)
    digest = limits.digests([place["recipe"]], [seed])
    found = recorded.RECORDINGS[name].function(**place, digest=digest, seed=seed, device=device)
    return found.drop_vars("seconds", errors="ignore")


def decline(
    recipe: str, method: str, sparsity: float, recording: str, *, seed: int = 0, device: str = "cpu"
) -> xr.Dataset:
    """`forgetting.decline`: as recorded, or measured at a sparsity that the recording lacks.

    `recording`: the fingerprint of the recorded file, so that a stored result never outlives it; so in the others.
    """
    return _recorded("decline", recording, seed, device, recipe=recipe, method=method, sparsity=sparsity)


def relearned(
    recipe: str, method: str, sparsity: float, recording: str, *, seed: int = 0, device: str = "cpu"
) -> xr.Dataset:
    """`forgetting.relearned`: as recorded, or measured at a sparsity that the recording lacks."""
    return _recorded("relearned", recording, seed, device, recipe=recipe, method=method, sparsity=sparsity)


def inspected(
    recipe: str, method: str, sparsity: float, recording: str, *, seed: int = 0, device: str = "cpu"
) -> xr.Dataset:
    """`assistant.inspected`: as recorded, or measured at a sparsity that the recording lacks."""
    return _recorded("inspected", recording, seed, device, recipe=recipe, method=method, sparsity=sparsity)


def variants(recipe: str, sparsity: float, recording: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """`assistant.variants`: as recorded, or measured at a sparsity that the recording lacks."""
    return _recorded("variants", recording, seed, device, recipe=recipe, sparsity=sparsity)


def named(recipe: str, recording: str, *, seed: int = 0) -> xr.Dataset:
    """`forgetting.named`, as recorded."""
    return _recorded("named", recording, seed, recipe=recipe)


def recipe(name: str, curves: Callable, axes: Sequence[str] = (), **shown: Sequence) -> Recipe:
    """The recipe of a figure on a recorded sweep, at the settings that were recorded."""
    function = {"decline": decline, "relearned": relearned, "inspected": inspected, "variants": variants,
                "named": named}[name]  # fmt: skip
    made, fixed = recorded.RECORDINGS[name], {"recording": recorded.fingerprint(name)}
    grid = {"recipe": list(made.recipes), **made.grids[0]}
    fixed |= {key: values[0] for key, values in grid.items() if len(values) == 1}  # no choice, no control
    grid = {key: values for key, values in grid.items() if key not in fixed}
    calls = ", ".join(f"[{{{key}}}]" for key in shown)
    code = f"print(lib.studies.lost.{curves.__name__}(found{', ' * bool(shown)}{calls}))"
    return Recipe(function, grid, curves, None, shown, axes, code, fixed)


def errors(found: xr.Dataset, loss: float = TOLERATED) -> xr.DataArray:
    """Share of wrong answers at the limit of a sweep of `limits.course`: where the perplexity is 1 + loss times dense.

    Recall is interpolated between sparsities. NaN where the sparsities do not reach the limit.
    """
    where = prunability.both_limits(found, loss).perplexity

    def read(recall: np.ndarray, place: float) -> float:
        there = np.isfinite(recall)
        return 1 - np.interp(place, found.sparsity.values[there], recall[there]) if np.isfinite(place) else np.nan

    return xr.apply_ufunc(read, found.recall, where, input_core_dims=[["sparsity"], []], vectorize=True)


def apart(found: xr.Dataset) -> dict[str, np.ndarray]:
    """The quantities of claim C4 from a sweep of `limits.course`, one value a seed."""
    wrong = errors(found)
    less = wrong.sel(recipe="llama3") - wrong.sel(recipe="llama2")
    return {
        f"factual errors at the limit, Llama-3 less Llama-2 style, {name}": less.sel({"method": method}).values
        for method, name in METHODS.items()
    }


def rightly(found: xr.Dataset) -> xr.DataArray:
    """Share of the cases of each planted kind that a sweep of `named` names rightly, over planted."""
    shares = found.cases / found.cases.sum("named")
    return xr.concat([shares.sel(planted=kind, named=kind, drop=True) for kind in VERDICTS], found.planted)


def trusted(cases: xr.Dataset, taught: xr.Dataset) -> dict[str, np.ndarray]:
    """The quantities of claim C6 from sweeps of `named` and `relearned`, one value a seed."""
    saved, planted = taught.savings.sel(RELEARNED), cases.sel(recipe=RELEARNED["recipe"])
    return {
        "share of planted cases named rightly, the worst kind": rightly(planted).min("planted").values,
        "savings in relearning, facts judged retrieval failures less facts judged forgotten": (
            saved.sel(kind=MISLAID) - saved.sel(kind=FORGOTTEN)
        ).values,
        "share of the dense model's answers on people never seen that count as kept": planted.strangers_kept.values,
    }


def beside(cases: xr.Dataset, taught: xr.Dataset, declined: xr.Dataset) -> dict[str, float]:
    """What stands beside the verdict of C6: savings at .6, drowned facts, and the worst kind in Llama-3 style.

    Also, from a sweep of `decline`, the fewest retrieval failures of a model where the claim reads savings.
    """
    saved = taught.savings.sel(RELEARNED | {"sparsity": 0.6})
    apart = measure("the same at .6", (saved.sel(kind=MISLAID) - saved.sel(kind=FORGOTTEN)).values)
    worst = rightly(cases.sel(recipe="llama3")).min("planted").mean()
    shown = {f"savings_60_{end}": getattr(apart, end) for end in ("value", "low", "high")} | {"worst_llama3": worst}
    shown |= {"saved_found": saved.sel(kind=MISLAID).mean(), "saved_forgotten": saved.sel(kind=FORGOTTEN).mean()}
    place = RELEARNED | {"method": "sparsegpt", "verdict": MISLAID}
    shown["mislaid_least"] = declined.verdicts.sel(place).sum(["group", "rate"]).min()
    shown["drowned_least"] = rightly(cases.sel(recipe=RELEARNED["recipe"])).sel(planted=MISLAID).min()
    return {name: float(value) for name, value in shown.items()}


def stored(found: xr.Dataset) -> dict[str, float]:
    """Kilobytes and recall of some variants of Llama-2 style, mean over the seeds of a sweep of `variants`."""
    places = {"dense": (0.0, "fp16"), "int8": (0.0, "int8"), "int4": (0.0, "int4"), "half": (0.5, "fp16"),
              "both": (0.5, "int8")}  # fmt: skip
    mean, shown = found.sel(recipe="llama2").mean("seed"), {}
    for name, (sparsity, storage) in places.items():
        at = mean.sel(sparsity=sparsity, storage=storage)
        shown |= {f"size_{name}": float(at.bytes) / 1000, f"recall_{name}": float(at.recall)}
    return shown


def difference(measured: xr.Dataset, stored: xr.Dataset) -> float:
    """Share of known facts that two runs of `decline` name otherwise."""
    moved = abs(measured.verdicts - stored.verdicts).sum() / 2
    return float(moved / stored.known.sum())


def decline_curves(found: xr.Dataset, group: Sequence[str]) -> xr.Dataset:
    """A sweep of `decline`: shares of known facts by verdict, and shares of right and of fluent answers by rate."""
    chosen = [found.sum("group") if name == "both" else found.sel(group=name, drop=True) for name in group]
    counts = xr.concat(chosen, xr.Variable("shown", list(group))).rename(shown="group")
    share = counts.verdicts.sum("rate") / counts.known.sum("rate")
    curves = {f"verdict_{i}": share.sel(verdict=verdict, drop=True) for i, verdict in enumerate(VERDICTS)}
    right = counts.right / counts.told
    curves |= {f"right_{rate}": right.sel(rate=rate, drop=True) for rate in found.rate.values}
    curves["fluent"] = counts.fluent.sum("rate") / counts.told.sum("rate")
    lost = 1 - share.sel(verdict=VERDICTS[0], drop=True)
    return spread(xr.Dataset(curves), *curves).assign(lost=lost.sel(sparsity=0.6).mean("seed"))


def told(shown: xr.Dataset) -> dict[str, float]:
    """Numbers of one point of `decline_curves`: shares of right answers by rate, of fluent ones, of each verdict."""
    names = {f"right_{rate}": f"right_{rate}" for rate in RATES} | {"fluent": "fluent"}
    names |= {verdict.split("-")[0].replace(" ", "_"): f"verdict_{i}" for i, verdict in enumerate(VERDICTS)}
    return {name: float(shown[variable]) for name, variable in names.items()}


def error_curves(found: xr.Dataset, loss: Sequence[float]) -> xr.Dataset:
    """A sweep of `limits.course`: errors at the limit and the share pruned there, for each recipe, at each loss."""
    wrong = xr.concat([errors(found, at) for at in loss], xr.Variable("loss", list(loss)))
    where = [prunability.both_limits(found, at).perplexity for at in loss]
    both = xr.Dataset({"errors": wrong, "pruned": xr.concat(where, xr.Variable("loss", list(loss)))})
    names = [MODELS[recipe] for recipe in found.recipe.values]
    return spread(both, *both).rename(recipe="model").assign_coords(model=names)


def inspection_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `inspected`: that of the only seed, with answers by names that fit under an axis."""
    short = ["first wrong" if answer == "likeliest wrong" else answer for answer in ANSWERS]
    return found.isel(seed=0, drop=True).assign_coords(answer=short)


def case_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `named`: the share of each planted kind that was named so, mean over seeds."""
    return xr.Dataset({"share": (found.cases / found.cases.sum("named")).mean("seed")})


def relearning_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `relearned`: recall against exposures, and savings, for each kind."""
    curves = {f"recalled_{i}": found.recalled.sel(kind=kind, drop=True) for i, kind in enumerate(TAUGHT)}
    shown = spread(xr.Dataset(curves), *curves)
    lost = xr.Dataset({"savings": found.savings.sel(kind=[kind for kind in TAUGHT if kind != NEW])})
    return shown.merge(spread(lost, "savings"))


def variant_curves(found: xr.Dataset, part: Sequence[str]) -> xr.Dataset:
    """A sweep of `variants`: quality and speed against size in KB, a curve for each storage, along sparsity."""
    dense = found.perplexity.sel(sparsity=0.0, storage="fp16", drop=True)
    sizes = {"file": found.bytes / 1000, "blocks": found.block_bytes / 1000, "memory": found.memory / 1000}
    place = xr.concat([sizes[name] for name in part], xr.Variable("part", list(part))).mean("seed")
    shown = {}
    for name in STORAGES:
        shown[f"perplexity_{name}"] = (found.perplexity / dense).sel(storage=name, drop=True)
        shown[f"recall_{name}"] = found.recall.sel(storage=name, drop=True)
        shown[f"speed_{name}"] = found.speed.sel(storage=name, drop=True)
    return spread(xr.Dataset(shown), *shown).assign(
        {f"size_{name}": place.sel(storage=name, drop=True) for name in STORAGES}
    )
