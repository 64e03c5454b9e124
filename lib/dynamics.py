"""Online learning as a process in time: environments of linear codes, and the exact courses of what is learned in them.

The closed forms are this book's own derivations for linear codes, in the chapter on theory under "Learning dynamics".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lib import checks
from lib.cortex import tensor
from lib.online import hebbian_steps, sgd_steps

BLOCK = 256  # odors of each stream whose codes are held at a time
Draw = Callable[[int, int], tuple[Tensor, Tensor]]
SCHEDULES = {  # learning rate of presentation 1, 2, ...
    "constant .03": lambda t: 0.03,
    "constant .003": lambda t: 0.003,
    "1/sqrt(t)": lambda t: t**-0.5,
    "1/t": lambda t: 1 / t,
    "1/t, at least .01": lambda t: max(1 / t, 0.01),
}


@dataclass(frozen=True)
class Environment:
    """A world of odors seen through linear codes: y_L = left z and y_R = right z, with components z ~ N(0, I)."""

    left: np.ndarray  # (n_inputs, n_components)
    right: np.ndarray  # (n_receiving, n_components)

    @property
    def power(self) -> float:
        """Summed variance of the inputs, tr K."""
        return float((self.left**2).sum())

    def rate(self, rule: str, learning_rate: float) -> float:
        """eta for Hebb; eta / tr K for gradient descent, whose stability depends on eta times that power alone."""
        return learning_rate if rule == "hebbian" else learning_rate / self.power

    def limit(self, rule: str) -> np.ndarray:
        """W* (n_receiving, n_inputs) of Hebb, the cross-covariance, or of gradient descent from 0 (`eq-course`)."""
        return self.right @ (self.left.T if rule == "hebbian" else np.linalg.pinv(self.left))

    def sampler(self, rng: np.random.Generator, device: str = "cpu") -> Draw:
        """Draws of the codes of n odors in each of s streams: y_R (s, n_receiving, n) and y_L (s, n_inputs, n)."""
        left, right = tensor(self.left, device), tensor(self.right, device)

        def draw(n_streams: int, n: int) -> tuple[Tensor, Tensor]:
            z = tensor(rng.standard_normal((n_streams, left.shape[1], n), np.float32), device)
            return right @ z, left @ z

        return draw

    def alignment(self, weights: Tensor) -> Tensor:
        """Drive alignment of W (..., n_receiving, n_inputs) over all odors of the environment, without sampling any."""
        left, right = tensor(self.left, weights.device), tensor(self.right, weights.device)
        return torch.cosine_similarity(weights @ left, right, dim=-1).mean(-1)

    def memory(self, weights: Tensor, rule: str) -> Tensor:
        """Overlap <W y_L, y_R> over the environment's odors, in units of what `rule` reaches there (`eq-memory`)."""
        covariance = tensor(self.right @ self.left.T, weights.device)
        own = tensor(self.limit(rule), weights.device)
        return (weights * covariance).sum((-2, -1)) / (own * covariance).sum()


def draw_weights(rng: np.random.Generator, n_neurons: int, n_glomeruli: int) -> np.ndarray:
    """J, (n_neurons, n_glomeruli), entries of variance 1 / n_glomeruli."""
    return rng.standard_normal((n_neurons, n_glomeruli), np.float32) / n_glomeruli**0.5


def checkpoints(duration: float, learning_rate: float, n: int) -> np.ndarray:
    """Presentations (n,) at which a course is looked at, even in their logarithm up to `duration` / learning_rate."""
    return np.maximum(1, np.round(np.geomspace(0.1, duration, n) / learning_rate)).astype(int)


def learn(rule: str, weights: Tensor, draw: Draw, rate: float, stops: Sequence[int]) -> Iterator[Tensor]:
    """Weights (n_streams, n_receiving, n_inputs) after each of `stops` presentations, each stream with its own odors.

    All synapses exist: a rule works row by row, so the inputs may be any neuron's own (`eq-online-hebbian`,
    `eq-online-sgd`). BadSetting if the weights diverge.
    """
    steps = hebbian_steps if rule == "hebbian" else sgd_steps
    everywhere, done = torch.ones_like(weights[0]), 0
    for stop in stops:
        while done < stop:
            n = min(BLOCK, stop - done)
            weights = steps(weights, everywhere, *draw(len(weights), n), np.full(n, rate))
            done += n
        if not weights.isfinite().all():
            raise checks.BadSetting(f"learning_rate = {rate:g} makes the weights diverge; choose a smaller one.")
        yield weights


def rise(time: ArrayLike, rate: ArrayLike) -> np.ndarray:
    """Share of its limit that the mean of a mode has reached after `time` presentations, 1 - (1 - rate)^time.

    `rate`: eta for Hebb whatever the mode, eta lambda for gradient descent, lambda the mode's strength (`eq-course`).
    """
    checks.number("rate", rate, 0, 1)
    return 1 - (1 - np.asarray(rate, float)) ** np.asarray(time)


def half_time(rate: ArrayLike) -> np.ndarray:
    """Presentations after which a mode has risen to one half (`eq-half-time`)."""
    checks.number("rate", rate, 0, 1, open_low=True)
    return -np.log(2) / np.log1p(-np.asarray(rate, float))


def mean_weights(rule: str, start: np.ndarray, place: Environment, rate: float, time: ArrayLike) -> np.ndarray:
    """Mean over streams of W at each `time` (n,), from `start` (n_receiving, n_inputs): (n, ...) (`eq-course`)."""
    time = np.asarray(time)[:, None, None]
    if rule == "hebbian":
        return start + (place.limit(rule) - start) * rise(time, rate)
    u, s, _ = np.linalg.svd(place.left, full_matrices=False)
    missing = (place.limit(rule) - start) @ u
    return start + (missing * rise(time, rate * s**2)) @ u.T


def product_variance(place: Environment) -> np.ndarray:
    """Variance over odors of each synapse's y_R y_L, K_R K_L + C^2, (n_receiving, n_inputs) (`eq-fluctuations`)."""
    powers = np.outer((place.right**2).sum(1), (place.left**2).sum(1))
    return powers + (place.right @ place.left.T) ** 2


def weight_variance(learning_rate: ArrayLike, variance: ArrayLike = 1.0) -> np.ndarray:
    """Settled variance of a Hebbian weight whose products y_R y_L vary by `variance` (`eq-fluctuations`)."""
    checks.number("learning_rate", learning_rate, 0, 1)
    eta = np.asarray(learning_rate, float)
    return eta / (2 - eta) * np.asarray(variance)


def trade_off(fan_in: ArrayLike, n_glomeruli: ArrayLike) -> np.ndarray:
    """Excess error times relaxation time, (1 + D/k) D/2 presentations whatever the learning rate (`eq-trade-off`)."""
    checks.number("fan_in", fan_in, 0, open_low=True)
    d = np.asarray(n_glomeruli)
    return (1 + d / np.asarray(fan_in, float)) * d / 2


def effective_odors(rates: Sequence[float]) -> np.ndarray:
    """Odors of equal weight that the memory is worth, (n,), along learning rates (n,) (`eq-effective-odors`).

    From W = 0: (sum w)^2 / sum w^2 of the weights w that the odors seen so far have.
    """
    checks.number("rates", rates, 0, 1)
    worth, total, square = [], 0.0, 0.0
    for eta in rates:
        total, square = (1 - eta) * total + eta, (1 - eta) ** 2 * square + eta**2
        worth.append(total**2 / square if square else 0.0)
    return np.array(worth)


def kept_alignment(rule: str, overlap: ArrayLike) -> np.ndarray:
    """Alignment on old odors long after a switch to an environment of that `overlap`, large networks (`eq-kept`)."""
    checks.choice("rule", rule, ("hebbian", "sgd"))
    checks.number("overlap", overlap, 0, 1)
    o = np.asarray(overlap, float)
    return o**0.5 if rule == "hebbian" else (1 + o * (1 - o)) ** -0.5


def drift_error(learning_rate, speed, fan_in, n_glomeruli, drift: str = "diffusing") -> np.ndarray:
    """Settled error 1/r^2 - 1 of online Hebb while both cortices' input weights drift (`eq-drift`).

    After s presentations a neuron's weights correlate with what they were by exp(-speed s) ("diffusing") or by
    cos(speed s) ("rotating"). Arguments broadcast.
    """
    checks.choice("drift", drift, ("diffusing", "rotating"))
    checks.number("speed", speed, 0)
    checks.number("learning_rate", learning_rate, 0, 1, open_low=True)
    eta, v, d = (np.asarray(x, float) for x in (learning_rate, speed, n_glomeruli))
    e0 = d / np.asarray(fan_in, float)
    if drift == "diffusing":
        signal, followed, recalled, seen = eta / (eta + 2 * v), eta**2 / (eta + v), eta, eta**2 / (2 * (eta + v))
        followed, recalled = followed / (eta + 2 * v), recalled / (eta + 2 * v)
    else:
        even, odd = eta**2 / (eta**2 + 4 * v**2), 2 * v * eta / (eta**2 + 4 * v**2)
        signal = recalled = (1 + even) / 2
        followed, seen = signal**2 + odd**2 / 4, eta / 4 * (1 + eta**2 / (eta**2 + v**2))
    return (followed + e0 * recalled + d * (seen + e0 * eta / 2)) / signal**2 - 1


def best_rate(speed, fan_in, n_glomeruli, drift: str = "diffusing") -> np.ndarray:
    """Learning rate at which that error is smallest, to leading order in speed / eta (`eq-best-rate`)."""
    checks.choice("drift", drift, ("diffusing", "rotating"))
    v, d = np.asarray(speed, float), np.asarray(n_glomeruli, float)
    e0 = d / np.asarray(fan_in, float)
    weight = 2 * (1 + 2 * e0) / ((1 + e0) * d)
    return np.sqrt(weight * v) if drift == "diffusing" else (2 * weight * v**2) ** (1 / 3)
