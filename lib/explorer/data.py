"""The live figure's numbers: packed grids, axis limits, and how a number is written."""

import math
import signal
import threading
import zlib
from contextlib import contextmanager

import numpy as np

MISSING = 65535  # the code of a value that is not finite


def pack(dataset):
    """`dataset` as (layout, bytes): 16-bit codes, differenced, split in high and low bytes, deflated.

    Whole numbers in a range of 65534 are exact; values over more than a factor of 50 are coded by their logarithm;
    texts by their place among all texts of their variable.
    Raises ValueError for a coordinate that is not finite.
    """
    variables, codes, start = {}, [], 0
    for name, variable in dataset.data_vars.items():
        values = np.asarray(variable.values).ravel()
        code, scale = _listed(values) if values.dtype.kind in "OU" else _quantise(values.astype(float))
        variables[name] = {"dims": list(variable.dims), "start": start, **scale}
        codes.append(code)
        start += code.size
    dims = {dim: np.asarray(dataset[dim].values).tolist() for dim in dataset.sizes}
    for dim, values in dims.items():
        if any(isinstance(value, float) and not math.isfinite(value) for value in values):
            raise ValueError(f"dimension {dim!r} has a value that is not finite.")
    differences = np.diff(np.concatenate(codes), prepend=np.uint16(0))
    planes = np.concatenate([differences >> 8, differences & 255]).astype(np.uint8)
    return {"dims": dims, "variables": variables}, zlib.compress(planes.tobytes(), 9)


def _listed(texts):
    words, codes = np.unique(texts.astype(str), return_inverse=True)
    return codes.astype(np.uint16), {"words": words.tolist()}


def _quantise(values):
    finite = np.isfinite(values)
    shown = values[finite]
    low, high = (shown.min(), shown.max()) if shown.size else (0.0, 0.0)
    whole = bool(np.all(shown == np.round(shown)) and high - low < MISSING)
    log = bool(not whole and 0 < low < high / 50)
    if log:
        low, high, shown = math.log(low), math.log(high), np.log(shown)
    step = 1.0 if whole else float(high - low) / (MISSING - 1)
    codes = np.full(values.shape, MISSING, np.uint16)
    codes[finite] = np.round((shown - low) / step) if step else 0
    return codes, {"low": float(low), "step": step, "log": log}


def unpack(layout, packed):
    """The packed grid as {name: (dims, float64 or text array)}, with NaN where there is no value."""
    planes = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(2, -1).astype(np.uint16)
    codes = np.cumsum((planes[0] << 8) | planes[1], dtype=np.uint16)
    grid = {dim: ((dim,), np.asarray(values)) for dim, values in layout["dims"].items()}
    for name, variable in layout["variables"].items():
        shape = [len(layout["dims"][dim]) for dim in variable["dims"]]
        code = codes[variable["start"] : variable["start"] + math.prod(shape)].reshape(shape)
        if "words" in variable:
            grid[name] = (tuple(variable["dims"]), np.array(variable["words"])[code])
            continue
        values = variable["low"] + code * variable["step"]
        values = np.exp(values) if variable["log"] else values
        grid[name] = (tuple(variable["dims"]), np.where(code == MISSING, np.nan, values))
    return grid


def take(grid, name, kept, at):
    """Values of `name` over the dimensions `kept`, the others at the positions `at` ({dim: index})."""
    dims, values = grid[name]
    values = values[tuple(slice(None) if dim in kept else at[dim] for dim in dims)]
    left = [dim for dim in dims if dim in kept]
    return values.transpose([left.index(dim) for dim in kept if dim in left])


def nearest(control, asked):
    """Position of the control's value nearest to `asked`; the first where nothing is near."""
    values = control["values"]
    if asked in values:
        return values.index(asked)
    if control["kind"] != "slider":
        return 0
    measure = math.log if control["log"] and asked > 0 else float
    return int(np.argmin([abs(measure(value) - measure(asked)) for value in values]))


def nice_limits(arrays, log, tidy=True, zero=False):
    """Limits that hold every finite value of `arrays`; `tidy` ends them on round numbers, else leaves 3 % of room."""
    values = np.concatenate([np.asarray(array.values, float).ravel() for array in arrays])
    values = values[np.isfinite(values) & (values > 0 if log else True)]
    low, high = (values.min(), values.max()) if values.size else (0.1, 1.0)
    if log:
        room = 0.04 * math.log10(high / low) or 0.1
        return [float(low / 10**room), float(high * 10**room)]
    low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
    span = (high - low) or abs(high) or 1.0
    if not tidy:
        return [float(low - 0.03 * span), float(high + 0.03 * span)]
    step = nice_step(span / 5)
    return [math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step]


def nice_step(least):
    """The smallest of 1, 2 or 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def number(value):
    """A number as the figure writes it: three digits, thousands grouped, powers of ten; text as it is."""
    if isinstance(value, str):
        return value
    size = abs(value)
    if not math.isfinite(size):
        return "no value"
    if size and (size < 1e-3 or size >= 1e6):
        mantissa, power = f"{value:.2e}".split("e")
        mantissa, power = f"{float(mantissa):g}", str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        text = f"10{power}" if mantissa == "1" else f"{mantissa}×10{power}"
    elif size >= 1000 or float(value).is_integer():
        text = f"{value:,.0f}"
    else:
        text = f"{float(f'{value:.3g}'):g}"
    return text.replace("-", "−")


@contextmanager
def time_limit(seconds):
    """Raise TimeoutError in the block after `seconds`, where the system has alarms and this is the main thread."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum, frame):
        raise TimeoutError(f"This setting took longer than {seconds:g} s; choose a smaller one.")

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
