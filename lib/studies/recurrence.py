"""What chapter 3 measures of recurrence: alignment with and without the receiving cortex's own synapses."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import xarray as xr

from lib import checks, projection
from lib.analysis import required_density, spread
from lib.cortex import draw_cortex, tensor
from lib.measures import MEMORY, check_memory, check_run, check_settings, pearson, response
from lib.odors import Gaussian, Mixture, statistics
from lib.profile import Profile
from lib.recurrence import predict, recurrent_weights, settle, shuffled
from lib.theory import moments

DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
TARGETS = np.round(np.arange(0.1, 0.61, 0.05), 2)
N_TEST = 200  # odors on which alignment is measured
FOLLOWED = {"sparse": 0.02, "middle": 0.1, "dense": 0.5}  # densities whose course over steps is drawn


def check(run: Profile, n_neurons, n_glomeruli, n_odors, activity, seed) -> None:
    """BadSetting with one sentence for a parameter of the chapter's first half that is out of its range."""
    checks.whole("n_glomeruli", n_glomeruli, 10)
    checks.scalar("activity", activity, 0.5 / N_TEST, 0.5, open_low=True)
    least = max(400, 40 * math.ceil(1 / activity))  # a fortieth of them drives each neuron, a quarter is a stream
    checks.whole("n_odors", n_odors, least)
    checks.whole("n_neurons", n_neurons, 200, int((run.memory / 32) ** 0.5))  # both projections and what they take
    check_settings(n_neurons, n_glomeruli, 1.0, None, n_odors, activity, "gaussian")
    check_run(seed, run.device)


def recur(
    n_odors: int,
    gain: Sequence[float],
    *,
    n_neurons: int = 1000,
    n_glomeruli: int = 50,
    density: Sequence[float] = DENSITIES,
    activity: float = 0.1,
    odors: str | Gaussian | Mixture = "gaussian",
    n_steps: int = 3,
    n_test: int = N_TEST,
    seed: int = 0,
    device: str = "cpu",
    memory: int = MEMORY,
) -> xr.Dataset:
    """Alignment with recurrence in the receiving cortex (`eq-recurrence`), which learns from the same familiar odors.

    "drive", "response" (gain, tested, step, density), step 0 without recurrence; "response_shuffled" (gain, density)
    for novel odors after one step of weights moved to other pairs. Densities share codes and one draw a synapse.
    """
    check_settings(n_neurons, n_glomeruli, density, None, n_odors, activity, odors, n_test)
    checks.number("gain", gain, 0)
    check_run(seed, device)
    check_memory(n_neurons, n_glomeruli, n_odors + n_test, memory, extra=4 * n_neurons + 8 * len(density) * n_test)
    world, shown, tested, left_rng, right_rng, mask_rng, shuffle_rng = np.random.default_rng(seed).spawn(7)
    kind = statistics(odors)
    sampler = kind.sampler(world, n_glomeruli)
    familiar, novel = (tensor(sampler(rng, n), device) for rng, n in ((shown, n_odors), (tested, n_test)))
    cortex = (n_neurons, n_glomeruli, activity, kind, sampler)
    left, right = (draw_cortex(rng, *cortex, device=device) for rng in (left_rng, right_rng))
    codes = right.code(familiar)
    draws = projection.draw_synapses(mask_rng, n_neurons, n_neurons, density=max(density), device=device)
    learned = projection.hebbian(draws, [(codes, left.code(familiar))])
    weights = recurrent_weights(codes)
    moved = shuffled(shuffle_rng, weights)
    found = {}
    for name, x in (("novel", novel), ("familiar", familiar[:, :n_test])):
        arriving = torch.stack([projection.select(draws, p, learned) @ left.code(x) for p in density])
        own = right.drive(x), right.code(x)
        found[name] = [_aligned(settle(weights, arriving, activity, g, n_steps), own, activity) for g in gain]
        if name == "novel":
            control = [_aligned(settle(moved, arriving, activity, g, 1), own, activity)[1, 1] for g in gain]
    values = np.array(list(found.values()))  # (tested, gain, step, measure, density)
    dims = ("tested", "gain", "step", "density")
    measured = {name: (dims, values[:, :, :, i]) for i, name in enumerate(("drive", "response"))}
    return xr.Dataset(
        measured | {"response_shuffled": (("gain", "density"), np.array(control))},
        coords={"tested": list(found), "gain": list(gain), "step": np.arange(n_steps + 1), "density": list(density)},
    )


def _aligned(drives: Iterable[torch.Tensor], own: tuple[torch.Tensor, torch.Tensor], activity: float) -> np.ndarray:
    """Drive and response alignment at each step, (step, 2, density)."""
    steps = [(pearson(d, own[0]).mean(1), pearson(response(d, activity), own[1]).mean(1)) for d in drives]
    return np.array([[measure.cpu().numpy() for measure in pair] for pair in steps])


def recurrence_curves(found: xr.Dataset, n_neurons: int, n_glomeruli: int, activity: float = 0.1) -> xr.Dataset:
    """A sweep of `recur`: without and after one step over density, the course over steps, `eq-meanfield` beside them.

    "change": response alignment after one step over that before, at the highest density.
    """
    curves = {}
    for name, step in (("without", 0), ("recurrent", 1)):
        for measure in ("drive", "response"):
            curves |= _named(found[measure].sel(step=step, drop=True), f"{measure}_{name}")
    for name, density in FOLLOWED.items():
        near = found.response.sel(density=density, method="nearest", drop=True)
        curves |= _named(near, f"course_{name}")
    curves |= _named(found.response_shuffled, "response_shuffled")
    last = found.response.isel(density=-1, drop=True)
    curves["change"] = (last.sel(step=1, drop=True) / last.sel(step=0, drop=True)).mean("seed")
    novel = xr.DataArray(found.tested == "novel")
    forms = _closed_forms(found, n_neurons, n_glomeruli, activity)
    return xr.Dataset(curves).assign({name: form.where(novel) for name, form in forms.items()})


def _named(values: xr.DataArray, name: str) -> dict[str, xr.DataArray]:
    return dict(spread(values.to_dataset(name=name), name))


def _closed_forms(found: xr.Dataset, n_neurons: int, n_glomeruli: int, activity: float) -> dict[str, xr.DataArray]:
    """`eq-meanfield` over n_odors, gain and density, where familiar odors are many enough for it."""
    sizes = dict(n_neurons=n_neurons, n_glomeruli=n_glomeruli, activity=activity)
    least = 4 * float(moments(activity).u) * n_glomeruli

    def predicted(n_odors: float, gain: float, density: float) -> np.ndarray:
        if n_odors < least:
            return np.full((2, 2), np.nan)
        return np.array(predict(density, n_odors=n_odors, gain=gain, n_steps=1, **sizes))

    form = xr.apply_ufunc(
        predicted, found.n_odors, found.gain, found.density, output_core_dims=[["measure", "at"]], vectorize=True
    )
    names = ("drive", "response"), ("without", "recurrent")
    return {
        f"{measure}_{name}_theory": form.isel(measure=i, at=j)
        for i, measure in enumerate(names[0])
        for j, name in enumerate(names[1])
    }


def needed(found: xr.Dataset, targets: Sequence[float]) -> xr.Dataset:
    """Density needed for each response alignment, without recurrence and after one step, and their ratio, each seed."""
    target = xr.DataArray(targets, dims="target", coords={"target": targets})
    required = [
        xr.concat([required_density(found.response.sel(step=step, drop=True), float(t)) for t in target], target)
        for step in (0, 1)
    ]
    return xr.Dataset({"without": required[0], "recurrent": required[1], "ratio": required[0] / required[1]})


def needed_curves(found: xr.Dataset) -> xr.Dataset:
    """`needed` over `TARGETS` with its spread."""
    return spread(needed(found, TARGETS), "without", "recurrent", "ratio")
