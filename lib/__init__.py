"""Bilateral alignment, sparse memory and pruned language models: the code behind the book.

`lib.align` is `lib.alignment.align`; a module `lib.x` is imported when it is first named, so `import lib` is cheap.
"""

import importlib
from pathlib import Path

_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))

__all__ = ["align", *_MODULES]  # noqa: PLE0604


def __getattr__(name):
    if name == "align":
        return importlib.import_module("lib.alignment").align
    if name in _MODULES:
        return importlib.import_module(f"lib.{name}")
    raise AttributeError(f"module 'lib' has no attribute {name!r}")


def __dir__():
    return __all__
