"""Gradient descent on a fixed set of odors, followed exactly: what the projection is after any time.

With exactly k inputs a receiving neuron the projection is a table of weights (n, k), one row a neuron, and the squared
error splits into rows: dw_i/dt = c_i - (K_i + decay) w_i (`eq-flow`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib.cortex import draw_cortex, tensor
from lib.odors import Gaussian, Mixture, statistics
from lib.projection import distinct

N_KRYLOV = 24  # Lanczos steps: weights within 1e-5 of their norm while time times the top eigenvalue is below 60


@dataclass(frozen=True)
class Batch:
    """Familiar odors as n receiving neurons see them; all codes less their means over these odors."""

    inputs: Tensor  # (n, k), numbers of the sending neurons
    y_r: Tensor  # (n, n_odors)
    y_l: Tensor  # (n_sending, n_odors)
    covariance: Tensor  # K_i, (n, k, k), of each neuron's inputs
    hebbian: Tensor  # c_i, (n, k), Hebbian increment averaged over odors

    @property
    def mask(self) -> Tensor:
        """1 where there is a synapse, (n, n_sending)."""
        return self.dense(torch.ones_like(self.hebbian))

    @property
    def pace(self) -> float:
        """Rate at which descent from W = 0 begins to lose its overlap with Hebb, <c, K c> / <c, c> (`eq-pace`)."""
        return float((self.hebbian * self.output(self.hebbian)).sum() / (self.hebbian**2).sum())

    def dense(self, weights: Tensor) -> Tensor:
        """Weights (..., n, k) as a projection (..., n, n_sending)."""
        full = weights.new_zeros(*weights.shape[:-1], len(self.y_l))
        return full.scatter_(-1, self.inputs.expand(weights.shape), weights)

    def output(self, weights: Tensor) -> Tensor:
        """K_i w_i, (..., n, k): the product of output W y_L and input y_L averaged over odors."""
        return torch.einsum("nij,...nj->...ni", self.covariance, weights)

    def signal(self, weights: Tensor) -> Tensor:
        """SGD increment averaged over odors, c_i - K_i w_i, (..., n, k)."""
        return self.hebbian - self.output(weights)

    def hebbian_of(self, y_r: Tensor) -> Tensor:
        """Hebbian increment averaged over odors, (n, k), for other codes (n, n_odors) on the receiving side."""
        return (y_r @ self.y_l.T / y_r.shape[1]).gather(1, self.inputs)


def batch(inputs: Tensor, y_r: Tensor, y_l: Tensor) -> Batch:
    """The `Batch` of codes (n, n_odors) and (n_sending, n_odors) for receiving neurons with `inputs` (n, k)."""
    y_r, y_l = (y - y.mean(1, keepdim=True) for y in (y_r, y_l))
    covariance = y_l @ y_l.T / y_l.shape[1]
    hebbian = (y_r @ y_l.T / y_l.shape[1]).gather(1, inputs)
    return Batch(inputs, y_r, y_l, covariance[inputs[:, :, None], inputs[:, None, :]], hebbian)


def draw_batch(
    rng: np.random.Generator,
    n_neurons: int,
    n_glomeruli: int,
    fan_in: int,
    n_odors: int,
    *,
    codes: str = "thresholded",
    activity: float = 0.1,
    odors: str | Gaussian | Mixture = "gaussian",
    sample: int | None = None,
    n_novel: int = 0,
    device: str = "cpu",
) -> tuple[Batch, Tensor, Tensor]:
    """A drawn network as it sees n_odors odors, and both sides' codes of n_novel others, less the familiar means.

    `fan_in`: inputs of each receiving neuron; `sample`: that many receiving neurons. Codes are "thresholded" or
    "linear" (y = J x). Computed in float64, since a late signal is a small difference of large terms.
    """
    world, shown, left_rng, right_rng, mask_rng = rng.spawn(5)
    sample = n_neurons if sample is None else sample
    kind = statistics(odors)
    sampler = kind.sampler(world, n_glomeruli)
    x = tensor(sampler(shown, n_odors + n_novel), device)
    cortex = (n_glomeruli, activity, kind, sampler)
    left = draw_cortex(left_rng, n_neurons, *cortex, device=device)
    right = draw_cortex(right_rng, sample, *cortex, device=device)
    inputs = torch.from_numpy(distinct(mask_rng, n_neurons, (sample, fan_in)).astype(np.int64)).to(device)
    y_r, y_l = (side.encode(x, codes).double() for side in (right, left))
    novel = (y[:, n_odors:] - y[:, :n_odors].mean(1, keepdim=True) for y in (y_r, y_l))
    return batch(inputs, y_r[:, :n_odors], y_l[:, :n_odors]), *novel


def descend(
    covariance: Tensor,
    target: Tensor,
    times: Sequence[float],
    *,
    decay: float = 0.0,
    start: Tensor | None = None,
    n_krylov: int = N_KRYLOV,
) -> Tensor:
    """Weights (n_times, n, k) of gradient descent in continuous time, dw_i/dt = c_i - (K_i + decay) w_i (`eq-flow`).

    covariance (n, k, k); target c and start (zero if not given), (n, k). With r = c - (K + decay) w(0) the weights are
    w(0) + (1 - exp(-(K + decay) t)) / (K + decay) r, here in the Krylov space of r, row by row (Lanczos's method).
    """
    start = torch.zeros_like(target) if start is None else start
    residual = target - torch.einsum("nij,nj->ni", covariance, start) - decay * start
    basis, eigenvalues, vectors = _lanczos(covariance, residual, n_krylov)
    rates = eigenvalues + decay
    weights = []
    for time in times:
        gone = torch.where(rates * time > 1e-9, -torch.expm1(-rates * time) / rates, time)
        weights.append(start + torch.einsum("mnk,nmj,nj->nk", basis, vectors, gone * vectors[:, 0]))
    return torch.stack(weights) if len(weights) else target.new_zeros(0, *target.shape)


def _lanczos(covariance: Tensor, residual: Tensor, n_krylov: int) -> tuple[Tensor, Tensor, Tensor]:
    """Orthogonal bases (m, n, k) of the rows' Krylov spaces, and K_i there: eigenvalues (n, m), vectors (n, m, m).

    The first direction is the residual itself, with its length. Where a space is exhausted the step to the next
    direction is rounding error, which leaves that direction without weight, or zero, and so is the direction then.
    """
    length = residual.norm(dim=1, keepdim=True)
    direction, basis, diagonal, beside = residual / length.clamp_min(1e-300), [], [], []
    for _ in range(min(n_krylov, residual.shape[1])):
        basis.append(direction)
        ahead = torch.einsum("nij,nj->ni", covariance, direction)
        diagonal.append((ahead * direction).sum(1))
        known = torch.stack(basis)
        for _ in range(2):  # once leaves rounding errors that grow
            ahead = ahead - torch.einsum("mnk,mn->nk", known, (known * ahead).sum(-1))
        step = ahead.norm(dim=1)
        beside.append(step)
        direction = torch.where(step[:, None] > 0, ahead / step.clamp_min(1e-300)[:, None], 0)
    off = torch.stack(beside, 1)[:, :-1]
    tridiagonal = torch.diag_embed(torch.stack(diagonal, 1)) + sum(torch.diag_embed(off, d) for d in (-1, 1))
    eigenvalues, vectors = torch.linalg.eigh(tridiagonal)
    return torch.stack(basis) * length, eigenvalues.clamp_min(0), vectors
