"""From the world to the bulb: draws of odors as patterns of glomerular activity, the same at both nostrils."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lib import checks

Sampler = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Gaussian:
    """Odors x ~ N(0, I): what the closed forms cover."""

    fixed_norm: bool = False  # scale each odor to |x| = sqrt(n_glomeruli) instead of leaving its norm free

    def sampler(self, rng: np.random.Generator, n_glomeruli: int) -> Sampler:
        """Draws of n odors, (n_glomeruli, n) float32; `rng` is not used: no odor world stands behind them."""

        def draw(rng: np.random.Generator, n: int) -> np.ndarray:
            x = rng.standard_normal((n_glomeruli, n), dtype=np.float32)
            return x * (np.sqrt(n_glomeruli) / np.linalg.norm(x, axis=0)) if self.fixed_norm else x

        return draw


@dataclass(frozen=True)
class Mixture:
    """Mixtures of a few out of many odorants, in the manner of Qin et al. (`qin2019`); each number is our choice."""

    n_odorants: int = 500  # kinds of molecules in the world
    n_components: int = 10  # molecules in one odor
    sigma_concentration: float = 1.0  # standard deviation of log concentration
    sigma_affinity: float = 1.0  # standard deviation of log affinity of a receptor for an odorant
    saturation: bool = True  # a receptor's response is s / (s + n_components), s the sum of concentration x affinity
    normalisation: bool = True  # divide each odor's response by its mean over glomeruli

    def __post_init__(self) -> None:
        checks.whole("n_odorants", self.n_odorants, 1)
        checks.whole("n_components", self.n_components, 1, self.n_odorants)
        checks.number("sigma_concentration", self.sigma_concentration, 0)
        checks.number("sigma_affinity", self.sigma_affinity, 0)

    def sampler(self, rng: np.random.Generator, n_glomeruli: int) -> Sampler:
        """Draws of n odors, (n_glomeruli, n) float32, all from the one receptor array that `rng` gives here."""
        affinity = rng.lognormal(0, self.sigma_affinity, (n_glomeruli, self.n_odorants)).astype(np.float32)

        def draw(rng: np.random.Generator, n: int) -> np.ndarray:
            present = np.argsort(rng.random((n, self.n_odorants), dtype=np.float32), axis=1)[:, : self.n_components]
            concentration = np.zeros((n, self.n_odorants), np.float32)
            draws = rng.lognormal(0, self.sigma_concentration, present.shape).astype(np.float32)
            np.put_along_axis(concentration, present, draws, axis=1)
            x = affinity @ concentration.T
            if self.saturation:
                x = x / (x + self.n_components)
            return x / x.mean(axis=0) if self.normalisation else x

        return draw


STATISTICS = {"gaussian": Gaussian(), "mixture": Mixture()}


def statistics(odors: str | Gaussian | Mixture) -> Gaussian | Mixture:
    """The odor statistics meant by a name of `STATISTICS`, or `odors` itself; ValueError for an unknown name."""
    if isinstance(odors, Gaussian | Mixture):
        return odors
    checks.choice("odors", odors, STATISTICS)
    return STATISTICS[odors]


def effective_dimension(x: np.ndarray) -> float:
    """Participation ratio (sum l)^2 / sum l^2 of the covariance's eigenvalues l, for odors x (n_glomeruli, n)."""
    eigenvalues = np.linalg.eigvalsh(np.cov(x))
    return float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())
