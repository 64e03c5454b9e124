"""What chapter 1 measures: the experiments behind its sweeps, and each sweep as the dataset that its figure shows."""

import functools

import numpy as np
import torch
import xarray as xr
from scipy.optimize import curve_fit

from lib import projection, scaling, theory
from lib.alignment import Alignment, align, learn, online
from lib.cortex import draw_cortex, tensor
from lib.measures import response
from lib.odors import Gaussian, Mixture, effective_dimension, statistics

DENSITIES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0])
FINE = np.geomspace(0.01, 1, 49)  # densities at which a closed form is drawn
TOLERANCE = 0.03  # of the closed form (1), for a fan-in of 10 or more
RELAXATIONS = np.array([0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 4, 4.5, 5, 5.5, 6])  # checkpoints, in units of 1 / eta
WORLDS = {
    "gaussian": Gaussian(),
    "mixtures": Mixture(),
    "mixtures, not normalised": Mixture(normalisation=False),
    "mixtures, neither saturating nor normalised": Mixture(saturation=False, normalisation=False),
}


def spread(found: xr.Dataset, *names: str) -> xr.Dataset:
    """Mean over seeds of the variables, and their range as `_low` and `_high`."""
    chosen = found[list(names)]
    low, high = chosen.min("seed"), chosen.max("seed")
    return xr.merge(
        [chosen.mean("seed"), low.rename({n: f"{n}_low" for n in names}), high.rename({n: f"{n}_high" for n in names})]
    )


def closed_forms(n_neurons, n_glomeruli, activity, n_odors) -> xr.Dataset:
    """(1) with its tolerance and (2) along the dimension "fine", where they hold; arguments may be DataArrays."""
    fine = xr.DataArray(FINE, dims="fine", coords={"fine": FINE})
    fan_in = fine * n_neurons
    drive = xr.apply_ufunc(theory.drive_alignment, fan_in, n_glomeruli, n_odors, activity)
    forms = {"drive": drive, "drive_low": drive * (1 - TOLERANCE), "drive_high": drive * (1 + TOLERANCE)}
    forms["response"] = xr.apply_ufunc(theory.response_alignment, drive, activity)
    return xr.Dataset({f"{name}_theory": form.where(fan_in >= 10) for name, form in forms.items()})


def density_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `align` over sizes and densities, its spread over seeds and the closed forms."""
    names = ("drive", "response", "drive_familiar", "response_familiar", "drive_shuffled", "response_shuffled")
    forms = closed_forms(found.n_neurons, found.n_glomeruli, found.activity, found.n_odors)
    return xr.merge([spread(found, *names), forms])


def density_curve(n_neurons, n_glomeruli, activity, n_odors, **settings) -> xr.Dataset:
    """What `density_curves` shows, at one setting and with one seed: what a reader's kernel computes."""
    found = align(n_neurons, n_glomeruli, list(DENSITIES), n_odors, activity=activity, **settings)
    values = {name: (("density",), value) for name, value in vars(found).items() if not name.endswith("_se")}
    one = xr.Dataset(values, coords={"density": DENSITIES}).expand_dims("seed")
    return xr.merge([spread(one, *values), closed_forms(n_neurons, n_glomeruli, activity, n_odors)])


def align_at_load(n_neurons: int, n_glomeruli: int, load: int, **settings) -> Alignment:
    """`align` on load x n_glomeruli familiar odors."""
    return align(n_neurons, n_glomeruli, n_odors=load * n_glomeruli, **settings)


def required_densities(found: xr.Dataset, targets, load: int) -> xr.Dataset:
    """Density required for each target of drive alignment in a sweep of `align_at_load`, with the closed form."""
    targets = xr.DataArray(targets, dims="target", coords={"target": targets})
    measured = xr.concat([scaling.required_density(found.drive, float(t)) for t in targets], targets)
    sizes = (found.n_glomeruli, load * found.n_glomeruli)
    expected = xr.apply_ufunc(theory.required_fan_in, targets, *sizes) / found.n_neurons
    return xr.Dataset({"required": measured, "required_theory": expected.where(expected <= 1)})


def code_examples(
    n_neurons: int,
    n_glomeruli: int,
    density: float,
    *,
    activity=0.1,
    odors="gaussian",
    shown=(0, 10, 100, 1000),
    n_examples: int = 6,
    n_pictured: int = 48,
    seed: int = 0,
    device: str = "cpu",
) -> xr.Dataset:
    """Codes of some novel odors in 200 neurons a side: each side's own, and the right side's as sent by the left.

    What is sent depends on the number of odors `shown` before (0: random weights on the same synapses). "picture": the
    codes of the most active neurons, each code over its largest value; "own", "sent": right drives, standardised over
    odors.
    """
    world, familiar, novel, left_rng, right_rng, mask_rng, blank = np.random.default_rng(seed).spawn(7)
    kind = statistics(odors)
    cortex = (n_glomeruli, activity, kind, kind.sampler(world, n_glomeruli))
    left = draw_cortex(left_rng, n_neurons, *cortex, device=device)
    right = draw_cortex(right_rng, 200, *cortex, device=device)
    mask = projection.dense_mask(mask_rng, 200, n_neurons, density=density, device=device)
    stream, test = (tensor(cortex[-1](rng, n), device) for rng, n in ((familiar, max(shown)), (novel, 400)))
    drives = []
    for n in shown:
        weights = mask * tensor(blank.standard_normal(tuple(mask.shape)), device)
        if n:
            weights = mask * learn("hebbian", 1 - mask, [1.0], left, right, stream[:, :n], "thresholded")[0]
        drives.append(weights @ left.code(test))
    g, h = (x.cpu().numpy() for x in (torch.stack(drives), right.drive(test)))
    codes = [left.code(test)[:200], right.code(test), response(torch.stack(drives), activity)]
    picture = _most_active(*(code.cpu().numpy()[..., :n_examples] for code in codes), n_pictured)
    g, h = ((x - x.mean(-1, keepdims=True)) / np.maximum(x.std(-1, keepdims=True), 1e-12) for x in (g, h))
    return xr.Dataset(
        {
            "picture": (("shown", "odor", "code", "neuron"), picture),
            "sent": (("shown", "odor", "cell"), np.moveaxis(g[..., :n_examples], -1, 1)),
            "own": (("odor", "cell"), h[:, :n_examples].T),
        },
        coords={
            "shown": list(shown),
            "odor": np.arange(1, n_examples + 1),
            "neuron": np.arange(1, n_pictured + 1),
            "code": ["left, its own", "right, its own", "right, sent by left"],
            "cell": np.arange(200),
        },
    )


def _most_active(left: np.ndarray, right: np.ndarray, sent: np.ndarray, n: int) -> np.ndarray:
    """(n_shown, n_odors, 3, n): each side's n most active neurons, the sent code in the right side's order."""
    rows = np.zeros((len(sent), left.shape[1], 3, n))
    for e in range(left.shape[1]):
        first, second = (np.argsort(-code[:, e])[:n] for code in (left, right))
        rows[:, e, 0], rows[:, e, 1], rows[:, e, 2] = left[first, e], right[second, e], sent[:, second, e]
    return rows / np.maximum(rows.max(-1, keepdims=True), 1e-12)


def online_course(learning_rate: float, **settings) -> dict:
    """`online` with a constant rate over six relaxation times, and where it settles.

    "late_drive": mean drive alignment over the last checkpoints (time 4 and later); "relaxation": eta times the
    relaxation time of the overlap with the fixed point, from a fit of A (1 - exp(-t / tau)).
    """
    checkpoints = np.round(RELAXATIONS / learning_rate).astype(int)
    course = online(
        learning_rate=learning_rate,
        n_presentations=int(checkpoints[-1]),
        checkpoints=checkpoints.tolist(),
        cosines=False,
        **settings,
    )
    late = RELAXATIONS >= 4
    (_, tau), _ = curve_fit(lambda t, a, tau: a * (1 - np.exp(-t / tau)), RELAXATIONS, course.overlap, (1.0, 1.0))
    return {
        "time": RELAXATIONS,
        "error": course.drive**-2 - 1,
        "overlap": course.overlap,
        "late_error": float(np.mean(course.drive[late] ** -2 - 1)),
        "late_drive": float(np.mean(course.drive[late])),
        "relaxation": float(tau),
    }


def speed_curves(found: xr.Dataset, fan_in: float, n_glomeruli: int) -> xr.Dataset:
    """A sweep of `online_course` over learning rates and codes, with (4) for linear and (1) for thresholded codes."""
    rates = np.geomspace(found.learning_rate.min(), found.learning_rate.max(), 41)
    linear = theory.linear_online_error(rates, fan_in, n_glomeruli)
    thresholded = theory.drive_alignment(fan_in, n_glomeruli, theory.online_n_odors(rates)) ** -2.0 - 1
    forms = xr.DataArray(
        [linear, thresholded], dims=["codes", "rate"], coords={"codes": ["linear", "thresholded"], "rate": rates}
    )
    return spread(found, "error", "late_error").assign(late_error_theory=forms)


def update_course(path: str, **settings) -> dict:
    """`online` along one of the chapter's paths: which rule moves the weights, and at which gain the cosine is read."""
    paths = {
        "sgd": {"rule": "sgd"},
        "hebbian": {"rule": "hebbian", "gain": "matched"},
        "hebbian, no decay": {"rule": "hebbian", "gain": "matched", "decay": False},
    }
    return vars(online(**paths[path], **settings))


def align_in_world(world: str, **settings) -> Alignment:
    """`align` in one of the odor worlds of the chapter."""
    return align(odors=WORLDS[world], **settings)


def world_curves(found: xr.Dataset, n_neurons: int, n_glomeruli: int, n_odors: int, activity: float) -> xr.Dataset:
    """A sweep of `align_in_world`, with (1) for the number of glomeruli and for the odors' effective dimension."""
    curves = spread(found, "drive", "response", "drive_shuffled")
    dimensions = xr.DataArray(
        [_dimension(world, n_glomeruli) for world in found.world.values], dims="world", coords={"world": found.world}
    )
    forms = closed_forms(n_neurons, n_glomeruli, activity, n_odors)
    effective = closed_forms(n_neurons, dimensions, activity, n_odors)
    return curves.assign(dimension=dimensions, drive_theory=forms.drive_theory, drive_effective=effective.drive_theory)


@functools.cache
def _dimension(world: str, n_glomeruli: int) -> float:
    rng = np.random.default_rng(0)
    return effective_dimension(WORLDS[world].sampler(rng, n_glomeruli)(rng, 5000))
