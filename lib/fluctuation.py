"""How the weights of an online rule fluctuate about a minimum, direction by direction: measured, and in closed form."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lib.landscape import Circuit, Codes, draw_odors

BLOCK = 500  # presentations whose codes are held at a time
SAMPLINGS = ("fresh", "with replacement", "epochs")


def stream(
    rng: np.random.Generator, circuit: Circuit, familiar: Codes, sampling: str, n_presentations: int
) -> Iterator[tuple[Tensor, ...]]:
    """Blocks of one presentation after the other: sent (B, n, k), target (B, n) and answer (B, n).

    "fresh": every odor is new; "with replacement": the familiar ones, drawn independently; "epochs": each familiar
    odor once, in a new order, before any comes again.
    """
    n_odors, device = familiar.target.shape[1], familiar.sent.device
    if sampling == "with replacement":
        order = rng.integers(n_odors, size=n_presentations)
    elif sampling == "epochs":
        order = np.concatenate([rng.permutation(n_odors) for _ in range(-(-n_presentations // n_odors))])
    for start in range(0, n_presentations, BLOCK):
        n = min(BLOCK, n_presentations - start)
        if sampling == "fresh":
            shown = circuit.encode(draw_odors(rng, circuit.left.weights.shape[1], n, str(device)))
            parts = (shown.sent, shown.target, shown.answer)
        else:
            chosen = torch.from_numpy(order[start : start + n]).to(device)
            parts = (part[..., chosen] for part in (familiar.sent, familiar.target, familiar.answer))
        yield tuple(part.movedim(-1, 0) for part in parts)


def descend(
    start: Tensor, blocks: Iterable[tuple[Tensor, ...]], rate: Tensor, threshold: Tensor | None = None, every: int = 10
) -> Tensor:
    """The weights (m, n, k) after every so many presentations of online gradient descent from `start` (n, k).

    Of the squared loss (`eq-online-sgd`), or with `threshold` (n,) of the thresholded readout's; `rate` eta, (n,).
    """
    weights, kept, count = start.clone(), [], 0
    for sent, target, answer in blocks:
        sent, wanted = sent.contiguous(), (target if threshold is None else answer).contiguous()
        for y, t in zip(sent, wanted, strict=True):
            drive = torch.linalg.vecdot(weights, y)
            if threshold is None:
                error = t - drive
            else:
                above = drive - threshold
                error = torch.where(above > 0, t - above, 0)
            weights.addcmul_((rate * error)[:, None], y)
            count += 1
            if count % every == 0:
                kept.append(weights.clone())
    return torch.stack(kept)


def noise(errors: Tensor, codes: Codes, directions: Tensor) -> Tensor:
    """Variance of one presentation's gradient along each direction, (n, m), at the minimum where it averages to zero.

    errors (n, P): the loss's slope by the drive, odor by odor; directions (n, k, m).
    """
    seen = directions.mT @ codes.sent
    return ((errors[:, None] * seen) ** 2).mean(-1)


def settled_variance(curvature: ArrayLike, noise: ArrayLike, rate: ArrayLike, n_epoch: int | None = None) -> np.ndarray:
    """Variance of a weight along a direction of that curvature (`eq-fluctuation`, `eq-fluctuation-epochs`).

    `noise`: variance of one presentation's gradient; odors independent of each other, or each of `n_epoch` once an
    epoch, averaged over the epoch. The noise is taken to be that at the minimum: small rates.
    """
    curvature, noise, rate = (np.asarray(v, float) for v in (curvature, noise, rate))
    kept = 1 - rate * curvature
    if n_epoch is None:
        return rate**2 * noise / (1 - kept**2)
    powers = kept[..., None] ** np.arange(n_epoch + 1)
    sums = [(1 - powers**j) / (1 - kept[..., None] ** j) for j in (1, 2)]
    drawn = (n_epoch * sums[1] - sums[0] ** 2) / (n_epoch - 1)  # of the first so many odors of an epoch
    at_end = drawn[..., -1] / (1 - powers[..., -1] ** 2)
    return rate**2 * noise * (powers**2 * at_end[..., None] + drawn)[..., 1:].mean(-1)


def gaussian_variance(curvature: np.ndarray, residual: float, rate: float) -> np.ndarray:
    """`settled_variance` for fresh gaussian codes, exact at any rate: all curvatures (m,) of one neuron at once.

    `residual`: variance of the error at the minimum, independent of the codes (`eq-fluctuation-exact`).
    """
    shape = 1 / (1 - rate * curvature)
    return rate * residual * shape / 2 / (1 - rate * (curvature * shape).sum() / 2)


def widths(loss: Callable[[Tensor], Tensor], floor: Tensor, scale: Tensor, steps: int = 50) -> Tensor:
    """Flatness as `feng2021inverse` defines it: the width in which a loss stays below e times its value at the minimum.

    `loss`: distances (n, m) along m directions to losses (n, m); `floor` (n, 1): the loss at the minimum; `scale`
    (n, m): a distance beyond the width on either side. By bisection.
    """
    total = torch.zeros_like(scale)
    for sign in (-1, 1):
        low, high = torch.zeros_like(scale), scale.clone()
        for _ in range(steps):
            middle = (low + high) / 2
            inside = loss(sign * middle) < torch.e * floor
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        total += low
    return total
