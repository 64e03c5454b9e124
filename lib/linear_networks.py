"""Linear networks that learn their modes in order: two layers by gradient descent, Oja's and Sanger's Hebbian rules."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from torch import Tensor

from lib import checks
from lib.cortex import tensor


def orthogonal(rng: np.random.Generator, n: int, m: int) -> np.ndarray:
    """m orthonormal columns in n dimensions, (n, m), from the uniform distribution."""
    q, r = np.linalg.qr(rng.standard_normal((n, m)))
    return q * np.sign(np.diag(r))


def saxe(time: ArrayLike, strength: ArrayLike, start: ArrayLike) -> np.ndarray:
    """A mode of a two-layer linear network after `time`, from `start` on its way to `strength` (`eq-saxe`).

    `time` in units of the inverse learning rate; whitened inputs, balanced layers (`saxe2014exact`).
    """
    checks.number("start", start, 0, open_low=True)
    s, u0 = np.asarray(strength, float), np.asarray(start, float)
    decay = np.exp(-2 * s * np.asarray(time, float))  # written with the falling exponential, which cannot overflow
    return s / (1 - decay + s / u0 * decay)


def saxe_half_time(strength: ArrayLike, start: ArrayLike) -> np.ndarray:
    """Time at which that mode is half learned, ln(s / u0 - 1) / 2s; `start` below half the strength (`eq-saxe`)."""
    s, u0 = np.asarray(strength, float), np.asarray(start, float)
    checks.number("start", u0, 0, float(np.min(s)) / 2, open_low=True)
    return np.log(s / u0 - 1) / (2 * s)


def two_layers(
    rng: np.random.Generator, strengths: np.ndarray, start: float, step: float, stops: np.ndarray, n_hidden: int = 16
) -> np.ndarray:
    """Modes (n_stops, n_modes) of W_2 W_1 under full-batch gradient descent on the squared error, from `start` each.

    32 odors, exactly white over 8 inputs, and a target map to 12 outputs with the singular values `strengths`; balanced
    layers, along the map's modes. `stops`: numbers of steps of size `step`.
    """
    n_odors, n_inputs, n_outputs = 32, 8, 12
    checks.whole("n_modes", len(strengths), 1, n_inputs)
    x = orthogonal(rng, n_odors, n_inputs).T * n_odors**0.5
    u, v = (orthogonal(rng, n, len(strengths)) for n in (n_outputs, n_inputs))
    hidden = orthogonal(rng, n_hidden, len(strengths))
    y = (u * strengths) @ v.T @ x
    first, second = hidden @ v.T * start**0.5, u @ hidden.T * start**0.5
    modes, done = [], 0
    for stop in stops:
        for _ in range(int(stop) - done):
            error = (y - second @ (first @ x)) @ x.T / n_odors
            first, second = first + step * second.T @ error, second + step * error @ first.T
        done = int(stop)
        modes.append(np.einsum("om,oh,hi,im->m", u, second, first, v))
    return np.array(modes)


def oja_mean(time: ArrayLike, covariance: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Mean course of Oja's rule, (n, d), at `time` (n,) in units of 1 / eta, from w(0) = `start` (d,) (`eq-oja`)."""
    values, vectors = np.linalg.eigh(covariance)
    begun = vectors.T @ start
    relative = np.exp((values - values[-1]) * np.asarray(time, float)[:, None])  # over e^(lambda_1 t): no overflow
    first = np.exp(-2 * values[-1] * np.asarray(time, float))[:, None]
    norm = first * (1 - start @ start) + ((relative * begun) ** 2).sum(1, keepdims=True)
    return (relative * begun / np.sqrt(norm)) @ vectors.T


def sanger_mean(time: np.ndarray, covariance: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Mean course of Sanger's rule from W(0) = `start` (m, d), integrated: (n, m, d) at `time` (n,) (`eq-sanger`)."""

    def change(_, flat):
        w = flat.reshape(start.shape)
        driven = w @ covariance
        return (driven - np.tril(driven @ w.T) @ w).ravel()

    path = solve_ivp(change, (0, time[-1]), start.ravel(), t_eval=time, rtol=1e-8, atol=1e-10)
    return path.y.T.reshape(-1, *start.shape)


def sanger(
    rng: np.random.Generator, root: np.ndarray, start: np.ndarray, rate: float, stops: np.ndarray, n_streams: int,
    device: str = "cpu",
) -> Tensor:  # fmt: skip
    """W (n_stops, n_streams, m, d) under Sanger's rule from `start` (m, d), each stream with its own odors.

    Inputs y = root z with z ~ N(0, I), `root` (d, d); the first of the m neurons follows Oja's rule (`eq-sanger`).
    """
    mixing = tensor(root, device)
    weights, kept, done = tensor(start, device).expand(n_streams, *start.shape), [], 0
    for stop in stops:
        z = tensor(rng.standard_normal((int(stop) - done, n_streams, len(root), 1), np.float32), device)
        for y in mixing @ z:
            out = weights @ y
            weights = weights + rate * (out @ y.mT - (out @ out.mT).tril() @ weights)
        done = int(stop)
        kept.append(weights)
    return torch.stack(kept)
