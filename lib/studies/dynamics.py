"""What chapter 4 measures while the world stays the same: modes, fluctuations, speed against accuracy, schedules."""

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr

from lib import checks, dynamics, theory
from lib.alignment import online
from lib.analysis import relaxation_time, spread
from lib.cortex import Cortex, draw_cortex, tensor
from lib.dynamics import Environment, draw_weights, learn
from lib.measures import check_run, check_settings, largest_network
from lib.odors import Gaussian
from lib.profile import Profile
from lib.studies.alignment import RELAXATIONS

N_STEPS = 30  # checkpoints of a course
DURATION = {"hebbian": 8, "sgd": 120}  # of the courses of modes, in units of 1 / learning rate
TRACE = 5 * np.arange(201)  # presentations at which a settled weight is looked at
LAGS = np.arange(0, 101, 4)  # of its autocorrelation, in units of TRACE's spacing
FINE = np.geomspace(0.001, 0.2, 41)  # learning rates at which a closed form is drawn


def check(run: Profile, n_neurons, n_glomeruli, density, seed) -> None:
    """ValueError with one sentence for a parameter of chapter 4 out of its range, or too large for the profile."""
    checks.whole("n_neurons", n_neurons, 200)
    checks.whole("n_glomeruli", n_glomeruli, 8, min(n_neurons // 2, 1000))
    checks.whole("n_neurons", n_neurons, 200, largest_network(4 * n_glomeruli, 10_000, run.memory) // 2)
    checks.scalar("density", density, 20 / n_neurons, 0.5)  # half and twice of it are shown, too
    check_settings(n_neurons, n_glomeruli, density, None, 1000, 0.1, "gaussian")
    check_run(seed, run.device)


def mode_course(
    rule: str,
    learning_rate: float,
    ratio: float,
    *,
    n_modes: int = 8,
    n_inputs: int = 60,
    n_receiving: int = 12,
    n_streams: int = 12,
    n_steps: int = N_STEPS,
    seed: int = 0,
    device: str = "cpu",
) -> xr.Dataset:
    """Course of every mode of the weights from W = 0, as the mean over streams of odors, beside its exact mean.

    `ratio`: variance of the strongest odor component over that of the weakest; the others are spaced evenly in its
    logarithm. A mode is a principal component of the left code; "share": its strength as a share of all. A mode's
    value is the projection of W on its limit, 1 when learned; "half": presentations to one half, NaN if never.
    """
    checks.choice("rule", rule, tuple(DURATION))
    checks.scalar("ratio", ratio, 1)
    checks.number("learning_rate", learning_rate, 0, 0.5, open_low=True)
    *sides, shown = np.random.default_rng(seed).spawn(3)
    amplitudes = ratio ** (-np.arange(n_modes) / (2 * max(1, n_modes - 1)))
    sizes = (n_inputs, n_receiving)
    place = Environment(*(draw_weights(rng, n, n_modes) * amplitudes for rng, n in zip(sides, sizes, strict=True)))
    u, s, _ = np.linalg.svd(place.left, full_matrices=False)
    rate, presentations = place.rate(rule, learning_rate), dynamics.checkpoints(DURATION[rule], learning_rate, n_steps)
    start = torch.zeros(n_streams, n_receiving, n_inputs, device=device)
    axes, own = tensor(u, device), tensor(place.limit(rule) @ u, device)
    path = torch.stack(list(learn(rule, start, place.sampler(shown, device), rate, presentations)))
    course = ((path @ axes * own).sum(2) / (own**2).sum(0)).mean(1).cpu().numpy().T
    rates = np.full(n_modes, rate) if rule == "hebbian" else rate * s**2
    return xr.Dataset(
        {
            "course": (("mode", "step"), course),
            "course_theory": (("mode", "step"), dynamics.rise(presentations, rates[:, None])),
            "presentations": ("step", presentations),
            "share": ("mode", s**2 / place.power),
            "half": ("mode", [_reached(presentations, c) for c in course]),
            "half_theory": ("mode", dynamics.half_time(rates)),
        },
        coords={"mode": np.arange(1, n_modes + 1), "step": np.arange(n_steps)},
    )


def _reached(time: np.ndarray, course: np.ndarray, level: float = 0.5) -> float:
    """When `course` first reaches `level`, between the checkpoints; NaN if never."""
    above = np.flatnonzero(course >= level)
    if not len(above):
        return np.nan
    near = slice(max(0, above[0] - 1), above[0] + 1)
    return float(np.interp(level, course[near], time[near]))


def mode_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `mode_course`: strongest, middle and weakest mode, and every mode's half time by its strength."""
    shown = {"strong": 0, "middle": found.sizes["mode"] // 2, "weak": -1}
    courses = xr.Dataset({name: found.course.isel(mode=i, drop=True) for name, i in shown.items()})
    exact = {f"{name}_theory": found.course_theory.isel(mode=i, drop=True).mean("seed") for name, i in shown.items()}
    halves = spread(found, "half").assign(half_theory=found.half_theory.mean("seed"), share=found.share.mean("seed"))
    factor = (found.half.isel(mode=-1) / found.half.isel(mode=0)).mean("seed")
    others = {"factor": factor, "presentations": found.presentations.isel(seed=0, drop=True)}
    return spread(courses, *shown).assign(exact | others).assign(halves)


def mode_measures(hebbian: xr.Dataset, sgd: xr.Dataset) -> dict[str, xr.DataArray]:
    """What claim B4 asks of sweeps of `mode_course` at one setting, one value a seed."""
    times = (hebbian.presentations.isel(seed=0), hebbian.course)
    relaxation = xr.apply_ufunc(relaxation_time, *times, input_core_dims=[["step"]] * 2, vectorize=True)
    half, share = np.log(sgd.half), np.log(sgd.share)
    across = share - share.mean("mode")
    fitted = (across * half).sum("mode", skipna=False) / (across**2).sum("mode")
    return {
        "relaxation time of the slowest mode over the fastest, Hebb": relaxation.max("mode") / relaxation.min("mode"),
        "slope of log half-learning time on log mode strength, SGD": fitted,
    }


def centred_codes(rng: np.random.Generator, right: Cortex, left: Cortex, codes: str, activity: float) -> dynamics.Draw:
    """Draws of both cortices' codes of n Gaussian odors in each of s streams, less their exact means (`eq-moments`)."""
    mean = float(theory.moments(activity).mean) * (codes == "thresholded")
    sides = [(side, mean * side.weights.norm(dim=1, keepdim=True)) for side in (right, left)]

    def draw(n_streams: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = tensor(rng.standard_normal((n_streams, left.weights.shape[1], n), np.float32), left.weights.device)
        return tuple(side.encode(x, codes) - mean for side, mean in sides)

    return draw


def settled_weights(
    learning_rate: float,
    codes: str = "linear",
    *,
    n_glomeruli: int = 20,
    n_neurons: int = 20,
    n_streams: int = 32,
    activity: float = 0.1,
    seed: int = 0,
    device: str = "cpu",
) -> xr.Dataset:
    """Fluctuations of settled Hebbian weights over independent streams of odors, with synapses between all neurons.

    "variance": of the weights, over that of their products y_R y_L, both summed over synapses; "autocorrelation" along
    "lag" (presentations); "trace": one weight less its mean, in mean standard deviations of a product, along "time".
    """
    checks.choice("codes", codes, ("linear", "thresholded"))
    checks.number("learning_rate", learning_rate, 0, 0.5, open_low=True)
    left_rng, right_rng, shown, sampled = np.random.default_rng(seed).spawn(4)
    cortex = (n_neurons, n_glomeruli, activity, Gaussian(), None)
    left, right = (draw_cortex(rng, *cortex, device=device) for rng in (left_rng, right_rng))
    draw, other = (centred_codes(rng, right, left, codes, activity) for rng in (shown, sampled))
    if codes == "linear":
        place = Environment(*(side.weights.cpu().numpy() for side in (left, right)))
        products = tensor(dynamics.product_variance(place), device)
    else:
        y_r, y_l = other(1, 20_000)
        products = (y_r**2 @ (y_l**2).mT - (y_r @ y_l.mT) ** 2 / y_r.shape[-1])[0] / y_r.shape[-1]
    first = round(4 / learning_rate)  # by then the variance is within .1 % of its limit
    start = torch.zeros(n_streams, n_neurons, n_neurons, device=device)
    path = torch.stack(list(learn("hebbian", start, draw, learning_rate, first + TRACE)))
    off = (path - path.mean(1, keepdim=True)) / products.mean().sqrt()  # from the mean over streams
    unbiased = n_streams / (n_streams - 1)
    together = np.array([float((off[: len(off) - lag] * off[lag:]).mean()) for lag in LAGS]) * unbiased
    values = {"variance": ((), together[0]), "autocorrelation": ("lag", together / together[0])}
    values["trace"] = ("time", off[:, 0, 0, 0].cpu().numpy())
    return xr.Dataset(values, coords={"lag": TRACE[LAGS], "time": TRACE})


def fluctuation_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `settled_weights` with its closed forms; the trace is the first seed's."""
    rates = np.union1d(FINE, found.learning_rate)
    return spread(found, "variance", "autocorrelation").assign(
        trace=found.trace.isel(seed=0, drop=True),
        variance_theory=("rate", dynamics.weight_variance(rates)),
        autocorrelation_theory=(1 - found.learning_rate) ** found.lag,
        rate=rates,
    )


def variance_ratio(found: xr.Dataset) -> xr.DataArray:
    """Settled variance in a sweep of `settled_weights` over that of `eq-fluctuations`, at each setting and seed."""
    return found.variance / xr.apply_ufunc(dynamics.weight_variance, found.learning_rate)


def settle(
    learning_rate: float,
    n_glomeruli: int,
    density: float,
    *,
    n_neurons: int,
    sample: int = 60,
    n_streams: int = 4,
    seed: int = 0,
    device: str = "cpu",
) -> dict:
    """Excess error and relaxation time of online Hebb with linear codes over six relaxation times.

    The weights are M o (J_R B J_L^T) exactly, where B is what the Hebbian rule makes of the odors themselves. "excess":
    settled error 1/r^2 - 1 over that of the mean weights B = I in the same network; "product": that times
    "relaxation", the fitted time constant in presentations.
    """
    checks.scalar("learning_rate", learning_rate, 0, 0.5, open_low=True)
    checks.scalar("density", density, 0, 1, open_low=True)
    left_rng, right_rng, mask_rng, shown = np.random.default_rng(seed).spawn(4)
    left = draw_weights(left_rng, n_neurons, n_glomeruli)
    place = Environment(left, draw_weights(right_rng, sample, n_glomeruli))
    mask = tensor(mask_rng.random((sample, n_neurons)) < density, device)
    sent, own = tensor(place.left.T, device), tensor(place.right, device)
    limit = mask * (own @ sent)
    odors = Environment(*[np.eye(n_glomeruli, dtype=np.float32)] * 2)
    stops = np.round(RELAXATIONS / learning_rate).astype(int)
    start, errors, overlaps = torch.zeros(n_streams, n_glomeruli, n_glomeruli, device=device), [], []
    for seen in learn("hebbian", start, odors.sampler(shown, device), learning_rate, stops):
        weights = mask * (own @ seen @ sent)
        errors.append(float((place.alignment(weights) ** -2 - 1).mean()))
        overlaps.append(float((weights * limit).sum((-2, -1)).mean() / (limit**2).sum()))
    tau = relaxation_time(stops.astype(float), np.array(overlaps))
    excess = np.mean(np.array(errors)[RELAXATIONS >= 4]) - float(place.alignment(limit) ** -2 - 1)
    return {"excess": float(excess), "relaxation": tau, "product": float(excess * tau)}


def trade_curves(found: xr.Dataset, n_neurons: int) -> xr.Dataset:
    """A sweep of `settle` with `eq-trade-off`."""
    product = xr.apply_ufunc(dynamics.trade_off, found.density * n_neurons, found.n_glomeruli)
    rates = FINE[FINE <= 0.02]
    rate = xr.DataArray(rates, dims="rate", coords={"rate": rates})
    forms = {"excess_theory": product * rate, "product_theory": product + 0 * rate}
    return spread(found, "excess", "product").assign(forms)


def scheduled_course(schedule: str, codes: str, **settings) -> dict:
    """`online` under one of the schedules of `lib.dynamics`, without cosines."""
    checks.choice("schedule", schedule, dynamics.SCHEDULES)
    course = online(learning_rate=_rate(schedule), codes=codes, cosines=False, **settings)
    return {"presentations": course.presentations, "drive": course.drive}


def _rate(schedule: str) -> Callable[[int], float]:
    """The schedule as the online rule takes it, at most one half."""
    return lambda t: min(0.5, dynamics.SCHEDULES[schedule](t))


def schedule_curves(found: xr.Dataset, fan_in: float, n_glomeruli: int, activity: float = 0.1) -> xr.Dataset:
    """A sweep of `scheduled_course` with the alignment of as many odors as each memory is worth, and of a batch of all.

    "worth": those odors, `eq-effective-odors`.
    """
    times = np.unique(np.geomspace(found.presentations[0], found.presentations[-1], 40).astype(int))
    every = np.arange(1, times[-1] + 1)
    worth = [
        dynamics.effective_odors([rate(t) for t in every]) for rate in map(_rate, found.schedule.values)
    ]
    worth = xr.DataArray(
        np.array(worth)[:, times - 1], dims=["schedule", "fine"], coords={"schedule": found.schedule, "fine": times}
    )
    batch = xr.DataArray(times, dims="fine", coords={"fine": times})
    forms = {"drive_theory": _alignment(worth, found.codes, fan_in, n_glomeruli, activity)}
    forms["drive_batch"] = _alignment(batch, found.codes, fan_in, n_glomeruli, activity)
    return spread(found, "drive").assign(forms | {"worth": worth, "worth_batch": batch.astype(float)})


def _alignment(n_odors: xr.DataArray, codes: xr.DataArray, fan_in, n_glomeruli, activity) -> xr.DataArray:
    """Drive alignment after so many odors of equal weight: linear (`eq-online`), thresholded codes (`eq-drive`)."""
    linear = (1 + theory.linear_online_error(2 / n_odors, fan_in, n_glomeruli)) ** -0.5
    thresholded = xr.apply_ufunc(theory.drive_alignment, fan_in, n_glomeruli, n_odors, activity)
    return xr.where(codes == "linear", linear, thresholded)
