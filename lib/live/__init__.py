"""The live figures of the chapters: what each shows, on which axes, under which controls."""

from lib import submodules

__getattr__, __all__ = submodules(__name__, __path__[0])
