"""Small models in the style of Llama-2 and of Llama-3, trained on synthetic biographies."""

from lib import submodules

__getattr__, __all__ = submodules(__name__, __path__[0])
