"""What the live figures of all chapters share: axes, labels, points with their spread, the figure of a sweep."""

import xarray as xr

from lib.explorer import Axis, Explorer, Points, Slider
from lib.recipe import Recipe

DENSITY = Axis("density", "projection density p", log=True)
SPREAD = "mean and range over seeds"
SIZES = [
    Slider("n_neurons", "cortical neurons a side, N", log=True),
    Slider("n_glomeruli", "glomeruli, D", log=True),
]


def simulated(name: str, label: str, color: int, **settings) -> Points:
    return Points(name, label, low=f"{name}_low", high=f"{name}_high", source="simulation", color=color, **settings)


def figure(recipe: Recipe, found: xr.Dataset, seed: int, controls: list, panels: list, **settings) -> Explorer:
    """The figure of a sweep that was run; a kernel answers with the same recipe and one seed."""
    code = recipe.template(seed, [control.name for control in controls])
    return Explorer(recipe.draw(found), controls, panels, code=code, compute=recipe.at(seed), **settings)
