"""One sentence for each bad setting: its name, what was given, what is allowed."""

from collections.abc import Collection
from numbers import Integral, Real

import numpy as np


def number(name: str, value, low: float, high: float = np.inf, *, open_low: bool = False) -> None:
    """Raise ValueError unless every entry of `value` is a real number in [low, high], or in (low, high] if `open_low`."""
    values = np.asarray(value)
    real = isinstance(value, Real) or values.dtype.kind in "iuf"
    if not real or values.dtype.kind == "b" or values.size == 0:
        raise ValueError(f"{name} must be a number, not {value!r}.")
    if not np.all((values > low if open_low else values >= low) & (values <= high)):
        closing = "" if np.isinf(high) else f" and at most {high:g}"
        raise ValueError(f"{name} must be {'above' if open_low else 'at least'} {low:g}{closing}, not {value!r}.")


def whole(name: str, value, low: int, high: float = np.inf) -> None:
    """Raise ValueError unless `value` is a whole number in [low, high]."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, not {value!r}.")
    number(name, int(value), low, high)


def choice(name: str, value, options: Collection[str]) -> None:
    """Raise ValueError unless `value` is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, not {value!r}.")
