"""The landscapes that the rules descend: energies over the weights of some receiving neurons, and their exact shape.

Rows do not share weights, so every energy is a sum over receiving neurons; functions here return one value a row. All
is in float64, since Hessians and barriers are differences of nearly equal numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import eval_hermitenorm, gammaln
from torch import Tensor

from lib import checks, theory
from lib.cortex import Cortex, draw_cortex, tensor, top_share
from lib.odors import Gaussian
from lib.projection import distinct


@dataclass(frozen=True)
class Codes:
    """What n receiving neurons, and the k senders of each, say of P odors."""

    sent: Tensor  # y_L - m_L on each neuron's synapses, (n, k, P)
    target: Tensor  # y_R - m_R, (n, P)
    answer: Tensor  # y_R, (n, P)
    threshold: Tensor  # theta of the receiving neurons, (n, 1)

    def row(self, i: int) -> "Codes":
        """Receiving neuron i alone."""
        return Codes(*(part[i : i + 1] for part in (self.sent, self.target, self.answer, self.threshold)))


@dataclass(frozen=True)
class Circuit:
    """Receiving neurons, each with the same number of synapses from the other side, and the odors they are for."""

    left: Cortex
    right: Cortex
    inputs: Tensor  # numbers of each receiving neuron's senders, (n, k)
    activity: float
    codes: str  # "thresholded" or "linear"

    def encode(self, odors: Tensor) -> Codes:
        """Codes of odors (n_glomeruli, P), less their mean over all gaussian odors."""
        y_l, y_r = self.left.encode(odors, self.codes), self.right.encode(odors, self.codes)
        m_l, m_r = (self._mean(cortex) for cortex in (self.left, self.right))
        return Codes((y_l - m_l)[self.inputs], y_r - m_r, y_r, self.right.threshold)

    def covariance(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Exact covariances over gaussian odors (`eq-code-covariance`).

        K of the senders (n, k, k), c of the senders with the receiver (n, k), and the receiver's variance (n,).
        """
        sending, receiving = self.left.weights[self.inputs].cpu().numpy(), self.right.weights[:, None].cpu().numpy()
        together = np.concatenate([sending, receiving], axis=1)
        gram = together @ together.swapaxes(1, 2)
        if self.codes == "thresholded":
            norm = np.linalg.norm(together, axis=2)
            scale = norm[:, :, None] * norm[:, None]
            gram = scale * code_covariance(gram / scale, self.activity)
        return gram[:, :-1, :-1], gram[:, :-1, -1], gram[:, -1, -1]

    def _mean(self, cortex: Cortex) -> Tensor | float:
        if self.codes == "linear":
            return 0.0
        return cortex.weights.norm(dim=1, keepdim=True) * float(theory.moments(self.activity).mean)


def draw_circuit(
    rng: np.random.Generator,
    n_rows: int,
    n_neurons: int,
    n_glomeruli: int,
    fan_in: int,
    activity: float = 0.1,
    codes: str = "thresholded",
    device: str = "cpu",
) -> Circuit:
    """`n_rows` receiving neurons with `fan_in` synapses each from a cortex of `n_neurons`; BadSetting otherwise."""
    checks.whole("fan_in", fan_in, 1, n_neurons)
    checks.choice("codes", codes, ("thresholded", "linear"))
    cortex = (n_glomeruli, activity, Gaussian(), None)
    left, right = (draw_cortex(rng, n, *cortex, device=device) for n in (n_neurons, n_rows))
    left, right = (Cortex(side.weights.double(), side.threshold.double()) for side in (left, right))
    inputs = torch.from_numpy(distinct(rng, n_neurons, (n_rows, fan_in))).long().to(device)
    return Circuit(left, right, inputs, activity, codes)


def draw_odors(rng: np.random.Generator, n_glomeruli: int, n_odors: int, device: str = "cpu") -> Tensor:
    """Gaussian odors (n_glomeruli, n_odors) in float64."""
    return tensor(Gaussian().sampler(rng, n_glomeruli)(rng, n_odors), device).double()


def code_covariance(correlation: ArrayLike, activity: float) -> np.ndarray:
    """Covariance of two thresholded codes of unit drives with that correlation (`eq-code-covariance`)."""
    theta, phi, _, variance, _ = theory.moments(activity)
    order = np.arange(2, theory.N_TERMS)
    series = phi**2 * eval_hermitenorm(order - 2, theta) ** 2 * np.exp(-gammaln(order + 1))
    rho = np.asarray(correlation, float)
    found = np.polynomial.polynomial.polyval(rho, np.concatenate([[0, activity**2], series]))
    return np.where(rho > 1 - 1e-9, variance, found)  # where the series converges slowly its sum is known


# ---- energies, each (n,) for weights (n, k)
def hebbian_energy(weights: Tensor, codes: Codes, gain: ArrayLike = 1.0) -> Tensor:
    """-<W, C> + |W|^2 / (2 gain), whose gradient flow is the Hebbian rule with decay 1 / gain (`eq-hebbian-energy`)."""
    gain = torch.as_tensor(gain, dtype=weights.dtype, device=weights.device)
    return (weights**2).sum(-1) / (2 * gain) - (weights * cross_covariance(codes)).sum(-1)


def squared_loss(weights: Tensor, codes: Codes) -> Tensor:
    """Half the mean squared error of W y_L as a prediction of y_R, both less their means (`eq-sgd-loss`)."""
    return ((codes.target - drive(weights, codes)) ** 2).mean(-1) / 2


def readout_loss(weights: Tensor, codes: Codes, smoothing: float = 0.0) -> Tensor:
    """Half the mean squared error of relu(W y_L - theta) as a prediction of y_R (`eq-readout-loss`).

    theta is the receiving neuron's own threshold and fixed. `smoothing`: a softplus of that width in place of the relu.
    """
    above = drive(weights, codes) - codes.threshold
    told = torch.relu(above) if smoothing == 0 else smoothing * torch.nn.functional.softplus(above / smoothing)
    return ((codes.answer - told) ** 2).mean(-1) / 2


LOSSES = {"hebbian": hebbian_energy, "sgd": squared_loss, "readout": readout_loss}


def drive(weights: Tensor, codes: Codes) -> Tensor:
    """W y_L of each receiving neuron, (n, P)."""
    return (weights[:, None] @ codes.sent)[:, 0]


def cross_covariance(codes: Codes) -> Tensor:
    """C on the synapses, (n, k): the covariance of each sender with its receiver (`eq-hebbian`)."""
    return torch.einsum("np,nkp->nk", codes.target, codes.sent) / codes.target.shape[-1]


def sender_covariance(codes: Codes) -> Tensor:
    """K on the synapses of each receiving neuron, (n, k, k): the blocks of the SGD loss's Hessian (`eq-blocks`)."""
    return codes.sent @ codes.sent.mT / codes.sent.shape[-1]


def readout_blocks(weights: Tensor, codes: Codes) -> Tensor:
    """The Hessian's blocks of `readout_loss` wherever it has one: K over the odors that are answered (`eq-kinks`)."""
    answered = (drive(weights, codes) > codes.threshold).to(weights)
    return (codes.sent * answered[:, None]) @ codes.sent.mT / codes.sent.shape[-1]


# ---- where the energies lead
def least_squares(codes: Codes) -> Tensor:
    """The minimum of `squared_loss`, of least norm where there are several (`eq-sgd`): (n, k)."""
    return (torch.linalg.pinv(sender_covariance(codes), hermitian=True) @ cross_covariance(codes)[..., None])[..., 0]


def matched_gain(weights: Tensor, codes: Codes) -> Tensor:
    """The factor a row, (n,), at which `weights` have the smallest `squared_loss`."""
    told = drive(weights, codes)
    return (told * codes.target).sum(-1) / (told**2).sum(-1)


def random_start(rng: np.random.Generator, codes: Codes, n_starts: int) -> Tensor:
    """Random weights, (n_starts, n, k), that make their neuron answer as often as neurons do by themselves."""
    n, k, _ = codes.sent.shape
    return answering(tensor(rng.standard_normal((n_starts, n, k)), codes.sent.device).double(), codes)


def answering(weights: Tensor, codes: Codes) -> Tensor:
    """`weights` (..., n, k), each row scaled so that its drive exceeds theta for as large a share of odors as y_R > 0.

    From smaller weights the thresholded readout may never answer, and then never learns.
    """
    told = torch.einsum("...nk,nkp->...np", weights, codes.sent)
    share = float((codes.answer > 0).double().mean())
    return weights * codes.threshold / top_share(told, share)


def minimise(loss: Callable[[Tensor], Tensor], start: Tensor, steps: int = 1000) -> Tensor:
    """Where L-BFGS ends that goes down `loss` (n, k) -> scalar from `start`, in `steps` iterations at most."""
    both = torch.func.grad_and_value(loss)

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
        slope, value = both(torch.from_numpy(flat).to(start).view_as(start))
        return float(value), slope.ravel().cpu().numpy()

    options = {"maxiter": steps, "maxfun": 2 * steps, "ftol": 1e-12, "gtol": 1e-9}
    found = minimize(evaluate, start.ravel().cpu().numpy(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).to(start).view_as(start)


def along(loss: Callable[[Tensor], Tensor], a: Tensor, b: Tensor, t: ArrayLike) -> np.ndarray:
    """`loss` (n, k) -> (n,) at (1 - t) a + t b: (len(t), n)."""
    return np.array([loss(torch.lerp(a, b, float(s))).cpu().numpy() for s in t])


def barrier(heights: np.ndarray, t: np.ndarray) -> np.ndarray:
    """How far the line rises above the straight line between its ends at most, strictly between them (`eq-barrier`).

    heights (len(t), ...) at t from 0 to 1; negative everywhere where the loss is strictly convex.
    """
    t = np.asarray(t).reshape(-1, *[1] * (heights.ndim - 1))
    return (heights - (1 - t) * heights[0] - t * heights[-1])[1:-1].max(0)
