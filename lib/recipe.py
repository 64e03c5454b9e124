"""One recipe behind a live figure: the sweep that fills its page, and the same sweep for a reader's own settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from lib.sweep import sweep


@dataclass(frozen=True)
class Recipe:
    """A sweep of `function` over `grid` and what a figure shows of it, `curves(found, **shown)`.

    `along`: the dimension that one call of the function fills. `shown`: controls that only `curves` knows, with all
    their values. `axes`: controls that are also axes, which keep their values beside the one chosen. `code`: the call
    of `curves` as a reader would write it, a str.format template over the controls.
    """

    function: Callable
    grid: Mapping[str, Sequence]
    curves: Callable[..., xr.Dataset]
    along: str | None = None
    shown: Mapping[str, Sequence] = field(default_factory=dict)
    axes: Sequence[str] = ()
    code: str = "print(found)"
    fixed: Mapping = field(default_factory=dict)

    def run(self, seeds: Sequence[int], n_jobs: int = 1) -> xr.Dataset:
        """The sweep at every setting of the grid."""
        return sweep(self.function, self.grid, seeds=seeds, along=self.along, n_jobs=n_jobs, **self.fixed)

    def draw(self, found: xr.Dataset) -> xr.Dataset:
        """What the figure shows of a sweep that was run."""
        return self.curves(found, **self.shown)

    def at(self, seed: int) -> Callable[..., xr.Dataset]:
        """A function of all controls that gives what the figure shows there, with one seed, on or off the grid."""

        def compute(**settings) -> xr.Dataset:
            grid = {name: self._values(name, settings) for name in self.grid}
            found = sweep(self.function, grid, seeds=[seed], along=self.along, **self.fixed)
            curves = self.curves(found, **{name: [settings[name]] for name in self.shown})
            chosen = [name for name in settings if name in curves.dims and name not in self.axes]
            return curves.sel({name: settings[name] for name in chosen}, drop=True)

        return compute

    def _values(self, name: str, settings: Mapping) -> list:
        if name not in settings:
            return list(self.grid[name])
        return np.union1d(self.grid[name], settings[name]).tolist() if name in self.axes else [settings[name]]

    def template(self, seed: int, controls: Sequence[str]) -> str:
        """The Python of that call, for str.format over the controls."""
        chosen = [name for name in controls if name in self.grid and name not in self.axes]
        grid = [f"{name!r}: {'[{' + name + '}]' if name in chosen else _literal(v)}" for name, v in self.grid.items()]
        fixed = [f"{name}={_literal(value)}" for name, value in self.fixed.items() if name not in self.grid]
        settings = [f"along={self.along!r}"] * (self.along is not None) + [f"seeds=[{seed}]", *fixed]
        call = f"{self.function.__module__}.{self.function.__name__}, {{{{{', '.join(grid)}}}}}, {', '.join(settings)}"
        return f"import lib\n\n# One seed; the page shows several.\nfound = lib.sweep.sweep({call})\n{self.code}"


def _literal(value) -> str:
    """Python text of a number, a string, or a sequence of them, with braces safe from str.format."""
    plain = value if isinstance(value, str) else np.asarray(value).tolist()
    return repr(plain).replace("{", "{{").replace("}", "}}")
