"""How nearly the Hebbian and the SGD rule want to change the same synapses in the same direction."""

import numpy as np
from torch import Tensor

from lib.cortex import tensor
from lib.projection import entries, masked_product, with_values


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of two increments of the same shape, all their entries together: a scalar."""
    return (a * b).sum() / (a.norm() * b.norm())


def outputs(weights: Tensor, y_l: Tensor, y_r: Tensor, gain: str = "unit") -> Tensor:
    """W y_L times a gain, (n, n_odors): 1, or "matched", the scalar that fits y_R best (`eq-updates`)."""
    predicted = weights @ y_l
    if gain == "matched":
        predicted = predicted * ((y_r * predicted).sum() / (predicted**2).sum().clamp_min(1e-30))
    return predicted


def random_outputs(rng: np.random.Generator, mask: Tensor, y_l: Tensor, predicted: Tensor) -> Tensor:
    """W y_L, (n, n_odors), of Gaussian weights on the mask, scaled row by row to the power of `predicted`."""
    values = entries(mask)
    random = with_values(mask, values * tensor(rng.standard_normal(values.shape, np.float32), mask.device)) @ y_l
    return random * (predicted.norm(dim=1) / random.norm(dim=1).clamp_min(1e-30))[:, None]


def presentation_cosine(reach: Tensor, y_r: Tensor, predicted: Tensor) -> Tensor:
    """Cosine of one odor's Hebbian increment M o (y_R y_L^T) and SGD increment M o ((y_R - W y_L) y_L^T): (n_odors,).

    Centred codes y_r and `predicted` W y_L, (n, n_odors); `reach` M y_L^2, (n, n_odors), the sum of y_L^2 over
    a neuron's synapses (`eq-updates`, first definition). Of rank one but for the mask, no increment has to be formed.
    """
    error = y_r - predicted
    return (y_r * error * reach).sum(0) / ((y_r**2 * reach).sum(0) * (error**2 * reach).sum(0)).sqrt()


def averaged_cosine(mask: Tensor, y_r: Tensor, y_l: Tensor, predicted: Tensor) -> Tensor:
    """Cosine of the two increments averaged over odors (`eq-updates`, second definition): a scalar.

    mask (n, n_sending), centred codes y_r and `predicted` (n, n_odors), y_l (n_sending, n_odors).
    """
    return cosine(masked_product(mask, y_r, y_l), masked_product(mask, y_r - predicted, y_l))
