"""Pruning of Llama models: criteria, the pass block by block, in memory or streaming, and its report.

A module is imported when one of its names is first asked for, so `import lib.pruning` is cheap.
"""

import importlib

from lib import submodules

_HOMES = {
    "Evaluation": "evaluation",
    "Report": "reports",
    "Settings": "criteria",
    "Sizes": "packing",
    "evaluate": "evaluation",
    "generate": "generation",
    "load": "reading",
    "load_tokenizer": "reading",
    "pack": "packing",
    "packed_bytes": "quantization",
    "prune": "blocks",
    "quantize": "quantization",
    "report": "reports",
    "stream": "streaming",
    "unpack": "packing",
}
_find, _modules = submodules(__name__, __path__[0])
__all__ = [*_HOMES, *_modules]  # noqa: PLE0604


def __getattr__(name):
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name) if name in _HOMES else _find(name)


def __dir__():
    return __all__
