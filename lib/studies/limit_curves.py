"""The sweeps of chapter 7 as the datasets that its figures show."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from lib import published
from lib.analysis import spread
from lib.studies import limits
from lib.studies.prunability import (
    AGAIN,
    METHODS,
    PLAIN,
    STYLES,
    block_share,
    both_limits,
    differences,
    ratios,
)

SHORT = {  # names that fit under an axis
    "llama2": "Llama-2",
    "llama2-more-facts": "more facts",
    "llama2-overtrained": "longer",
    "llama3-same-text": "3, same text",
    "llama3": "Llama-3",
}
COMPARED = ("style and facts", "facts", "facts, Llama-3", "longer", "style")  # PAIRS, likewise
HIGHEST = 12  # perplexity over dense beyond which a published figure is off the scale
DENOMINATORS = ("block weights", "all parameters")


def _methods(values: xr.DataArray, name: str, methods: Sequence[str] = METHODS) -> dict[str, xr.DataArray]:
    return {f"{name}_{method}": values.sel({"method": method}, drop=True) for method in methods}


def limit_curves(found: xr.Dataset, loss: Sequence[float], measured: xr.Dataset) -> xr.Dataset:
    """A sweep of `course`: ratios to dense of each method, its limits at each loss, and `again` beside them."""
    ratio, share = ratios(found), block_share(found)
    curves = {}
    for name in ("perplexity", "recall"):
        curves |= _methods(ratio[name], name)
    shown = spread(xr.Dataset(curves), *curves)
    read = xr.concat([both_limits(found, at).mean("seed") for at in loss], xr.Variable("loss", list(loss)))
    factor = xr.concat([xr.ones_like(share), share], xr.Variable("denominator", list(DENOMINATORS)))
    here = xr.where(found.recipe == AGAIN["recipe"], 1.0, np.nan)
    at = xr.DataArray(list(loss), dims="loss", coords={"loss": list(loss)})
    read, measured = _places(read, "method", "limits"), _places(measured, "method", "again")
    return shown.assign(
        share=factor * found.sparsity,
        limit_perplexity=factor * read.perplexity,
        limit_recall=factor * read.recall,
        bound_perplexity=(1 + at) * xr.ones_like(read.perplexity),
        bound_recall=(1 - at) * xr.ones_like(read.recall),
        again_perplexity=here * measured.perplexity,
        again_recall=here * measured.recall,
        again_share=factor * AGAIN["sparsity"] * xr.ones_like(measured.perplexity),
    )


def idea_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `course`: ratios to dense, a variable for each style."""
    ratio = ratios(found)
    curves = {f"{name}_{r}": ratio[name].sel(recipe=r, drop=True) for name in ratio for r in STYLES}
    return spread(xr.Dataset(curves), *curves)


def _places(values: xr.Dataset, dim: str, name: str) -> xr.Dataset:
    """`dim` as places without names, so that an axis of numbers can hold them."""
    return values.rename({dim: name}).drop_vars(name)


def hypothesis_curves(found: xr.Dataset, loss: Sequence[float], stored: xr.Dataset) -> xr.Dataset:
    """A sweep of `course` and one of `limits.capacity`: share kept of each recipe, seed by seed, and differences."""
    read, apart = [], []
    for at in loss:
        one = both_limits(found, at)
        read.append(1 - one.to_array("measure"))
        pairs = [differences(found, method, at) for method in found.method.values]
        apart.append(xr.concat(pairs, found.method).to_array("measure"))
    kept_share, pairs = (xr.concat(each, xr.Variable("loss", list(loss))) for each in (read, apart))
    points = spread(xr.Dataset({"kept": kept_share, "apart": pairs}), "kept", "apart")
    bits = (stored.bits / stored.n_all).sel(recipe=found.recipe, seed=found.seed)
    known = points[["kept", "kept_low", "kept_high"]].assign(bits=bits.mean("seed"))
    known = _places(known, "recipe", "model").rename(kept="known", kept_low="known_low", kept_high="known_high")
    names = {"recipe": [SHORT[recipe] for recipe in found.recipe.values], "pair": list(COMPARED)}
    return points.assign_coords(names).assign(known)


def part_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `parts`: ratios to dense when one "kind" or one block ("place") alone is pruned; where zeros go."""
    ratio = ratios(found).to_array("measure")
    kinds = list(limits.PARTS)
    places = [part for part in found.part.values if part not in kinds]
    curves = {"kind_alone": ratio.sel(part=kinds).rename(part="kind"), "zeros": found.zeros}
    curves["block_alone"] = ratio.sel(part=places).rename(part="place")
    return spread(xr.Dataset(curves), *curves)


def calibration_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `calibrated`: ratios to dense, a variable for each calibration."""
    ratio = ratios(found)
    curves = {}
    for name in ratio:
        each = ((i, ratio[name].sel(calibration=kind, drop=True)) for i, kind in enumerate(limits.CALIBRATIONS))
        curves |= {f"{name}_{i}": values for i, values in each}
    return spread(xr.Dataset(curves), *curves)


def pattern_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `patterned`: ratios to dense at one half, a variable for each method."""
    ratio = ratios(found)
    curves = _methods(ratio.perplexity, "perplexity", PLAIN) | _methods(ratio.recall, "recall", PLAIN)
    return spread(xr.Dataset(curves), *curves)


def published_curves(found: xr.Dataset, stored: xr.Dataset) -> xr.Dataset:
    """A sweep of `patterned` beside `published.ratios`: perplexity over dense of each family against its sizes.

    `stored`, a sweep of `limits.capacity`, has the sizes of our models.
    """
    rows = published.ratios()
    curves = {}
    for family in published.FAMILIES:
        own = rows.sel(model=rows.family.values == family).drop_vars(["family", "model"])
        place = f"place_{short(family)}"
        curves |= {f"ratio_{short(family)}": own.ratio.where(own.ratio < HIGHEST).rename(model=place)}
        curves |= {f"size_{short(family)}": own.parameters.rename(model=place)}
    ours = ratios(found).perplexity.sel(pattern=["row", "4:8", "2:4"])
    ours = ours.assign_coords(pattern=list(published.PATTERNS)).expand_dims("ours", -1)
    ours = {f"ours_{recipe}": ours.sel(recipe=recipe, drop=True) for recipe in STYLES}
    sizes = {f"own_size_{recipe}": ("ours", [float(stored.n_all.sel(recipe=recipe).mean())]) for recipe in STYLES}
    return spread(xr.Dataset(ours), *ours).assign(curves).assign(sizes)


def short(family: str) -> str:
    """A family's name as a variable's."""
    return family.lower().replace("-", "_")


def own_curves(found: xr.Dataset) -> xr.Dataset:
    """What `own.measure` found, as ratios to dense, over both denominators."""
    ratio = ratios(found)
    factor = xr.DataArray([1.0, found.attrs["block_share"]], {"denominator": list(DENOMINATORS)})
    curves = {}
    for name in ("perplexity", "recall"):
        each = {m: ratio[name].sel({"method": m}, drop=True) for m in PLAIN if m in found["method"].values}
        curves |= {f"{name}_{m}": each.get(m, xr.full_like(ratio[name][0], np.nan).drop_vars("method")) for m in PLAIN}
    return xr.Dataset(curves).assign(share=factor * found.sparsity)
