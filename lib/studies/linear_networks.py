"""What chapter 4 measures on networks that learn their modes in order, beside their exact courses."""

import numpy as np
import xarray as xr

from lib import checks, linear_networks
from lib.analysis import spread

TIMES = np.linspace(0, 40, 61)  # of two-layer networks, in units of the inverse learning rate
STEP = 0.01  # of their gradient descent, on strengths of at most 1
SANGER = np.geomspace(0.1, 25, 25)  # checkpoints of Sanger's rule, in units of 1 / eta
MODES = ("strong", "middle", "weak")
NEURONS = ("first", "second", "third")


def two_layer_course(start: float, ratio: float, seed: int = 0) -> dict:
    """Three modes of a two-layer linear network, of strengths 1 to 1 / `ratio`, each from `start` (`eq-saxe`).

    In units of the mode's strength, along "time"; "distance": the largest from the exact curve.
    """
    checks.scalar("ratio", ratio, 1)
    checks.number("start", start, 0, 0.49 / ratio, open_low=True)
    strengths = float(ratio) ** (-np.arange(len(MODES)) / 2)
    modes = linear_networks.two_layers(np.random.default_rng(seed), strengths, start, STEP, np.round(TIMES / STEP))
    gap = np.abs(modes - linear_networks.saxe(TIMES[:, None], strengths, start)) / strengths
    return {"time": TIMES, **dict(zip(MODES, (modes / strengths).T, strict=True)), "distance": float(gap.max())}


def two_layer_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `two_layer_course`, the exact curves, and "factor": weak mode's half time over the strong one's."""
    times = np.linspace(0, TIMES[-1], 121)
    fine = xr.DataArray(times, dims="fine", coords={"fine": times})
    strengths = [found.ratio ** (-i / 2) for i in range(len(MODES))]
    exact = {
        f"{name}_theory": xr.apply_ufunc(linear_networks.saxe, fine, strength, found.start) / strength
        for name, strength in zip(MODES, strengths, strict=True)
    }
    first, last = (xr.apply_ufunc(linear_networks.saxe_half_time, strengths[i], found.start) for i in (0, -1))
    return spread(found, *MODES).assign(exact | {"factor": last / first})


def sanger_course(
    learning_rate: float, ratio: float, *, n_inputs: int = 10, n_streams: int = 16, seed: int = 0, device: str = "cpu"
) -> dict:
    """Cosine of each of Sanger's three neurons with its principal component, mean over streams of odors (`eq-sanger`).

    `ratio`: of neighbouring eigenvalues of the inputs' covariance, whose first is 1. "norm": length of the first
    neuron's weights. Along "time", in units of 1 / eta; `_theory`: the mean dynamics.
    """
    checks.scalar("ratio", ratio, 1, open_low=True)
    checks.number("learning_rate", learning_rate, 0, 0.2, open_low=True)
    axes_rng, shown = np.random.default_rng(seed).spawn(2)
    axes = linear_networks.orthogonal(axes_rng, n_inputs, n_inputs)
    eigenvalues = float(ratio) ** -np.arange(n_inputs)
    root, covariance = ((axes * eigenvalues**power) @ axes.T for power in (0.5, 1))
    signs = 1 - 2 * (np.arange(n_inputs) >> np.arange(len(NEURONS))[:, None] & 1)  # in all directions alike
    start = signs @ axes.T / (2 * n_inputs**0.5)
    stops = np.maximum(1, np.round(SANGER / learning_rate))
    path = linear_networks.sanger(shown, root, start, learning_rate, stops, n_streams, device).cpu().numpy()
    exact = linear_networks.sanger_mean(SANGER, covariance, start)
    exact[:, 0] = linear_networks.oja_mean(SANGER, covariance, start[0])
    values = {"time": SANGER}
    for suffix, weights in (("", path), ("_theory", exact[:, None])):
        norms = np.linalg.norm(weights, axis=-1)
        cosines = np.abs(np.einsum("tsmd,dm->tsm", weights, axes[:, : len(NEURONS)])) / norms
        values["norm" + suffix] = norms[..., 0].mean(1)
        values |= {name + suffix: cosines[..., i].mean(1) for i, name in enumerate(NEURONS)}
    return values


def sanger_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `sanger_course`, with the mean dynamics averaged over the seeds' starts."""
    names = [*NEURONS, "norm"]
    exact = {f"{name}_theory": found[f"{name}_theory"].mean("seed") for name in names}
    return spread(found, *names).assign(exact | {"presentations": found.time / found.learning_rate})
