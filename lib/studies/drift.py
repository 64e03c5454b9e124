"""What chapter 4 measures when the world changes: a new environment of odors, and codes that drift all the time."""

import numpy as np
import torch
import xarray as xr

from lib import checks, dynamics, linear_networks
from lib.analysis import relaxation_time, slope, spread
from lib.cortex import tensor
from lib.dynamics import Environment, draw_weights, learn
from lib.online import hebbian_steps

DURATION = {"hebbian": 6, "sgd": 40}  # of the course in the new environment, in units of 1 / learning rate
N_STEPS = 30  # checkpoints of that course
OVERLAPS = np.linspace(0, 1, 41)  # at which the large-network limit is drawn
SLOW = 2  # a best rate is sought where it is above so many times the speed: a rotation comes round for slower ones
HELD = 0.1  # codes are held for so long while they drift, in units of 1 / (eta + speed)


def environments(rng: np.random.Generator, overlap: float, n_inputs: int, n_receiving: int) -> list[Environment]:
    """An old and a new environment of 8 odor components each out of 24 glomeruli, seen by the same two cortices.

    `overlap`: squared cosine of the angle between each old component and its new one.
    """
    n_glomeruli, n_components = 24, 8
    axes = linear_networks.orthogonal(rng, n_glomeruli, 2 * n_components) * (n_glomeruli / n_components) ** 0.5
    old, other = axes[:, :n_components], axes[:, n_components:]
    left, right = (draw_weights(rng, n, n_glomeruli) for n in (n_inputs, n_receiving))
    new = overlap**0.5 * old + (1 - overlap) ** 0.5 * other
    return [Environment(left @ basis, right @ basis) for basis in (old, new)]


def switch_course(
    rule: str,
    learning_rate: float,
    overlap: float,
    *,
    n_inputs: int = 120,
    n_receiving: int = 12,
    n_streams: int = 6,
    seed: int = 0,
    device: str = "cpu",
) -> xr.Dataset:
    """Memory of the old and of the new environment after a switch from one to the other, along "step" (`eq-memory`).

    The weights have settled in the old one before. "old", "new": memory as the mean over streams; "old_alignment",
    "new_alignment": drive alignment; `_theory`: of the mean weights. "kept": alignment on old odors at the end;
    "forgetting": fitted rate at which the old memory fades under Hebb, over eta.
    """
    checks.choice("rule", rule, tuple(DURATION))
    checks.scalar("overlap", overlap, 0, 1)
    checks.number("learning_rate", learning_rate, 0, 0.5, open_low=True)
    world, shown = np.random.default_rng(seed).spawn(2)
    old, new = environments(world, overlap, n_inputs, n_receiving)
    presentations = dynamics.checkpoints(DURATION[rule], learning_rate, N_STEPS)
    start = old.limit(rule)
    weights = tensor(start, device).expand(n_streams, -1, -1)
    settled = [round(3 / learning_rate)]  # by then the variance is within 1 % of its limit
    (weights,) = learn(rule, weights, old.sampler(shown, device), old.rate(rule, learning_rate), settled)
    rate = new.rate(rule, learning_rate)
    path = torch.stack(list(learn(rule, weights, new.sampler(shown, device), rate, presentations)))
    times = np.append(presentations, 10**9)  # the last: in the end
    mean = tensor(dynamics.mean_weights(rule, start, new, rate, times), device)
    values = {}
    for name, place in zip(("old", "new"), (old, new), strict=True):
        for suffix, weights in (("", path), ("_theory", mean[:-1, None])):
            values[name + suffix] = ("step", place.memory(weights, rule).mean(1).cpu().numpy())
            values[f"{name}_alignment{suffix}"] = ("step", place.alignment(weights).mean(1).cpu().numpy())
    values["kept"] = ((), float(old.alignment(path[-3:]).mean()))
    values["kept_theory"] = ((), float(old.alignment(mean[-1])))
    values["forgetting"] = ((), np.nan)
    if rule == "hebbian" and overlap < 1:
        values["forgetting"] = ((), 1 / relaxation_time(presentations * learning_rate, 1 - values["old"][1]))
    return xr.Dataset(values, coords={"step": np.arange(N_STEPS)}).assign(presentations=("step", presentations))


def switch_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `switch_course`, and what alignment a large network keeps at each overlap (`eq-kept`)."""
    shown = ["old", "new", "old_alignment", "new_alignment"]
    exact = {f"{name}_theory": found[f"{name}_theory"].mean("seed") for name in [*shown, "kept"]}
    fine = xr.DataArray(OVERLAPS, dims="fine", coords={"fine": OVERLAPS})
    large = xr.concat([xr.apply_ufunc(dynamics.kept_alignment, rule, fine) for rule in found.rule.values], found.rule)
    times = found.presentations.isel(seed=0, overlap=0, drop=True)
    return spread(found, *shown, "kept").assign(exact | {"kept_large": large, "presentations": times})


def drift_course(
    drift: str,
    speed: float,
    learning_rate: float,
    *,
    n_neurons: int,
    n_glomeruli: int,
    density: float,
    sample: int = 60,
    n_streams: int = 2,
    seed: int = 0,
    device: str = "cpu",
) -> dict:
    """Settled error of online Hebb with linear codes while both cortices' input weights drift (`eq-drift`).

    "error": 1/r^2 - 1 for the codes of the moment, mean over 5 relaxation times after as many to settle. Codes move in
    small steps, each after `HELD`; the mean is over the moments before and after a step, which cancels its size to
    first order.
    """
    checks.choice("drift", drift, ("diffusing", "rotating"))
    checks.number("speed", speed, 0, 0.1)
    checks.number("learning_rate", learning_rate, 0, 0.5, open_low=True)
    checks.scalar("density", density, 0, 1, open_low=True)
    rng = np.random.default_rng(seed)
    sizes = (n_neurons, sample)
    first, other = ([draw_weights(rng, n, n_glomeruli) for n in sizes] for _ in range(2))
    mask = tensor(rng.random((sample, n_neurons)) < density, device)
    held = max(1, round(HELD / (learning_rate + speed)))
    n_blocks = round(10 / learning_rate / held)
    weights, errors = torch.zeros(n_streams, sample, n_neurons, device=device), []
    now = first
    for block in range(n_blocks):
        place = Environment(*now)
        draw = place.sampler(rng, device)
        weights = hebbian_steps(weights, mask, *draw(n_streams, held), np.full(held, learning_rate))
        now = _drifted(rng, drift, speed * held, block + 1, now, first, other)
        if block >= n_blocks / 2:
            errors += [float((seen.alignment(weights) ** -2 - 1).mean()) for seen in (place, Environment(*now))]
    return {"error": float(np.mean(errors))}


def _drifted(rng, drift, angle, block, now, first, other) -> list[np.ndarray]:
    """Both cortices' input weights one block of presentations later."""
    if drift == "rotating":
        return [np.cos(angle * block) * a + np.sin(angle * block) * b for a, b in zip(first, other, strict=True)]
    keep = np.exp(-angle)
    return [keep * j + (1 - keep**2) ** 0.5 * draw_weights(rng, *j.shape) for j in now]


def drift_curves(found: xr.Dataset, fan_in: float, n_glomeruli: int) -> xr.Dataset:
    """A sweep of `drift_course` over rates with `eq-drift`.

    "measured", "best": rate of least error in the runs and of the closed form; "best_slow": `eq-best-rate`; "tenfold":
    by what factor the measured one grows where the speed grows tenfold.
    """
    rates, paces = (np.geomspace(found[name].min(), found[name].max(), 201) for name in ("learning_rate", "speed"))
    paces = np.union1d(paces[::20], found.speed)
    rate, pace = (xr.DataArray(v, dims=d, coords={d: v}) for d, v in {"rate": rates, "pace": paces}.items())

    def form(function, *settings):
        kinds = [xr.apply_ufunc(function, *settings, fan_in, n_glomeruli, kind) for kind in found.drift.values]
        return xr.concat(kinds, found.drift)

    best = {"best": form(dynamics.drift_error, rate, pace).where(rate > SLOW * pace).idxmin("rate")}
    best["best_slow"] = form(dynamics.best_rate, pace)
    error = form(dynamics.drift_error, rate[::5], found.speed)
    measured = best_rates(found)
    tenfold = 10 ** slope(measured.mean("seed"), "speed")
    curves = spread(found.assign(measured=measured), "error", "measured")
    return curves.assign(best | {"error_theory": error, "tenfold": tenfold})


def best_rates(found: xr.Dataset) -> xr.DataArray:
    """Learning rate of least error in a sweep of `drift_course`, by a parabola through the three rates around it.

    Sought above `SLOW` times the speed of drift.
    """

    def lowest(error: np.ndarray) -> float:
        i = int(np.clip(np.nanargmin(error), 1 + np.isnan(error).sum(), len(error) - 2))
        near = slice(i - 1, i + 2)
        square, linear, _ = np.polyfit(rates[near], error[near], 2)
        return float(np.exp(np.clip(-linear / (2 * square), rates[0], rates[-1])))

    rates = np.log(found.learning_rate.values)
    error = found.error.where(found.learning_rate > SLOW * found.speed)
    return xr.apply_ufunc(lowest, error, input_core_dims=[["learning_rate"]], vectorize=True)
