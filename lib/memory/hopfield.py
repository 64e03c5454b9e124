"""Hopfield networks that store patterns of active and silent neurons: classic, sparse, dense and modern.

Patterns come as bits, (n_patterns, n) of 0 and 1. Each network keeps states of its own, of +-1 or of bits, and has

- `encode(bits)` and `decode(states)`: between bits and states, (n_states, n);
- `step(states)`: all neurons at once, which shows whether a state is a fixed point;
- `sweep(rng, states)`: every neuron once, in the way that lets `energy(states)` never rise.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erf, factorial2, ndtr
from torch import Tensor

from lib import checks

ORDER = 3  # of the dense network's energy; 2 is the classic network


def _zero_diagonal(weights: Tensor) -> Tensor:
    return weights.fill_diagonal_(0)


def _sign(field: Tensor, states: Tensor) -> Tensor:
    """+-1 after the field, (n_states, ...); a neuron without any field stays as it is."""
    return torch.where(field == 0, states, field.sign())


def _one_by_one(rng: np.random.Generator, states: Tensor) -> tuple[Tensor, list[int]]:
    """A copy of the states, and the neurons in random order."""
    return states.clone(), rng.permutation(states.shape[1]).tolist()


class _PlusMinus:
    """States of +-1."""

    @staticmethod
    def encode(bits: Tensor) -> Tensor:
        return 2 * bits - 1

    @staticmethod
    def decode(states: Tensor) -> Tensor:
        return (states + 1) / 2


@dataclass(frozen=True)
class Classic(_PlusMinus):
    """Hopfield's network of +-1 neurons, Hebbian weights X^T X / n, zero diagonal (`eq-hopfield`, `hopfield1982`)."""

    weights: Tensor  # (n, n)

    @classmethod
    def store(cls, bits: Tensor) -> "Classic":
        patterns = cls.encode(bits)
        return cls(_zero_diagonal(patterns.T @ patterns / patterns.shape[1]))

    def energy(self, states: Tensor) -> Tensor:
        """-s W s / 2, (n_states,)."""
        return -((states @ self.weights) * states).sum(1) / 2

    def step(self, states: Tensor) -> Tensor:
        return _sign(states @ self.weights, states)

    def sweep(self, rng: np.random.Generator, states: Tensor) -> Tensor:
        states, order = _one_by_one(rng, states)
        for i in order:
            states[:, i] = _sign(states @ self.weights[i], states[:, i])
        return states


@dataclass(frozen=True)
class Sparse:
    """A network of bits with covariance weights and a fixed number of winners (`eq-hopfield-sparse`, `tsodyks1988`).

    The winners stand for a threshold that inhibition sets anew at each step, so that activity stays where it is.
    """

    weights: Tensor  # (n, n)
    n_active: int

    @classmethod
    def store(cls, bits: Tensor) -> "Sparse":
        """Covariance weights at the patterns' mean activity; ValueError where they have no active or silent neuron."""
        activity, n = float(bits.mean()), bits.shape[1]
        checks.number("the patterns' activity", activity * (1 - activity), 0, open_low=True)
        centred = bits - activity
        weights = _zero_diagonal(centred.T @ centred / (n * activity * (1 - activity)))
        return cls(weights, max(1, round(activity * n)))

    @staticmethod
    def encode(bits: Tensor) -> Tensor:
        return bits

    @staticmethod
    def decode(states: Tensor) -> Tensor:
        return states

    def energy(self, states: Tensor) -> Tensor:
        """-s' W s with the winners s' that follow s, (n_states,): what a step of all neurons at once never raises."""
        return -((states @ self.weights) * self.step(states)).sum(1)

    def step(self, states: Tensor) -> Tensor:
        winners = (states @ self.weights).topk(self.n_active, dim=1).indices
        return torch.zeros_like(states).scatter_(1, winners, 1.0)

    def sweep(self, rng: np.random.Generator, states: Tensor) -> Tensor:
        return self.step(states)


@dataclass(frozen=True)
class Dense(_PlusMinus):
    """A network of +-1 neurons with energy -sum of F(overlap), F(x) = x^order (`eq-hopfield-dense`, `krotov2016`)."""

    patterns: Tensor  # +-1, (n_patterns, n), float64: the order-th powers of overlaps are large
    order: int = ORDER

    @classmethod
    def store(cls, bits: Tensor, order: int = ORDER) -> "Dense":
        checks.whole("order", order, 2)
        return cls(cls.encode(bits).double(), order)

    def _overlaps(self, states: Tensor) -> Tensor:
        return states.double() @ self.patterns.T

    def energy(self, states: Tensor) -> Tensor:
        """Minus the sum over patterns of (x . s)^order, (n_states,) in float64."""
        return -(self._overlaps(states) ** self.order).sum(1)

    def _pull(self, overlaps: Tensor) -> tuple[Tensor, Tensor]:
        """What a pattern adds to a neuron's field, over its own value there: mean and half difference.

        F(x . s) with the neuron at +1 less F with it at -1, where its value agrees with the pattern or not: the mean of
        the two cases, and half the first less the second, (n_states, n_patterns).
        """
        above, here, below = ((overlaps + shift) ** self.order for shift in (2, 0, -2))
        return (above - below) / 2, here - (above + below) / 2

    def step(self, states: Tensor) -> Tensor:
        mean, difference = self._pull(self._overlaps(states))
        field = mean @ self.patterns + states * difference.sum(1, keepdim=True)
        return _sign(field.to(states.dtype), states)

    def sweep(self, rng: np.random.Generator, states: Tensor) -> Tensor:
        states, order = _one_by_one(rng, states)
        overlaps = self._overlaps(states)
        for i in order:
            mean, difference = self._pull(overlaps)
            field = mean @ self.patterns[:, i] + states[:, i] * difference.sum(1)
            new = _sign(field.to(states.dtype), states[:, i])
            overlaps += (new - states[:, i]).double()[:, None] * self.patterns[:, i]
            states[:, i] = new
        return states


@dataclass(frozen=True)
class Modern(_PlusMinus):
    """A network of real-valued neurons that takes softmax-weighted means (`eq-hopfield-modern`, `ramsauer2021`).

    `beta` = 1 / sqrt(n) by default, the scale of attention in Transformers: the update is attention to the patterns.
    """

    patterns: Tensor  # +-1, (n_patterns, n)
    beta: float

    @classmethod
    def store(cls, bits: Tensor, beta: float | None = None) -> "Modern":
        return cls(cls.encode(bits), bits.shape[1] ** -0.5 if beta is None else beta)

    def energy(self, states: Tensor) -> Tensor:
        """-logsumexp(beta X s) / beta + s . s / 2, (n_states,), without its constant."""
        return -(self.beta * states @ self.patterns.T).logsumexp(1) / self.beta + (states**2).sum(1) / 2

    def step(self, states: Tensor) -> Tensor:
        return (self.beta * states @ self.patterns.T).softmax(1) @ self.patterns

    def sweep(self, rng: np.random.Generator, states: Tensor) -> Tensor:
        return self.step(states)


KINDS = {"classic": Classic, "sparse": Sparse, "dense": Dense, "modern": Modern}


def draw_patterns(rng: np.random.Generator, n_patterns: int, n: int, activity: float = 0.5) -> Tensor:
    """Random bits, (n_patterns, n) float32: independent at activity 1/2, else exactly round(activity n) active ones."""
    if activity == 0.5:
        return torch.from_numpy(rng.integers(2, size=(n_patterns, n)).astype(np.float32))
    rank = rng.random((n_patterns, n), dtype=np.float32).argsort(axis=1).argsort(axis=1)
    return torch.from_numpy((rank < round(activity * n)).astype(np.float32))


def wrong_bits(network, bits: Tensor) -> Tensor:
    """Neurons that one step of all at once takes away from each pattern, (n_patterns,): 0 where it is a fixed point."""
    after = network.decode(network.step(network.encode(bits)))
    return ((after > 0.5) != (bits > 0.5)).sum(1)


def one_step_overlap(cue, load) -> np.ndarray:
    """Overlap erf(cue / sqrt(2 load)) after one step of the classic network at load P / n (`eq-hopfield-step`)."""
    checks.number("load", load, 0, open_low=True)
    return erf(np.asarray(cue) / np.sqrt(2 * np.asarray(load, float)))


def exact_share(n, load, order: int = 2) -> np.ndarray:
    """Share of patterns of which every bit is stable, classic (order 2) and dense networks (`eq-hopfield-exact`)."""
    checks.number("load", load, 0, open_low=True)
    noise = factorial2(2 * order - 3) * np.asarray(load, float) * np.asarray(n, float) ** (2 - order)
    return ndtr(noise**-0.5) ** n


def exact_share_sparse(n: int, load: float, activity: float) -> float:
    """The same for the sparse network: each active neuron is driven more than each silent one (`eq-hopfield-exact`)."""
    sigma, k = np.sqrt(load * activity * (1 - activity)), round(activity * n)

    def density(x: float) -> float:  # of the least active drive, times the chance that all silent ones lie below
        t = (x - 1) / sigma
        return k * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi) / sigma * ndtr(-t) ** (k - 1) * ndtr(x / sigma) ** (n - k)

    return quad(density, 1 - 9 * sigma, 1 + 9 * sigma, limit=200)[0]


class Critical(NamedTuple):
    """Where the classic network stops to recall."""

    load: float
    overlap: float
    y: float


def _load_at(y: float) -> float:
    """The load at which y solves the equation of the retrieval state."""
    return (erf(y) / y - 2 / np.sqrt(np.pi) * np.exp(-(y**2))) ** 2 / 2


def critical() -> Critical:
    """The largest load P / n with a retrieval state, its overlap (`eq-hopfield-retrieval`, `amit1985`)."""
    y = minimize_scalar(lambda y: -_load_at(y), bounds=(0.5, 4), method="bounded", options={"xatol": 1e-10}).x
    return Critical(float(_load_at(y)), float(erf(y)), float(y))


def retrieval_overlap(load: float) -> float:
    """Overlap of the classic network's retrieval state at load P / n (`eq-hopfield-retrieval`), or NaN."""
    checks.scalar("load", load, 0, open_low=True)
    edge = critical()
    if load > edge.load:
        return np.nan
    return float(erf(brentq(lambda y: _load_at(y) - load, edge.y, 1 / np.sqrt(load) + 4)))
