"""The sparse projection between the hemispheres: where its synapses are, and what the batch rules make of them.

A projection of n receiving on m sending neurons is one tensor with an entry a synapse: sparse (CSR) where few of the
n x m places are taken, dense where many are. Every function here takes either.
"""

import math
import warnings
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from lib.cortex import tensor

with warnings.catch_warnings(action="ignore"):  # torch says once a process that its CSR format is in beta
    torch.sparse_csr_tensor([0, 0], [], [], (1, 1), check_invariants=False)

SPARSE = 0.15  # density below which the sampled product is faster than the dense one (benchmarks/align.py)


def _csr(
    counts: np.ndarray, columns: np.ndarray, values: np.ndarray, n_columns: int, device: str | torch.device
) -> Tensor:
    rows = np.concatenate([[0], np.cumsum(counts)])
    parts = (torch.from_numpy(rows.astype(np.int32)), torch.from_numpy(columns.astype(np.int32)), tensor(values))
    return torch.sparse_csr_tensor(*parts, (len(counts), n_columns), check_invariants=False).to(device)


def distinct(rng: np.random.Generator, n: int, shape: tuple[int, int]) -> np.ndarray:
    """Uniform subsets of range(n): (rows, k) sorted whole numbers, none twice in a row.

    Repeats are redrawn until none is left. That treats all numbers alike, so every subset is equally likely.
    """
    n_rows, k = shape
    if 2 * k > n:  # what is left out is the smaller subset
        kept = np.ones((n_rows, n), bool)
        np.put_along_axis(kept, distinct(rng, n, (n_rows, n - k)), False, axis=1)
        return np.nonzero(kept)[1].reshape(n_rows, k)
    columns = np.sort(rng.integers(n, size=shape, dtype=np.int32), axis=1)
    unfinished = np.arange(n_rows)
    while len(unfinished):
        some = columns[unfinished]
        repeat = some[:, 1:] == some[:, :-1]
        some[:, 1:][repeat] = rng.integers(n, size=repeat.sum(), dtype=np.int32)
        some.sort(axis=1)
        columns[unfinished] = some
        unfinished = unfinished[repeat.any(axis=1)]
    return columns


def bernoulli_places(rng: np.random.Generator, n_places: int, density: float) -> np.ndarray:
    """The places (sorted, of n_places) that are taken, each with probability `density`: gaps are geometric."""
    runs, last = [], -1
    while last < n_places:
        expected = (n_places - last) * density
        gaps = rng.geometric(density, int(expected + 4 * math.sqrt(expected) + 8))
        runs.append(last + np.cumsum(np.minimum(gaps, n_places + 1)))
        last = runs[-1][-1]
    places = np.concatenate(runs)
    return places[places < n_places]


def draw_synapses(
    rng: np.random.Generator,
    n_receiving: int,
    n_sending: int,
    *,
    density: float | None = None,
    fan_in: int | None = None,
    device: str = "cpu",
) -> Tensor:
    """A mask (n_receiving, n_sending) whose entries are uniform draws: the synapses at density p are those below p.

    One draw a synapse serves all densities up to `density`. With `fan_in`, exactly that many entries a row are 0 and,
    in the dense form, the others 1.
    """
    if (density if fan_in is None else fan_in / n_sending) > SPARSE:
        if fan_in is None:
            return tensor(rng.random((n_receiving, n_sending), dtype=np.float32), device)
        absent = np.ones((n_receiving, n_sending), np.float32)
        np.put_along_axis(absent, distinct(rng, n_sending, (n_receiving, fan_in)), 0, axis=1)
        return tensor(absent, device)
    if fan_in is None:
        rows, columns = np.divmod(bernoulli_places(rng, n_receiving * n_sending, density), n_sending)
        draws = density * rng.random(len(columns), dtype=np.float32)
        return _csr(np.bincount(rows, minlength=n_receiving), columns, draws, n_sending, device)
    columns = distinct(rng, n_sending, (n_receiving, fan_in)).ravel()
    return _csr(np.full(n_receiving, fan_in), columns, np.zeros(len(columns)), n_sending, device)


def with_values(projection: Tensor, values: Tensor) -> Tensor:
    """The same synapses with other values, one each."""
    if projection.layout is not torch.sparse_csr:
        return values
    crow, col = projection.crow_indices(), projection.col_indices()
    return torch.sparse_csr_tensor(crow, col, values, projection.shape, check_invariants=False)


def entries(projection: Tensor) -> Tensor:
    """The values of all synapses: a vector for a sparse projection, the matrix itself for a dense one."""
    return projection.values() if projection.layout is torch.sparse_csr else projection


def select(draws: Tensor, density: float, weights: Tensor) -> Tensor:
    """`weights` on the synapses whose draw lies below `density`, zero on the others."""
    return with_values(weights, torch.where(entries(draws) < density, entries(weights), 0))


def fan_in_of(draws: Tensor, density: float) -> Tensor:
    """Number of synapses a receiving neuron at `density`, (n_receiving,)."""
    present = with_values(draws, (entries(draws) < density).float())
    return (present @ torch.ones(draws.shape[1], 1, device=draws.device)).ravel()


def draw_mask(rng: np.random.Generator, n_receiving: int, n_sending: int, **wanted) -> Tensor:
    """1 where `draw_synapses` puts a synapse, (n_receiving, n_sending); the dense form has 0 elsewhere."""
    draws = draw_synapses(rng, n_receiving, n_sending, **wanted)
    density = wanted["density"] if wanted.get("fan_in") is None else 1.0
    if draws.layout is torch.sparse_csr:
        return with_values(draws, torch.ones_like(draws.values()))
    return (draws < density).float()


def masked_product(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The values of M o (a b^T) on the synapses, for a (n_receiving, n) and b (n_sending, n), or stacks of them."""
    if mask.layout is not torch.sparse_csr:
        return mask * (a @ b.mT)
    return torch.sparse.sampled_addmm(with_values(mask, torch.zeros_like(mask.values())), a, b.T).values()


def used_columns(draws: Tensor) -> tuple[Tensor, np.ndarray]:
    """A sparse mask without the sending neurons that have no synapse, and the numbers of those that stay."""
    columns, place = np.unique(draws.col_indices().cpu().numpy(), return_inverse=True)
    counts = np.diff(draws.crow_indices().cpu().numpy())
    return _csr(counts, place, draws.values().cpu().numpy(), len(columns), draws.device), columns


def hebbian(draws: Tensor, pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Fixed point of the Hebbian rule on every synapse, W = M o cov(y_R, y_L) (`eq-hebbian`).

    `pairs` gives the codes (n_receiving, n), (n_sending, n) of one chunk of familiar odors after the other; only the
    products on synapses are computed where the mask is sparse.
    """
    products = with_values(draws, torch.zeros_like(entries(draws)))
    sum_r = torch.zeros(draws.shape[0], device=draws.device)
    sum_l = torch.zeros(draws.shape[1], device=draws.device)
    n_odors = 0
    for y_r, y_l in pairs:
        if products.layout is torch.sparse_csr:
            products = torch.sparse.sampled_addmm(products, y_r, y_l.T)
        else:
            products.addmm_(y_r, y_l.T)
        sum_r += y_r.sum(1)
        sum_l += y_l.sum(1)
        n_odors += y_r.shape[1]
    m_r, m_l = sum_r / n_odors, sum_l / n_odors
    if products.layout is torch.sparse_csr:
        m_r = m_r.repeat_interleave(draws.crow_indices().diff())
        chance = m_r * m_l[draws.col_indices()]
    else:
        chance = torch.outer(m_r, m_l)
    return with_values(products, entries(products) / n_odors - chance)


def least_squares(
    draws: Tensor, densities: Iterable[float], y_r: Tensor, y_l: Tensor, memory: float = math.inf
) -> list[Tensor]:
    """The limit of SGD at each density: row by row the masked least-squares weights of minimum norm (`eq-sgd`).

    y_r (n_receiving, P), y_l (n_sending, P): codes of the familiar odors, centred here, in float64 since Gram matrices
    square the condition number. All rows share one Gram matrix of the senders where that saves work and fits `memory`.
    """
    y_r, y_l = (y.double() - y.double().mean(1, keepdim=True) for y in (y_r, y_l))
    densities = list(densities)
    row_by_row = sum(float((fan_in_of(draws, p) ** 2).sum()) for p in densities)
    shared = y_l @ y_l.T if len(y_l) ** 2 < min(row_by_row, memory / 8) else None
    everyone = torch.arange(draws.shape[1], device=draws.device)
    sparse = draws.layout is torch.sparse_csr
    ends = draws.crow_indices().tolist() if sparse else []
    learned = [torch.zeros_like(entries(draws)) for _ in densities]
    for i, target in enumerate(y_r):
        place = slice(ends[i], ends[i + 1]) if sparse else i
        for density, weights in zip(densities, learned, strict=True):
            taken = torch.nonzero(entries(draws)[place] < density).ravel()
            inputs = (draws.col_indices()[place] if sparse else everyone)[taken]
            gram = None if shared is None else shared[inputs][:, inputs]
            weights[place][taken] = _minimum_norm(y_l[inputs], target, gram).float()
    return [with_values(draws, weights) for weights in learned]


def _minimum_norm(x: Tensor, y: Tensor, gram: Tensor | None) -> Tensor:
    """argmin |w| among the minimisers of |w x - y|, for centred x (k, P), y (P,), and x x^T where it is known."""
    k, n_odors = x.shape
    if k == 0:
        return x.new_zeros(0)
    if (
        k >= n_odors
    ):  # the smaller Gram matrix; centred codes leave its constant undetermined: fix it, no weight changes
        gram = x.T @ x
        gram += gram.diagonal().mean()
    elif gram is None:
        gram = x @ x.T
    factor, failed = torch.linalg.cholesky_ex(gram)
    pivots = factor.diagonal()
    right = (x @ y if k < n_odors else y)[:, None]
    if not failed and pivots.min() > 1e-6 * pivots.max():
        solution = torch.cholesky_solve(right, factor)
    else:
        solution = torch.linalg.pinv(gram, rtol=1e-10, hermitian=True) @ right
    return solution.ravel() if k < n_odors else x @ solution.ravel()
