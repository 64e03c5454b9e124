"""Bilateral alignment, sparse memory and pruned language models: the code behind the book.

`lib.align` is `lib.alignment.align`; a module `lib.x` is imported when it is first named, so `import lib` is cheap.
"""

import importlib
from pathlib import Path


def submodules(package: str, folder: str) -> tuple:
    """`__getattr__` and the names of a package in `folder` that imports a module when it is first named."""
    found = [*Path(folder).glob("[!_]*.py"), *(file.parent for file in Path(folder).glob("*/__init__.py"))]
    names = sorted(path.stem for path in found)

    def find(name: str):
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find, names


_find, _names = submodules(__name__, __path__[0])
__all__ = ["align", *_names]  # noqa: PLE0604


def __getattr__(name):
    return importlib.import_module("lib.alignment").align if name == "align" else _find(name)


def __dir__():
    return __all__
