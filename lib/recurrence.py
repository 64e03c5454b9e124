"""Recurrence in the receiving cortex: what its own Hebbian synapses make of the drive that arrives from the other side.

First the simulation, then a closed form: a mean field over the odor's norm, for Gaussian odors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from torch import Tensor

from lib import checks
from lib.measures import response
from lib.theory import Moments, moments

N_NORMS = 64  # norms of an odor over which the closed form averages
N_DRIVES = 1000  # drives of a neuron, given the norm


def recurrent_weights(codes: Tensor) -> Tensor:
    """R: covariance over odors of the codes (n, n_odors), without a neuron's synapse on itself (`eq-recurrence`)."""
    centred = codes - codes.mean(1, keepdim=True)
    return (centred @ centred.T / codes.shape[1]).fill_diagonal_(0)


def shuffled(rng: np.random.Generator, weights: Tensor) -> Tensor:
    """The same symmetric weights (n, n) on other pairs of neurons, zero diagonal: a control that knows nothing."""
    n = len(weights)
    above = torch.triu_indices(n, n, 1, device=weights.device)
    order = torch.from_numpy(rng.permutation(above.shape[1])).to(weights.device)
    moved = torch.zeros_like(weights)
    moved[above[0], above[1]] = weights[above[0], above[1]][order]
    return moved + moved.T


def standardised(drive: Tensor) -> Tensor:
    """Each neuron's drive (..., n_odors) less its mean, in its own standard deviations; 0 where it never changes."""
    centred = drive - drive.mean(-1, keepdim=True)
    return centred / centred.std(-1, keepdim=True).clamp_min(1e-12)


def settle(weights: Tensor, drive: Tensor, activity: float, gain: float, n_steps: int) -> Iterator[Tensor]:
    """The drives (..., n, n_odors) after 0, 1, ..., n_steps steps of recurrence (`eq-recurrence`).

    The arriving `drive` stays while the recurrent one, from the code z = relu(drive - its quantile), is added to it:
    each in units of a neuron's own standard deviation over the odors at hand.
    """
    arriving = current = standardised(drive)
    yield current
    for _ in range(n_steps):
        current = arriving + gain * standardised(weights @ response(current, activity))
        yield current


class Predicted(NamedTuple):
    """What the closed form says after 0, 1, ... steps, (n_steps + 1,) each."""

    drive: np.ndarray  # drive alignment
    response: np.ndarray  # response alignment


@dataclass(frozen=True)
class _Field:
    """A neuron's drive at each norm of the odor, (n_norms,): signal x h + common + Gaussian noise of three powers."""

    signal: np.ndarray
    common: np.ndarray  # what all neurons share
    mistaken: np.ndarray  # noise as from a slightly other odor: the same odor for all neurons
    private: np.ndarray  # noise of each neuron's own
    leak: np.ndarray  # noise by the nonlinear part of the familiar codes, the same in both projections

    @property
    def noise(self) -> np.ndarray:
        return self.mistaken + self.private + self.leak

    def scaled(self, power: np.ndarray) -> "_Field":
        """Centred, in units of its own standard deviation; `power` (n_norms,) is that of h."""
        common = self.common - self.common.mean()
        total = (self.signal**2 * power + common**2 + self.noise).mean()
        noises = (noise / total for noise in (self.mistaken, self.private, self.leak))
        return _Field(self.signal / total**0.5, common / total**0.5, *noises)

    def plus(self, other: "_Field", gain: float) -> "_Field":
        """The sum with gain times the other: private noises are independent, mistaken odor and leak are the same."""
        return _Field(
            self.signal + gain * other.signal,
            self.common + gain * other.common,
            (self.mistaken**0.5 + gain * other.mistaken**0.5) ** 2,
            self.private + gain**2 * other.private,
            (self.leak**0.5 + gain * other.leak**0.5) ** 2,
        )


def _relu_mean(x: np.ndarray) -> np.ndarray:
    """E relu(t + x), t standard normal."""
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) + x * ndtr(x)


def _relu_power(x: np.ndarray) -> np.ndarray:
    """E relu(t + x)^2."""
    return ndtr(x) + x * _relu_mean(x)


@dataclass(frozen=True)
class _World:
    """Sizes, the code's moments, and |x|^2 / D at quantiles of its distribution."""

    n_glomeruli: float
    n_odors: float
    activity: float
    moments: Moments
    power: np.ndarray  # of h given the norm; a single one where the norm is fixed

    def spread(self, field: _Field) -> np.ndarray:
        return np.sqrt(field.signal**2 * self.power + field.noise)

    def threshold(self, field: _Field) -> float:
        """Above which a share `activity` of all drives lies."""
        s = self.spread(field)
        low, high = (field.common - 9 * s).min(), (field.common + 9 * s).max()
        return brentq(lambda q: ndtr((field.common - q) / s).mean() - self.activity, low, high)

    def code(self, field: _Field) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of relu(drive - threshold) at each norm: slope on the drive, mean, power about its mean over all odors."""
        s = self.spread(field)
        x = (field.common - self.threshold(field)) / s
        slope, mean, square = ndtr(x), s * _relu_mean(x), s**2 * _relu_power(x)
        return slope, mean, square - 2 * mean * mean.mean() + mean.mean() ** 2

    def project(self, field: _Field, fan_in: float, shared: float) -> _Field:
        """The standardised drive through Hebbian synapses from the codes that `field` drives (`eq-meanfield`).

        `shared`: inputs that all receiving neurons have in common, as a share of fan_in.
        """
        _, phi, _, _, u = self.moments
        a, d = self.activity, self.n_glomeruli
        slope, mean, variance = self.code(field)
        c = 0.75 if len(self.power) > 1 else 0.5
        synapse = c * (phi / a) ** 4 + u**2 * d**2 / self.n_odors
        finite = d * variance / fan_in
        return _Field(
            signal=slope * field.signal,
            common=phi**2 / (2 * a**2) * mean,
            mistaken=shared * finite + slope**2 * field.mistaken,
            private=(1 - shared) * finite + synapse * variance / fan_in,
            leak=u * d / self.n_odors * slope**2 * (field.signal**2 * self.power + field.mistaken),
        ).scaled(self.power)

    def alignment(self, field: _Field) -> tuple[float, float]:
        """Drive and response alignment of a field."""
        theta, s, q = self.moments.theta, self.spread(field), self.threshold(field)
        drive = (field.signal * self.power).mean() / np.sqrt((s**2 + field.common**2).mean() * self.power.mean())
        h = np.sqrt(self.power)[:, None] * ndtri((np.arange(N_DRIVES) + 0.5) / N_DRIVES)
        noise = np.sqrt(field.noise)[:, None]
        z = noise * _relu_mean((field.signal[:, None] * h + field.common[:, None] - q) / noise)
        y = np.maximum(h - theta, 0)
        power = (s**2 * _relu_power((field.common - q) / s)).mean()
        return drive, ((z * y).mean() - z.mean() * y.mean()) / np.sqrt((power - z.mean() ** 2) * y.var())


def predict(
    density: float,
    n_neurons: int,
    n_glomeruli: int,
    n_odors: int,
    *,
    activity: float = 0.1,
    gain: float = 1.0,
    n_steps: int = 1,
    fixed_norm: bool = False,
) -> Predicted:
    """Alignment of novel Gaussian odors with recurrence after each step (`eq-meanfield`): our own approximation.

    For n_odors well above u n_glomeruli, where the weights hold the odors' subspace and no single odor; `fixed_norm`:
    odors of one strength. BadSetting for a setting out of its range.
    """
    checks.scalar("density", density, 0, 1, open_low=True)
    checks.scalar("gain", gain, 0)
    checks.whole("n_steps", n_steps, 0)
    for name, n in (("n_neurons", n_neurons), ("n_glomeruli", n_glomeruli), ("n_odors", n_odors)):
        checks.number(name, n, 1)
    free = stats.chi2.ppf((np.arange(N_NORMS) + 0.5) / N_NORMS, n_glomeruli) / n_glomeruli
    power = np.ones(1) if fixed_norm else free
    world = _World(n_glomeruli, n_odors, activity, moments(activity), power)
    none = np.zeros_like(power)
    arriving = world.project(_Field(none + 1, none, none, none, none), density * n_neurons, density)
    fields = [arriving]
    for _ in range(n_steps):
        fields.append(arriving.plus(world.project(fields[-1], n_neurons, 1.0), gain))
    return Predicted(*np.array([world.alignment(field) for field in fields]).T)
