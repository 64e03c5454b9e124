"""From bulb to cortex: the random projection and the threshold that make a sparse code of each odor."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from lib.odors import Gaussian, Mixture, Sampler

N_CALIBRATION = 2000  # odors from which a threshold is set where it has no closed form
BLOCK = 2**16  # neurons drawn at a time


def tensor(array: np.ndarray, device: str | torch.device = "cpu") -> Tensor:
    """A numpy draw as a float32 tensor, so that every device sees the same numbers."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)


@dataclass(frozen=True)
class Cortex:
    """Neurons of one hemisphere: drive h = J x, code y = relu(h - theta) (`eq-code`)."""

    weights: Tensor  # J, (n, n_glomeruli), entries of variance 1 / n_glomeruli
    threshold: Tensor  # theta, (n, 1)

    def drive(self, odors: Tensor) -> Tensor:
        """h, (n, n_odors), for odors (n_glomeruli, n_odors)."""
        return self.weights @ odors

    def code(self, odors: Tensor) -> Tensor:
        """y >= 0, (n, n_odors), for odors (n_glomeruli, n_odors)."""
        return (self.weights @ odors).sub_(self.threshold).relu_()

    def encode(self, odors: Tensor, codes: str) -> Tensor:
        """What the projection carries: the code y where `codes` is "thresholded", the drive h where it is "linear"."""
        return self.code(odors) if codes == "thresholded" else self.drive(odors)

    def rows(self, block: slice) -> "Cortex":
        """The neurons of `block` alone."""
        return Cortex(self.weights[block], self.threshold[block])


def top_share(values: Tensor, activity: float) -> Tensor:
    """The (1 - activity) quantile of `values` (..., n_odors), as (..., 1): a share `activity` of odors lies above."""
    n_active = round(activity * values.shape[-1])
    return values.topk(n_active + 1, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)


def draw_cortex(
    rng: np.random.Generator,
    n_neurons: int,
    n_glomeruli: int,
    activity: float,
    odors: Gaussian | Mixture,
    sampler: Sampler,
    keep: np.ndarray | None = None,
    device: str = "cpu",
) -> Cortex:
    """A cortex of n_neurons, or of those numbered in `keep` (sorted) out of the same draw.

    A share `activity` of odors lies above each threshold: theta_i = |J_i| Phi^-1(1 - activity) for gaussian odors, the
    quantile over calibration odors from `sampler` for all others.
    """
    keep = np.arange(n_neurons) if keep is None else keep
    kept = []
    for start in range(0, n_neurons, BLOCK):
        block = rng.standard_normal((min(BLOCK, n_neurons - start), n_glomeruli), dtype=np.float32)
        low, high = np.searchsorted(keep, (start, start + BLOCK))
        kept.append(block if high - low == len(block) else block[keep[low:high] - start])
    weights = tensor(np.concatenate(kept), device) / n_glomeruli**0.5
    if isinstance(odors, Gaussian):
        return Cortex(weights, weights.norm(dim=1, keepdim=True) * float(ndtri(1 - activity)))
    calibration = tensor(sampler(rng, N_CALIBRATION), device)
    thresholds = [top_share(block @ calibration, activity) for block in weights.split(4096)]
    return Cortex(weights, torch.cat(thresholds))
