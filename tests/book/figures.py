"""The cells of a small notebook with one live figure of every kind; `# %%` begins a cell."""

# %%
import numpy as np
import xarray as xr

from lib.explorer import Axis, Bars, Explorer, Image, Line, Panel, Points, Question, Select, Slider, Text

# %%
n_neurons, n_glomeruli, density = [500, 1000, 2000, 4000], [20, 50, 100], np.geomspace(0.01, 1, 13)
grid = xr.Dataset(
    coords={"n_neurons": n_neurons, "n_glomeruli": n_glomeruli, "density": density, "odors": ["gaussian", "mixture"]}
)


def form(n_neurons, n_glomeruli, density, odors):
    """Something like the closed form, and a noisy stand-in for its simulation."""
    drive_theory = (1 + 2.8 * n_glomeruli / (n_neurons * density)) ** -0.5
    drive = drive_theory * xr.where(odors == "gaussian", 1.0, 0.55) * (1 + 0.03 * np.sin(40 * density))
    return xr.Dataset(
        {"drive_theory": drive_theory, "drive": drive, "drive_low": drive * 0.94, "drive_high": drive * 1.05}
    )


grid = grid.merge(form(grid.n_neurons, grid.n_glomeruli, grid.density, grid.odors))
grid["required"] = 2.8 * grid.n_glomeruli / grid.n_neurons
Explorer(
    grid,
    [
        Slider("n_neurons", "cortical neurons a side, N", log=True),
        Slider("n_glomeruli", "glomeruli, D"),
        Slider("density", "projection density, p", log=True),
        Select("odors", "odor statistics", {"gaussian": "Gaussian", "mixture": "log-normal mixtures"}),
    ],
    [
        Panel(
            [
                Points("drive", "simulation, mean and range over 5 seeds", low="drive_low", high="drive_high"),
                Line("drive_theory", "closed form (1)", source="theory"),
            ],
            x=Axis("density", "projection density, p", log=True),
            y=Axis(label="drive alignment, r", limits=(0, 1)),
        )
    ],
    name="density",
    title="Alignment against projection density",
    start={"n_neurons": 2000},
    code="dict(n_neurons={n_neurons}, n_glomeruli={n_glomeruli}, density={density}, odors={odors})",
    compute=lambda n_neurons, n_glomeruli, density, odors: form(n_neurons, n_glomeruli, grid.density, odors),
    caption="Alignment rises with density and reaches further in a larger cortex.",
)

# %%
needed = xr.Dataset(
    coords={
        "level": [0.3, 0.5, 0.7],
        "size": 250 * 2 ** np.arange(9),
        "rule": ["Hebbian rule, local", "stochastic gradient descent", "masked least squares"],
    }
)
needed["density"] = 140 * needed.level**2 / (1 - needed.level**2) / needed["size"]
needed["density_low"], needed["density_high"] = needed.density * 0.8, needed.density * 1.25
needed["slope"] = -1.0 * needed["size"] ** 0 * needed.density.isel(size=0)
needed["fan_in"] = needed.density * needed["size"] * (1 + 0.02 * np.log(needed["size"]))
needed["ratio"] = xr.DataArray([1.0, 1.4, 1.6], dims="rule") * (1 + needed.level)
needed["ratio_low"], needed["ratio_high"] = needed.ratio * 0.9, needed.ratio * 1.1
needed["answer"] = needed.density.isel(size=4, drop=True)
Explorer(
    needed,
    [Slider("level", "drive alignment wanted, r")],
    [
        Panel(
            [
                Line("density", "required density", low="density_low", high="density_high"),
                Line("density_high", "earlier run", source="recorded"),
                Line("density_low", "closed form", source="theory"),
            ],
            x=Axis("size", "cortical neurons a side, N", log=True),
            y=Axis(label="required density, p*", log=True),
        ),
        Panel(
            [
                Bars("ratio", "needed density, relative to Hebb", low="ratio_low", high="ratio_high"),
                Bars("ratio_low", "the same, recorded", source="recorded"),
            ],
            x=Axis("rule", "learning rule"),
            y=Axis(label="ratio"),
        ),
    ],
    name="scaling",
    title="Required density against cortical size",
    question=Question("What density does N = 4,000 need?", answer="answer", limits=(0.001, 1), log=True, mark="y"),
)

# %%
codes = xr.Dataset(
    coords={"learned": ["before", "after"], "neuron": np.arange(1, 31), "odor": np.arange(1, 21), "unit": [10, 20, 40]}
)
waves = np.cos(codes.neuron * codes.odor / 9) * xr.DataArray([0.3, 1.0], dims="learned") * codes.unit / 10
codes["code"] = waves.where(waves > -3)
codes["spread"] = waves.std("odor")
codes = codes.assign_coords(mass=100_000 + 1000 * np.arange(20))
codes["load"] = 1 + np.sin(codes.mass) * codes.unit / 100
codes = codes.assign_coords(step=range(4))
codes["walk_x"], codes["walk_y"] = 1 + 29 / 3 * codes.step, 20 - codes.step * codes.unit / 10
codes["told"] = ("learned", "unit"), [[f"{n} at {u}, a line that must be wrapped on a telephone" for u in (10, 20, 40)]
                                      for n in ("nothing", "twenty odors")]  # fmt: skip
codes["where"] = codes.neuron * codes.unit / 10
codes = codes.assign_coords(true=["known", "ill-remembered"], named=["known", "ill-remembered"])
codes["share"] = ("true", "named", "unit"), np.arange(12).reshape(2, 2, 3) / 12
Explorer(
    codes,
    [Select("learned", "learning"), Slider("unit", "gain", unit="dB")],
    [
        Panel(
            [Image("code", "response", source="simulation"), Points("walk_y", "walk", x="walk_x")],
            x=Axis("neuron", "neuron"),
            y=Axis("odor", "odor"),
        ),
        Panel([Line("spread", "spread over odors")], x=Axis("where", "place"), y=Axis(label="standard deviation")),
        Panel([Bars("load", "load", source="recorded")], x=Axis("mass", "mass"), y=Axis(label="load")),
        Panel([Image("share", "share named so")], x=Axis("named", "named"), y=Axis("true", "true")),
        Panel([Text("told", "what was learned")], x=Axis()),
    ],
    name="codes",
    title="Codes of twenty odors",
)
