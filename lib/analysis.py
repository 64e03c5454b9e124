"""What a sweep says: mean and range over seeds, the density that an alignment requires, slopes of power laws."""

import numpy as np
import xarray as xr
from scipy.optimize import curve_fit


def spread(found: xr.Dataset, *names: str) -> xr.Dataset:
    """Mean over seeds of the variables, and their range as `_low` and `_high`."""
    mean, low, high = (getattr(found[list(names)], how)("seed", skipna=False) for how in ("mean", "min", "max"))
    return mean.assign({f"{n}_low": low[n] for n in names} | {f"{n}_high": high[n] for n in names})


def required_density(alignment: xr.DataArray, target: float) -> xr.DataArray:
    """Density at which `alignment` (over the dimension density) first reaches `target`.

    NaN where no density reaches it, or already the lowest does. Interpolated in 1/p against 1/r^2, which
    (`eq-drive`) is a straight line for the Hebbian drive alignment.
    """

    def solve(r: np.ndarray) -> float:
        above = np.flatnonzero(r >= target)
        if not len(above) or above[0] == 0:
            return np.nan
        near = slice(above[0] - 1, above[0] + 1)
        return 1 / np.interp(target**-2.0, r[near][::-1] ** -2.0, 1 / density[near][::-1])

    density = alignment.density.values
    return xr.apply_ufunc(solve, alignment, input_core_dims=[["density"]], vectorize=True)


def falls_through(y: xr.DataArray, level: float, dim: str) -> xr.DataArray:
    """The place along `dim` where `y` first falls below `level`, interpolated in its logarithm; NaN where none does."""

    def solve(values: np.ndarray) -> float:
        below = np.flatnonzero(values < level)
        if not len(below) or below[0] == 0:
            return np.nan
        near = slice(below[0] - 1, below[0] + 1)
        return np.exp(np.interp(-level, -values[near], np.log(places[near])))

    places = y[dim].values
    return xr.apply_ufunc(solve, y, input_core_dims=[[dim]], vectorize=True)


def slope(y: xr.DataArray, dim: str) -> xr.DataArray:
    """Exponent b of the least-squares power law y ~ x^b along `dim`, for each of the other coordinates (seeds).

    NaN where fewer than three points are finite.
    """
    x = np.log(y[dim] / y[dim].mean())
    enough = np.isfinite(y).sum(dim) >= 3
    fit = np.log(y.where(enough, x)).assign_coords({dim: x}).polyfit(dim, 1)  # any numbers where a fit means nothing
    return fit.polyfit_coefficients.sel(degree=1).where(enough)


def relative_curvature(y: xr.DataArray, dim: str) -> xr.DataArray:
    """Share of the rise of y along `dim` that a fitted parabola owes to its square term (0: a straight line)."""
    x = (y[dim] - y[dim][0]) / (y[dim][-1] - y[dim][0])
    fit = y.assign_coords({dim: x}).polyfit(dim, 2).polyfit_coefficients
    square, linear = fit.sel(degree=2), fit.sel(degree=1)
    return square / (square + linear)


def relaxation_time(time: np.ndarray, course: np.ndarray) -> float:
    """Time constant tau of the course's rise from zero, by a least-squares fit of A (1 - exp(-time / tau)).

    `course` (n,) must be of order 1; tau has the unit of `time` (n,), which spans several of it.
    """
    unit = time[-1] / 6
    (_, tau), _ = curve_fit(lambda t, a, tau: a * (1 - np.exp(-t / tau)), time / unit, course, (1.0, 1.0))
    return float(tau * unit)
