"""What chapter 6 shows: the density of attention against context, width and share, beside nulls and closed forms."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from lib import attention, checks, theory
from lib.analysis import falls_through, slope, spread
from lib.measures import check_run
from lib.profile import Profile
from lib.studies import own
from lib.studies.reading import FIRST, WAYS, contexts
from lib.tiny_llama import recipes

COUNTED = "all but the first"  # the keys of claim C1
SHARE = 0.9  # of claim C1
N_INDEPENDENT = 1000  # rows of its control
CONTROL = 12  # what its generator draws, below one seed
ALL = "all layers"
# What a reader's copy of the Python ends with, where a figure shows more than the sweep itself.
PATTERN_CODE = (
    "print(lib.studies.attention.pattern_curves(found, [{asking}], [{share}]).sel(layer={layer}, head={head}).kept_row)"
)
TRUNCATION_CODE = "print(lib.studies.attention.truncation_curves(found, [{limit}]).needed.sel(context={context}))"
GROWTHS = np.linspace(0, 4, 41)  # at which `eq-attention-freezing` is drawn


def check(run: Profile, seed, longest, model_dir, text) -> None:
    """BadSetting with one sentence for a parameter of chapter 6 that does not fit."""
    check_run(seed, run.device)
    checks.whole("longest", longest, 32)
    own.check(model_dir, text)
    if not model_dir and longest > 4 * recipes.CONTEXT:
        raise checks.BadSetting(f"longest must be at most {4 * recipes.CONTEXT} for our models, not {longest}.")


def places(values: xr.DataArray) -> xr.DataArray:
    """Mean over heads, of all layers and of each, along "place"."""
    by_layer = values.mean("head")
    names = [ALL, *(f"layer {layer}" for layer in by_layer.layer.values)]
    parts = [by_layer.mean("layer"), *(by_layer.sel(layer=layer, drop=True) for layer in by_layer.layer)]
    return xr.concat(parts, xr.Variable("place", names), coords="minimal", compat="override")


def trained_range(found: xr.Dataset, *names: str) -> xr.Dataset:
    """These variables of a survey at the contexts that the model's training showed, NaN at others."""
    return found[list(names)].where(found.context <= found.trained)


def with_closed_form(found: xr.Dataset) -> xr.Dataset:
    """A survey with `eq-attention-gaussian` for each head's own variance."""
    form = xr.apply_ufunc(attention.gaussian_density, found.share, found["variance"] ** 0.5)
    return found.assign(closed=form)


def context_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `survey`: density and its nulls against context, the exponent, the variance of the logits."""
    found = with_closed_form(found)
    shown = xr.Dataset({name: places(found[name]) for name in ("density", "gaussian", "foreign", "closed", "variance")})
    curves = spread(shown, "density", "variance").assign(shown[["gaussian", "foreign", "closed"]].mean("seed"))
    curves["uniform"] = curves.share.expand_dims(context=curves.context)
    within = trained_range(shown.assign(trained=found.trained), "density").density
    return curves.assign(exponent=slope(within, "context").mean("seed"))


def head_curves(found: xr.Dataset, counted: Sequence[str] = tuple(FIRST)) -> xr.Dataset:
    """Each head of a sweep of `survey`: how its logits' variance grows with ln n, and its entropy; all seeds."""
    found = found.sel(counted=list(counted))
    within = trained_range(found, "variance", "entropy", "entropy_gaussian")
    fits = within.assign_coords(context=np.log(found.context)).polyfit("context", 1)
    slopes = fits.sel(degree=1, drop=True).stack(unit=("seed", "layer", "head")).reset_index("unit", drop=True)
    names = {"variance": "growth", "entropy": "exponent", "entropy_gaussian": "exponent_gaussian"}
    curves = slopes.rename({f"{old}_polyfit_coefficients": new for old, new in names.items()})
    line = xr.DataArray(np.linspace(-2, 6, 81), dims="line")
    return curves.assign(line_at=line, line_exponent=1 - line / 2).assign_coords(unit=range(curves.sizes["unit"]))


def width_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `survey_width`: density and its nulls against width, and the exponent."""
    found = with_closed_form(found)
    names = ["density", "gaussian", "foreign", "closed", "variance"]
    shown = found[names].mean(["layer", "head"])
    curves = spread(shown, "density", "variance").assign(shown[["gaussian", "foreign", "closed"]].mean("seed"))
    return curves.assign(exponent=slope(shown.density, "width").mean("seed"))


def beside_curves(found: xr.Dataset, n_glomeruli: int = 50) -> xr.Dataset:
    """A sweep of `survey`: density at which outputs align; beside it `eq-drive`, endless odors, solved for density."""
    through = found.through.mean(["layer", "head"]).rename("attention").to_dataset()
    curves = spread(through, "attention")
    neurons = xr.DataArray(np.geomspace(16, 16_384, 21), dims="n_neurons")
    fan_in = xr.apply_ufunc(theory.required_fan_in, curves.alignment, n_glomeruli)
    within = trained_range(through.assign(trained=found.trained), "attention").attention
    required = (fan_in / neurons).where(lambda density: density <= 1)
    curves = curves.assign(projection=required, exponent=slope(within, "context").mean("seed"))
    return curves.assign_coords(n_neurons=neurons.values)


def freezing_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `freezing`: how many keys count against n, the exponents against the growth, and closed forms."""
    log = np.log(found.n_keys)
    deviation = np.sqrt(found.growth * log)
    counts = xr.Dataset({"effective": np.exp(found.entropy), "holding": found.density * found.n_keys})
    forms = {
        "effective_theory": found.n_keys ** xr.apply_ufunc(attention.freezing_exponent, found.growth),
        "holding_theory": found.n_keys * xr.apply_ufunc(attention.gaussian_density, found.share, deviation),
    }
    exponents = xr.Dataset({f"{name}_exponent": slope(counts[name], "n_keys") for name in counts})
    curves = spread(counts, *counts).assign(forms).assign(spread(exponents, *exponents))
    line = xr.DataArray(GROWTHS, dims="line")
    return curves.assign(line_at=line, line_exponent=xr.apply_ufunc(attention.freezing_exponent, line))


def pattern_curves(found: xr.Dataset, asking: Sequence[int], share: Sequence[float]) -> xr.Dataset:
    """A sweep of `pattern`: the root of attention, single queries' rows, and the keys that hold a share of each.

    Of one seed; the first key is left out where a share is held.
    """
    whole = found.attention.isel(seed=0, drop=True)
    rows = whole.sel(query=list(asking)).rename(query="asking").assign_coords(asking=list(asking))
    kept = xr.concat([_kept(rows, held) for held in share], xr.Variable("share", list(share)))
    numbers = rows.key.astype(float)
    return xr.Dataset(
        {
            "root": np.sqrt(whole),
            "row": np.sqrt(rows),
            "kept_row": np.sqrt(rows).where(kept),
            "kept_key": numbers.where(kept),
            "kept_query": rows.asking.astype(float).where(kept),
        }
    )


def _kept(rows: xr.DataArray, share: float) -> xr.DataArray:
    """Whether a key is of the fewest, the first left out, that hold `share` of what all but the first hold."""
    with np.errstate(divide="ignore"):
        logits = torch.from_numpy(np.log(rows.fillna(0).values))
    return rows.copy(data=attention.holding(logits, share).numpy()) & (rows.key > 1)


def truncation_curves(found: xr.Dataset, limit: Sequence[float]) -> xr.Dataset:
    """A sweep of `truncation`: perplexity against keys kept, and the density at which it falls to `limit` x dense."""
    ratio = found.ratio.to_dataset("way")
    curves = spread(ratio, *WAYS)
    needed = xr.concat(
        [falls_through(ratio.strongest, level, "kept") for level in limit], xr.Variable("limit", list(limit))
    )
    needed = needed.transpose(..., "context")
    density = needed / needed.context
    curves = curves.assign(spread(density.to_dataset(name="needed"), "needed")).assign(fixed=8 / curves.context)
    with np.errstate(invalid="ignore"):  # where no number of keys kept is too few, there is no slope
        return curves.assign(exponent=slope(density, "context").mean("seed"))


N_KEYS = (16, 64, 256, 1024, 4096)
N_ROWS = 60


def freezing(growth: float, share: Sequence[float], *, seed: int = 0) -> xr.Dataset:
    """Entropy and density of Gaussian logits whose variance is `growth` times log n, at several n, mean over rows."""
    entropies, densities = [], []
    for n in N_KEYS:
        unit = np.random.default_rng([seed, n]).standard_normal((N_ROWS, n))  # the same for every growth
        logits = torch.from_numpy(unit * np.sqrt(growth * np.log(n)))
        entropies.append(attention.entropy(logits).mean().item())
        densities.append(attention.density(logits, share).mean(0).numpy())
    variables = {"entropy": ("n_keys", entropies), "density": (("n_keys", "share"), densities)}
    return xr.Dataset(variables, {"n_keys": list(N_KEYS), "share": list(share)})


def independent(seed: int = 0) -> float:
    """Slope of log density on log context length for independent Gaussian logits of variance 1: C1's control."""
    n = [k for k in contexts() if k <= recipes.CONTEXT]
    rng = recipes.generator(seed, CONTROL)
    draws = (torch.from_numpy(rng.standard_normal((N_INDEPENDENT, k - FIRST[COUNTED]))) for k in n)
    found = [attention.density(logits, [SHARE]).mean().item() for logits in draws]
    return float(slope(xr.DataArray(found, dims="context", coords={"context": n}), "context"))


def claim(found: xr.Dataset, widths: xr.Dataset) -> dict[str, np.ndarray]:
    """The quantities of claim C1, one value a seed, from a sweep of `survey` of one model and one of `survey_width`."""
    asked = {"counted": COUNTED, "share": SHARE}
    mean = trained_range(found.sel(asked), "density", "gaussian").mean(["layer", "head"])
    by_context = slope(mean.density, "context")
    width = widths.sel(asked | {"context": recipes.CONTEXT}).density.mean(["layer", "head"])
    return {
        "slope of log density on log context length": by_context.values,
        "that slope less the one of Gaussian logits of the same variance": (
            by_context - slope(mean.gaussian, "context")
        ).values,
        "slope of log density on log model width": slope(width, "width").values,
        "slope of log density on log context length, independent Gaussian logits of variance 1": np.array(
            [independent(int(seed)) for seed in found.seed]
        ),
    }


def summary(found: xr.Dataset) -> dict[str, float]:
    """What chapter 6 says of one model's sweep of `survey`: means over seeds, by names that prose can use."""
    asked = found.sel(counted=COUNTED, share=SHARE)
    last = {"context": int(asked.context[asked.context <= int(asked.trained.min())][-1])}
    at = asked.sel(last)[["density", "gaussian", "sink", "own", "own_keys"]].mean()
    density = trained_range(asked, "density").density
    by_layer = slope(density.mean(["head", "seed"]), "context")
    heads = head_curves(found, [COUNTED])
    line = 1 - heads.growth / 2
    return {
        "n_models": found.sizes["seed"],
        "density": float(at.density),
        "number": float(at.density * (last["context"] - FIRST[COUNTED])),
        "gaussian": float(at.gaussian),
        "sink": float(at.sink),
        "own": float(at.own),
        "own_keys": float(at.own_keys / last["context"]),
        "slope": float(slope(density.mean(["layer", "head"]), "context").mean()),
        "slope_first": float(by_layer[0]),
        "slope_last": float(by_layer[-1]),
        "heads_gap": float(abs(heads.exponent - line).mean()),
        "heads_gap_gaussian": float(abs(heads.exponent_gaussian - line).mean()),
    }


def needs(found: xr.Dataset, limit: float, kept: int) -> dict[str, float]:
    """What chapter 6 says of one model's sweep of `truncation`: means over seeds, by names that prose can use."""
    curves, last = truncation_curves(found, [limit]).squeeze("limit"), {"context": -1}
    number = curves.needed * curves.context
    return {
        "strongest": float(curves.strongest.sel(kept=kept)[last]),
        "random": float(curves.random.sel(kept=kept)[last]),
        "needed_short": float(number[{"context": 0}]),
        "needed_long": float(number[last]),
        "needed_slope": float(curves.exponent),
    }
