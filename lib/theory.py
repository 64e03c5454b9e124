"""Closed forms of the bilateral alignment, one function an equation, named by its label in the chapter on theory.

They are this book's own derivations for gaussian odors of free norm, checked against simulation in the tests.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import eval_hermitenorm, gammaln, ndtri

from lib import checks

N_TERMS = 60  # of the series in response_alignment: the rest is below .001 at r = .99


class Moments(NamedTuple):
    """Of the code relu(h - theta) for h ~ N(0, 1), with a share `activity` of odors above theta."""

    theta: np.ndarray  # threshold
    phi: np.ndarray  # standard normal density at theta
    mean: np.ndarray
    variance: np.ndarray
    u: np.ndarray  # variance / activity^2: how many times noisier than a linear code's covariance


def moments(activity: ArrayLike) -> Moments:
    """Moments of the thresholded code (`eq-moments`); ValueError unless 0 < activity <= .5."""
    checks.number("activity", activity, 0, 0.5, open_low=True)
    a = np.asarray(activity, float)
    theta = ndtri(1 - a)
    phi = np.exp(-(theta**2) / 2) / np.sqrt(2 * np.pi)
    mean = phi - theta * a
    variance = (1 + theta**2) * a - theta * phi - mean**2
    return Moments(theta, phi, mean, variance, variance / a**2)


def _terms(n_glomeruli, n_odors, activity, fixed_norm):
    """The parts of r^-2 - 1 = per_synapse / k + rest."""
    checks.number("n_glomeruli", n_glomeruli, 1)
    checks.number("n_odors", n_odors, 1)
    theta, phi, _, _, u = moments(activity)
    a, d, p = (np.asarray(x, float) for x in (activity, n_glomeruli, n_odors))
    c = 0.5 if fixed_norm else 0.75
    f = 0.0 if fixed_norm else (phi / a) ** 6 / 8 + (phi * theta / a) ** 2 / 2
    return u * (d + c * (phi / a) ** 4) + u**3 * d**2 / p, u * d / p + f / d


def drive_alignment(
    fan_in: ArrayLike,
    n_glomeruli: ArrayLike,
    n_odors: ArrayLike = np.inf,
    activity: ArrayLike = 0.1,
    *,
    fixed_norm: bool = False,
) -> np.ndarray:
    """Drive alignment r of the Hebbian fixed point on novel gaussian odors (`eq-drive`).

    For fan_in >= 10 and activity >= .05 within 5 % of simulation at n_glomeruli >= 50 and n_odors >= 40 n_glomeruli,
    within 8 % at a quarter of either; all arguments broadcast. ValueError for a negative fan-in, less than one
    glomerulus or odor, activity outside (0, .5].
    """
    checks.number("fan_in", fan_in, 0)
    per_synapse, rest = _terms(n_glomeruli, n_odors, activity, fixed_norm)
    with np.errstate(divide="ignore"):
        return (1 + rest + per_synapse / np.asarray(fan_in, float)) ** -0.5


def required_fan_in(
    drive: ArrayLike,
    n_glomeruli: ArrayLike,
    n_odors: ArrayLike = np.inf,
    activity: ArrayLike = 0.1,
    *,
    fixed_norm: bool = False,
) -> np.ndarray:
    """Fan-in at which the Hebbian drive alignment is `drive`: the inverse of `eq-drive`, inf where none suffices."""
    checks.number("drive", drive, 0, 1)
    per_synapse, rest = _terms(n_glomeruli, n_odors, activity, fixed_norm)
    with np.errstate(divide="ignore"):
        spare = np.asarray(drive, float) ** -2.0 - 1 - rest
        return np.where(spare > 0, per_synapse / np.where(spare > 0, spare, 1), np.inf)


def response_alignment(drive: ArrayLike, activity: ArrayLike = 0.1) -> np.ndarray:
    """Response alignment A where the two drives are bivariate normal with correlation `drive` (`eq-response`).

    8 to 13 % above simulation at fan-in 20 or 20 glomeruli, where the contralateral drive is not normal.
    """
    checks.number("drive", drive, -1, 1)
    theta, phi, _, variance, _ = moments(activity)
    r, a, n = np.asarray(drive, float), np.asarray(activity, float), np.arange(2, N_TERMS + 2)
    hermite = eval_hermitenorm(n - 2, theta[..., None]) ** 2 * np.exp(-gammaln(n + 1))
    return (a**2 * r + phi**2 * (hermite * r[..., None] ** n).sum(-1)) / variance


def linear_hebbian(fan_in: ArrayLike, n_glomeruli: ArrayLike) -> np.ndarray:
    """Drive alignment of Hebb with linear codes y = J x and endless odors (`eq-linear`); fan_in > 0."""
    checks.number("fan_in", fan_in, 0, open_low=True)
    return 1 / np.sqrt(1 + np.asarray(n_glomeruli) / np.asarray(fan_in, float))


def linear_least_squares(fan_in: ArrayLike, n_glomeruli: ArrayLike) -> np.ndarray:
    """Drive alignment of least squares with linear codes and endless odors (`eq-linear`); BadSetting if negative."""
    checks.number("fan_in", fan_in, 0)
    return np.sqrt(np.minimum(1, np.asarray(fan_in, float) / np.asarray(n_glomeruli)))


def linear_online_error(learning_rate: ArrayLike, fan_in: ArrayLike, n_glomeruli: ArrayLike) -> np.ndarray:
    """Stationary error 1/r^2 - 1 of online Hebb with linear codes: e0 + (1 + e0) eta D / 2 (`eq-online`)."""
    e0 = np.asarray(n_glomeruli) / np.asarray(fan_in, float)
    return e0 + (1 + e0) * np.asarray(learning_rate, float) * n_glomeruli / 2


def online_n_odors(learning_rate: ArrayLike) -> np.ndarray:
    """Number of odors that the exponential memory of online Hebb is worth: 2 / eta - 1 (`eq-online`)."""
    checks.number("learning_rate", learning_rate, 0, 1, open_low=True)
    return 2 / np.asarray(learning_rate, float) - 1


N_NODES = 200  # of the quadrature in linear_update_cosine: exact for polynomials of degree 399


def linear_pace(fan_in: ArrayLike, n_glomeruli: ArrayLike) -> np.ndarray:
    """Rate <c, K c> / <c, c> at which descent begins with linear codes and endless odors: 1 + k/D (`eq-pace`)."""
    return 1 + np.asarray(fan_in, float) / np.asarray(n_glomeruli)


def linear_update_cosine(
    fan_in: ArrayLike, n_glomeruli: ArrayLike, time: ArrayLike, decay: ArrayLike = 0.0
) -> np.ndarray:
    """Cosine of odor-averaged Hebbian and SGD increments along gradient descent, linear codes (`eq-update-spectrum`).

    For k = `fan_in` inputs, many glomeruli and endless odors, from W = 0; `time` in units of 1 / `linear_pace`, `decay`
    in units of `linear_pace`; all broadcast. Marchenko and Pastur's density, weighed by Hebb's own strength in each
    direction, is a semicircle, so that Gauss and Chebyshev's second rule integrates it. See `linear_update_holds`.
    """
    checks.number("fan_in", fan_in, 0, open_low=True)
    checks.number("time", time, 0)
    checks.number("decay", decay, 0)
    ratio, time, decay = (np.asarray(x, float)[..., None] for x in (linear_pace(fan_in, n_glomeruli) - 1, time, decay))
    angle = np.pi * np.arange(1, N_NODES + 1) / (N_NODES + 1)
    rate = 1 + 2 * np.sqrt(ratio) / (1 + ratio) * np.cos(angle)  # eigenvalues in units of the pace
    weight = np.sin(angle) ** 2
    left = (decay + rate * np.exp(-(rate + decay) * time)) / (rate + decay)  # of Hebb, in this direction
    return (weight * left).sum(-1) / np.sqrt(weight.sum() * (weight * left**2).sum(-1))


def linear_update_holds(fan_in: ArrayLike, n_glomeruli: ArrayLike, time: ArrayLike) -> np.ndarray:
    """Whether `linear_update_cosine` sees a continuum of eigenvalues; later the few slowest ones stand alone."""
    ratio = np.asarray(fan_in, float) / np.asarray(n_glomeruli)
    return 2 * np.sqrt(ratio) / (1 + ratio) * np.asarray(time) <= np.minimum(fan_in, n_glomeruli) ** (2 / 3)


def gain_cosine(gain: ArrayLike, overlap: ArrayLike, power: ArrayLike) -> np.ndarray:
    """Cosine of H with H - g O for the Hebbian increment H and that of the projection's own output, O (`eq-gain`).

    overlap <H, O> / <H, H>, power <O, O> / <H, H>.
    """
    g, a, b = (np.asarray(x, float) for x in (gain, overlap, power))
    return (1 - g * a) / np.sqrt(1 - 2 * g * a + g**2 * b)


def batch_cosine(size: ArrayLike, averaged: ArrayLike, single: ArrayLike) -> np.ndarray:
    """Cosine of both increments averaged over `size` odors drawn at random (`eq-batch`).

    Inner products <H, S>, <H, H>, <S, S>, (3,): `averaged`, of the increments averaged over all odors; `single`, of one
    odor's increments, averaged over odors.
    """
    both, hebbian, sgd = (m + (s - m) / np.asarray(size, float) for m, s in zip(averaged, single, strict=True))
    return both / np.sqrt(hebbian * sgd)
