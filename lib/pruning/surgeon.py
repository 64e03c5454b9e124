"""SparseGPT: a layer loses weights column by column, and the columns to the right make up for it."""

import torch
from torch import Tensor

from lib.pruning.criteria import Settings, smallest

DAMPING = 0.01  # of the mean diagonal, added to the diagonal of the Hessian (frantar2023sparsegpt)
WIDEST = 128  # columns whose masks are chosen together (frantar2023sparsegpt)


def block_size(n_inputs: int, settings: Settings) -> int:
    """Columns whose masks are chosen together: a part of the inputs, at most 128, whole groups of a pattern.

    Many at once cannot heed how their weights change meanwhile; few at once bind a row to lose its share in each of
    these sets. A quarter of the inputs (at least 16) is near the best where rows compete with nobody, an eighth (at
    least 8) where the weights of a whole layer do; from 512 and 1024 inputs on it is the published 128.
    """
    size = max(16, n_inputs // 4) if settings.scope == "row" else max(8, n_inputs // 8)
    group = settings.group[1] if settings.group else 1
    return -(-min(WIDEST, size) // group) * group


def factor(hessian: Tensor) -> tuple[Tensor, float]:
    """U, upper triangular, with U^T U the inverse of the damped Hessian (n, n), and the damping (`eq-sparsegpt`).

    The damping begins at 1 % of the mean diagonal and grows tenfold until the Cholesky factor exists; an input that
    was never active has the damping for its curvature. One factor of the reversed matrix and one triangular solve give
    U, so that no inverse is ever factored. `hessian` is used up, so that few matrices of its size are held at once.
    """
    mean = hessian.diagonal().mean()
    mean = torch.where(mean > 0, mean, torch.ones_like(mean))
    hessian.copy_(hessian.flip(0, 1))
    damping, added = DAMPING, 0.0
    while True:
        hessian.diagonal().add_((damping - added) * mean)
        lower, failed = torch.linalg.cholesky_ex(hessian)
        if not failed and lower.isfinite().all():
            break
        del lower
        damping, added = 10 * damping, damping
    hessian.copy_(lower.flip(0, 1))
    del lower
    upper = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device).T  # the layout that is solved in place
    return torch.linalg.solve_triangular(hessian, upper, upper=True, out=upper), damping


def sweep(weight: Tensor, upper: Tensor, settings: Settings, mask: Tensor | None = None) -> Tensor:
    """The pruned weight (outputs, inputs) of a layer whose inputs have the factor `upper` (`eq-sparsegpt`).

    Without `mask`, the weights that go (outputs, inputs) are chosen by w^2 / U_jj^2, for some columns at a time, so
    that of the j columns up to the end of each such set a row has lost exactly round(sparsity j) weights.
    """
    w = weight.T.contiguous()  # inputs first: what a step changes lies together
    n, group = len(w), settings.group[1] if settings.group else 1
    gone = torch.zeros_like(w, dtype=torch.bool) if mask is None else mask.T.contiguous()
    size = block_size(n, settings)
    for start in range(0, n, size):
        end = min(start + size, n)
        errors = torch.zeros_like(w[start:end])
        for j in range(start, end):
            if mask is None and (j - start) % (group if settings.group else size) == 0:
                columns = slice(j, j + group if settings.group else end)
                gone[columns] = _choose(w[columns], upper, columns, settings)
            errors[j - start] = torch.where(gone[j], w[j] / upper[j, j], 0)
            w[j + 1 : end].addr_(upper[j, j + 1 : end], errors[j - start], alpha=-1)
            w[j].masked_fill_(gone[j], 0)
        w[end:].addmm_(upper[start:end, end:].T, errors, alpha=-1)
    return w.T.contiguous()


def _choose(w: Tensor, upper: Tensor, columns: slice, settings: Settings) -> Tensor:
    """Which of the weights w (columns, outputs) go, by the error that each causes when it goes alone."""
    cost = (w / upper.diagonal()[columns, None]).square()
    if settings.group:
        kept, group = settings.group
        return smallest(cost.T, group - kept).T
    each = cost.shape[1] if settings.scope == "layer" else 1  # weights of a column that compete
    count = round(settings.sparsity * each * columns.stop) - round(settings.sparsity * each * columns.start)
    if settings.scope == "layer":
        return smallest(cost.T.flatten(), count).reshape(cost.T.shape).T
    return smallest(cost.T, count).T
