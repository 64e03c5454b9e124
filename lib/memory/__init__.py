"""Associative memories: Hopfield networks, the Titans memory, and recall of pairs beyond an attention window."""

from lib import submodules

__getattr__, __all__ = submodules(__name__, __path__[0])
