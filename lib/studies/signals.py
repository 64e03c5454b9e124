"""What chapter 2 asks of a learning signal: whether decay alone makes it look Hebbian, and whether Hebb's is of use."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lib import checks, updates
from lib.cortex import tensor
from lib.flow import Batch
from lib.studies.updates import draw, learn

LEARNERS = ("gradient descent", "gradient descent, wrong labels", "fixed random drift")
STEP = 0.01  # of the best step along Hebb at W = 0, where the second order is half a per cent of the first


def signals(learner: str, decay: float, time: Sequence[float], *, density: float, **settings) -> dict:
    """Cosines of a learner's signal, its increment without decay, with two Hebbian increments, averaged over odors.

    "hebbian": y_R y_L^T, by the right cortex's own answer; "output": (W y_L) y_L^T, by what the projection makes it
    say. All learners start at the same random weights. "fixed random drift" adds the same random matrix at all times.
    "hebbian_rest", "output_rest": the cosines where the signal balances the decay (`eq-stationary`), NaN without decay.
    """
    checks.choice("learner", learner, LEARNERS)
    drawn, rng, _ = draw(density=density, **settings)
    own = _start(drawn, rng)
    shuffled = drawn.hebbian_of(_shuffled(drawn, rng))
    drift = _as_long(tensor(rng.standard_normal(shuffled.shape), shuffled.device), drawn.hebbian)
    target = dict(zip(LEARNERS, (drawn.hebbian, shuffled, drift), strict=True))[learner]
    covariance = drawn.covariance * (learner != "fixed random drift")  # which does not look at its own output
    weights = learn(drawn, time, target=target, covariance=covariance, start=own, decay=decay)
    found = target - torch.einsum("nij,tnj->tni", covariance, weights)
    rest = torch.full_like(target, torch.nan)
    if decay:
        shrinking = decay * drawn.pace * torch.eye(target.shape[1], dtype=target.dtype, device=target.device)
        rest = torch.linalg.solve(covariance + shrinking, target)
    return {
        "hebbian": [float(updates.cosine(signal, drawn.hebbian)) for signal in found],
        "output": [float(updates.cosine(*pair)) for pair in zip(found, drawn.output(weights), strict=True)],
        "hebbian_rest": np.full(len(time), float(updates.cosine(rest, drawn.hebbian))),
        "output_rest": np.full(len(time), float(updates.cosine(rest, drawn.output(rest)))),
    }


def _start(drawn: Batch, rng: np.random.Generator) -> Tensor:
    """Random weights (n, k) whose output has, in each neuron, the power of its own code."""
    weights = tensor(rng.standard_normal(drawn.hebbian.shape), drawn.hebbian.device)
    power = (weights * drawn.output(weights.double())).sum(1, keepdim=True)
    return weights * ((drawn.y_r**2).mean(1, keepdim=True) / power).sqrt()


def _shuffled(drawn: Batch, rng: np.random.Generator) -> Tensor:
    """The receiving codes (n, n_odors) with their odor labels permuted."""
    return drawn.y_r[:, torch.from_numpy(rng.permutation(drawn.y_r.shape[1])).to(drawn.y_r.device)]


def _as_long(direction: Tensor, other: Tensor) -> Tensor:
    return direction.to(other.dtype) * (other.norm() / direction.norm())


def loss(weights: Tensor, y_r: Tensor, y_l: Tensor) -> float:
    """Squared error 1/2 |y_R - W y_L|^2 averaged over odors, for a projection (n, n_sending) (`eq-loss`)."""
    return float(((y_r - weights @ y_l) ** 2).sum() / (2 * y_r.shape[1]))


def decrease(time: Sequence[float], step: Sequence[float], *, density: float, n_novel=1000, **settings) -> xr.Dataset:
    """What steps along Hebb take off the loss of a projection that gradient descent has trained for some time.

    "ratio" to the first-order prediction for each step, in units of the best step along Hebb at W = 0, with its closed
    form (`eq-decrease`). "share": what a short step of equal length takes off along Hebb, along Hebb on shuffled pairs
    or in a random direction, in units of what it takes off along the gradient; "cosine" is its first-order prediction.
    "novel_hebbian", "novel_sgd": the same on novel odors, in the same units.
    """
    drawn, rng, novel = draw(density=density, n_novel=n_novel, **settings)
    familiar, hebbian, best = (drawn.y_r, drawn.y_l), drawn.hebbian, 1 / drawn.pace
    random = tensor(rng.standard_normal(hebbian.shape), hebbian.device)
    directions = {"hebbian": hebbian, "shuffled": drawn.hebbian_of(_shuffled(drawn, rng)), "random": random}
    curvature = float((hebbian * drawn.output(hebbian)).sum())
    rows = []
    for w in learn(drawn, time):
        signal = drawn.signal(w)
        slope = float((signal * hebbian).sum())
        row = {"ratio": [_taken(drawn, w, s * best * hebbian, familiar) / (s * best * slope) for s in step]}
        row["ratio_theory"] = [1 - s * best * curvature / (2 * slope) for s in step]
        steps = {name: STEP * best * _as_long(x, signal) for name, x in {**directions, "sgd": signal}.items()}
        own = _taken(drawn, w, steps["sgd"], familiar)
        for name, x in directions.items():
            row[f"share_{name}"] = _taken(drawn, w, steps[name], familiar) / own
            row[f"cosine_{name}"] = float(updates.cosine(x, signal))
        rows.append(row | {f"novel_{name}": _taken(drawn, w, steps[name], novel) / own for name in ("hebbian", "sgd")})
    dims = {name: ("time", "step")[: 1 + np.ndim(value)] for name, value in rows[0].items()}
    variables = {name: (dims[name], [row[name] for row in rows]) for name in dims}
    return xr.Dataset(variables, coords={"time": list(time), "step": list(step)})


def _taken(drawn: Batch, weights: Tensor, step: Tensor, codes: Sequence[Tensor]) -> float:
    """What a step (n, k) from the weights (n, k) takes off the loss on both sides' codes."""
    before, after = drawn.dense(torch.stack([weights, weights + step]))
    return loss(before, *codes) - loss(after, *codes)
