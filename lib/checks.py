"""One sentence for each bad setting: its name, what was given, what is allowed."""

from collections.abc import Collection
from numbers import Integral, Real

import numpy as np


class BadSetting(ValueError):
    """A setting out of its range; in a notebook the sentence stands alone, without the calls that led to it."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


def number(name: str, value, low: float, high: float = np.inf, *, open_low: bool = False) -> None:
    """Raise BadSetting unless all of `value` are real numbers in [low, high], or in (low, high] if `open_low`."""
    values = np.asarray(value)
    real = isinstance(value, Real) or values.dtype.kind in "iuf"
    if not real or values.dtype.kind == "b" or values.size == 0:
        raise BadSetting(f"{name} must be a number, not {value!r}.")
    if not np.all((values > low if open_low else values >= low) & (values <= high)):
        closing = "" if np.isinf(high) else f" and at most {int(high) if high == int(high) else high}"
        raise BadSetting(f"{name} must be {'above' if open_low else 'at least'} {low:g}{closing}, not {value!r}.")


def scalar(name: str, value, low: float, high: float = np.inf, *, open_low: bool = False) -> None:
    """Raise BadSetting unless `value` is one real number in the range of `number`."""
    if np.ndim(value):
        raise BadSetting(f"{name} must be one number, not {value!r}.")
    number(name, value, low, high, open_low=open_low)


def whole(name: str, value, low: int, high: float = np.inf) -> None:
    """Raise BadSetting unless `value` is a whole number in [low, high]."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise BadSetting(f"{name} must be a whole number, not {value!r}.")
    number(name, int(value), low, high)


def choice(name: str, value, options: Collection[str]) -> None:
    """Raise BadSetting unless `value` is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise BadSetting(f"{name} must be one of {', '.join(map(repr, options))}, not {value!r}.")
