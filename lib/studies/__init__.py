"""What the chapters measure: the experiments behind the sweeps, and each sweep as the dataset that its figure shows."""

from lib import submodules

__getattr__, __all__ = submodules(__name__, __path__[0])
