"""Curvature without a Hessian: products with it, its extreme eigenvalues, its trace and its spectral density."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.sparse import identity
from scipy.sparse.linalg import LinearOperator, aslinearoperator, eigsh
from torch import Tensor

Loss = Callable[[Tensor], Tensor]  # weights to a scalar


def hessian_product(loss: Loss, weights: Tensor) -> Callable[[Tensor], Tensor]:
    """v -> H v for the Hessian H of `loss` at `weights`, v of their shape: the gradient's derivative along v.

    H is symmetric, so the gradient may be pulled back instead of pushed forward: its own pass is then made only once.
    """
    _, pull = torch.func.vjp(torch.func.grad(loss), weights)
    return lambda v: pull(v)[0]


def operator(loss: Loss, weights: Tensor) -> LinearOperator:
    """The Hessian of `loss` at `weights` as scipy sees it, over the flattened weights."""
    product = hessian_product(loss, weights)

    def apply(v: np.ndarray) -> np.ndarray:
        return product(torch.from_numpy(v).to(weights).view_as(weights)).ravel().cpu().numpy()

    return LinearOperator((weights.numel(),) * 2, matvec=apply, dtype=np.float64)


def dense(loss: Loss, weights: Tensor) -> Tensor:
    """The whole Hessian, (n, n) for n weights: what the functions here avoid."""
    n = weights.numel()
    return torch.func.jacrev(torch.func.grad(loss))(weights).reshape(n, n)


def extremes(rng: np.random.Generator, loss: Loss, weights: Tensor) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of the Hessian, by Lanczos, to 1e-10 of the larger in size."""
    hessian, start = operator(loss, weights), rng.standard_normal(weights.numel())
    if not hessian.matvec(start).any():
        return 0.0, 0.0
    size = abs(_largest(hessian, "LM", start))
    # Shifted so that both ends are far from zero, near which a relative tolerance is never met.
    upper = aslinearoperator(identity(start.size)) * (2 * size)
    return 2 * size - _largest(upper - hessian, "LA", start), _largest(upper + hessian, "LA", start) - 2 * size


def _largest(hessian: LinearOperator, which: str, start: np.ndarray) -> float:
    if start.size == 1:
        return float(hessian.matvec(np.ones(1))[0])
    ncv = min(start.size, 40)  # vectors held: all of them for a small Hessian, which then takes one pass
    return float(eigsh(hessian, 1, which=which, v0=start, ncv=ncv, tol=1e-11, return_eigenvectors=False)[0])


def top(rng: np.random.Generator, loss: Loss, weights: Tensor, n: int = 1) -> tuple[np.ndarray, Tensor]:
    """The n largest eigenvalues, descending, and their eigenvectors, (n, *weights.shape)."""
    hessian, start = operator(loss, weights), rng.standard_normal(weights.numel())
    if n < start.size:
        values, vectors = eigsh(hessian, n, which="LA", v0=start)
    else:  # more than Lanczos can give
        values, vectors = np.linalg.eigh(hessian.matmat(np.eye(start.size)))
    order = np.argsort(-values)
    return values[order], torch.from_numpy(vectors.T[order].copy()).to(weights).view(n, *weights.shape)


def trace(rng: np.random.Generator, loss: Loss, weights: Tensor, n_vectors: int = 64) -> tuple[float, float]:
    """Hutchinson's estimate of the Hessian's trace (`hutchinson1989`), from random signs, and its standard error."""
    product = hessian_product(loss, weights)
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], (n_vectors, *weights.shape))).to(weights)
    values = np.array([float((v * product(v)).sum()) for v in signs])
    return float(values.mean()), float(values.std(ddof=1) / n_vectors**0.5)


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal and off-diagonal of the tridiagonal matrix that `product` is on the Krylov space of `start`.

    Every new vector is made orthogonal to all before; fewer than `steps` where the space is exhausted.
    """
    basis, diagonal, beside = [(start / start.norm()).ravel()], [], []
    while True:
        v = product(basis[-1].view_as(start)).ravel()
        diagonal.append(float(v @ basis[-1]))
        kept = torch.stack(basis)
        for _ in range(2):  # once is not enough in floating point
            v = v - kept.mT @ (kept @ v)
        rest = float(v.norm())
        if len(diagonal) == min(steps, start.numel()) or rest < 1e-10 * max(map(abs, diagonal)):
            return np.array(diagonal), np.array(beside)
        beside.append(rest)
        basis.append(v / rest)


def spectral_density(
    rng: np.random.Generator, loss: Loss, weights: Tensor, steps: int, n_vectors: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Stochastic Lanczos quadrature (`eq-quadrature`, `ubaru2017`): places and shares of the Hessian's eigenvalues.

    From `n_vectors` random starts, `steps` products each; the shares sum to 1.
    """
    product, found = hessian_product(loss, weights), []
    for _ in range(n_vectors):
        start = torch.from_numpy(rng.choice([-1.0, 1.0], weights.shape)).to(weights)
        values, vectors = eigh_tridiagonal(*lanczos(product, start, steps))
        found.append(np.stack([values, vectors[0] ** 2 / n_vectors]))
    return tuple(np.concatenate(found, axis=1))


def broaden(places: np.ndarray, shares: np.ndarray, at: np.ndarray, width: float) -> np.ndarray:
    """The density of `shares` at `places` seen through a Gaussian of standard deviation `width`, (len(at),)."""
    z = (at[:, None] - places) / width
    return (np.exp(-(z**2) / 2) @ shares) / (width * np.sqrt(2 * np.pi))
