"""What chapter 1 measures: the experiments behind its sweeps, and each sweep as the dataset that its figure shows."""

import functools
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from lib import checks, projection, theory
from lib.alignment import Alignment, align, learn, online
from lib.analysis import relaxation_time, required_density, spread
from lib.cortex import draw_cortex, tensor
from lib.measures import check_run, check_settings, largest_network, response
from lib.odors import Gaussian, Mixture, effective_dimension, statistics
from lib.profile import Profile

DENSITIES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0])
FINE = np.geomspace(0.01, 1, 49)  # densities at which a closed form is drawn
INPUTS = np.geomspace(0.05, 80, 61)  # synapses a glomerulus at which a closed form is drawn
TOLERANCE = 0.05  # of `eq-drive`, drawn for a fan-in of 10 or more and an activity of .05 or more
RELAXATIONS = np.array([0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 4, 4.5, 5, 5.5, 6])  # checkpoints, in units of 1 / eta
WORLDS = {
    "gaussian": Gaussian(),
    "mixtures, saturating and normalised": Mixture(),
    "mixtures, saturating": Mixture(normalisation=False),
    "mixtures, linear receptors": Mixture(saturation=False, normalisation=False),
}


def check(run: Profile, n_neurons, n_glomeruli, density, n_odors, activity, odors, seed) -> None:
    """ValueError with one sentence for a parameter of chapter 1 out of its range, or too large for the profile."""
    checks.whole("n_glomeruli", n_glomeruli, 10)
    checks.whole("n_odors", n_odors, max(100, n_glomeruli))
    checks.whole("n_neurons", n_neurons, 400, largest_network(8 * n_glomeruli, 8 * n_odors, run.memory) // 2)
    check_settings(n_neurons, n_glomeruli, density, None, n_odors, activity, odors)
    check_run(seed, run.device)


def closed_forms(n_neurons, n_glomeruli, activity, n_odors) -> xr.Dataset:
    """`eq-drive` with its tolerance and `eq-response` along "fine", where they hold; arguments may be DataArrays."""
    fine = xr.DataArray(FINE, dims="fine", coords={"fine": FINE})
    fan_in = fine * n_neurons
    drive = xr.apply_ufunc(theory.drive_alignment, fan_in, n_glomeruli, n_odors, activity)
    forms = {"drive": drive, "drive_low": drive * (1 - TOLERANCE), "drive_high": drive * (1 + TOLERANCE)}
    forms["response"] = xr.apply_ufunc(theory.response_alignment, drive, activity)
    holds = (fan_in >= 10) & (activity >= 0.05)
    return xr.Dataset({f"{name}_theory": form.where(holds) for name, form in forms.items()})


def within_tolerance(found: xr.Dataset) -> float:
    """Share of a sweep's settings whose mean drive alignment lies in the band of `eq-drive`, where that is drawn."""
    fan_in = found.density * found.n_neurons
    sizes = (fan_in, found.n_glomeruli, found.n_odors, found.activity)
    ratio = found.drive.mean("seed") / xr.apply_ufunc(theory.drive_alignment, *sizes)
    ratio = ratio.where((fan_in >= 10) & (found.activity >= 0.05))
    return float((abs(ratio - 1) < TOLERANCE).sum() / ratio.count())


def density_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `align` over sizes and densities: novel and familiar odors, their spread, closed forms."""
    tested = xr.Variable("tested", ["novel", "familiar"])
    both = {name: xr.concat([found[name], found[f"{name}_familiar"]], tested) for name in ("drive", "response")}
    forms = closed_forms(found.n_neurons, found.n_glomeruli, found.activity, found.n_odors)
    forms = xr.concat([forms, forms.where(False)], tested)
    return spread(found.assign(both), *both, "drive_shuffled", "response_shuffled").assign(forms)


def idea_curves(found: xr.Dataset) -> xr.Dataset:
    """`density_curves` for novel odors and one number of glomeruli, activity and number of odors."""
    return (
        density_curves(found).sel(tested="novel", drop=True).squeeze(["n_glomeruli", "activity", "n_odors"], drop=True)
    )


def align_at_load(n_neurons: int, n_glomeruli: int, load: int, **settings) -> Alignment:
    """`align` on load x n_glomeruli familiar odors."""
    return align(n_neurons, n_glomeruli, n_odors=load * n_glomeruli, **settings)


def align_with_inputs(n_neurons: int, inputs: Sequence[float], **settings) -> Alignment:
    """`align` at the densities that give a neuron so many inputs on average, or all where there are fewer."""
    return align(n_neurons, density=np.minimum(1, np.asarray(inputs) / n_neurons), **settings)


def required_densities(found: xr.Dataset, targets, load: int, activity: float = 0.1) -> xr.Dataset:
    """Density required for each target of drive alignment in a sweep of `align_at_load`, with the closed form."""
    targets = xr.DataArray(targets, dims="target", coords={"target": targets})
    measured = xr.concat([required_density(found.drive, float(t)) for t in targets], targets)
    sizes = (found.n_glomeruli, load * found.n_glomeruli)
    expected = xr.apply_ufunc(theory.required_fan_in, targets, *sizes, activity) / found.n_neurons
    return xr.Dataset({"required": measured, "required_theory": expected.where(expected <= 1)})


def scaling_curves(found: xr.Dataset, target, load: int, activity: float = 0.1) -> xr.Dataset:
    """`required_densities` over N for each D and over N/D for all; "factor": what a doubling of N does."""
    required = required_densities(found, target, load, activity)
    curves = spread(required, "required").assign(required_theory=required.required_theory)
    flat = curves.stack(size=("n_neurons", "n_glomeruli")).reset_index("size")
    flat = flat.assign(ratio=flat.n_neurons / flat.n_glomeruli).sortby("ratio").drop_vars(["n_neurons", "n_glomeruli"])
    flat = flat.rename({name: name.replace("required", "by_ratio") for name in flat if name != "ratio"})
    doublings = np.log(curves.required).diff("n_neurons") / np.log(curves.n_neurons).diff("n_neurons")
    factor = 2 ** doublings.mean("n_neurons")  # over the sizes that reach the target
    return curves.assign(flat.assign_coords(size=np.arange(flat.sizes["size"]))).assign(factor=factor)


def collapse_curves(found: xr.Dataset, load: int, activity: float = 0.1) -> xr.Dataset:
    """Drive alignment against synapses a glomerulus, k/D, for each N by itself, with the closed form."""
    inputs = xr.DataArray(INPUTS, dims="inputs", coords={"inputs": INPUTS})
    sizes = (found.n_glomeruli, load * found.n_glomeruli)
    curves = {"drive_theory": xr.apply_ufunc(theory.drive_alignment, inputs * found.n_glomeruli, *sizes, activity)}
    for n in found.n_neurons.values:
        one = spread(found.sel(n_neurons=n, drop=True), "drive")
        curves |= {name.replace("drive", f"drive_{n}"): values for name, values in one.items()}
        curves[f"inputs_{n}"] = one.density * n / one.n_glomeruli
    return xr.Dataset(curves)


def rules_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `align_with_inputs` over rules: a variable for each rule, by drive and by response."""
    measures = xr.concat([found.response, found.drive], xr.Variable("measure", ["response", "drive"]))
    return spread(measures.to_dataset("rule"), *found.rule.values).assign(density=found.inputs / found.n_neurons)


def peak_curves(learned: xr.Dataset, linear: xr.Dataset, n_neurons: int, n_glomeruli: int) -> xr.Dataset:
    """Sweeps of both rules over the number of odors, and of linear codes over densities with `eq-linear`."""
    peaks = learned.response.to_dataset("rule").rename({rule: f"odors_{rule}" for rule in learned.rule.values})
    linear = linear.drive.to_dataset("rule").rename({rule: f"linear_{rule}" for rule in linear.rule.values})
    linear = linear.assign_coords(density=linear.density * n_neurons / n_glomeruli).rename(density="inputs")
    fine = np.geomspace(linear.inputs.min(), linear.inputs.max(), 61)
    forms = {"hebbian": theory.linear_hebbian, "sgd": theory.linear_least_squares}
    curves = {f"theory_{rule}": ("fine", form(fine, 1)) for rule, form in forms.items()}
    return spread(peaks, *peaks).assign(spread(linear, *linear)).assign(xr.Dataset(curves, coords={"fine": fine}))


def code_examples(
    n_neurons: int,
    n_glomeruli: int,
    density: float,
    *,
    activity=0.1,
    odors="gaussian",
    shown=(0, 10, 100, 1000, 10000),
    n_examples: int = 6,
    n_pictured: int = 48,
    seed: int = 0,
    device: str = "cpu",
) -> xr.Dataset:
    """Codes of some novel odors in 200 neurons a side: each side's own, and the right side's as sent by the left.

    What is sent depends on the number of odors `shown` before (0: random weights on the same synapses). "picture": the
    codes of the neurons most active by themselves; "own", "sent": right drives. All in each neuron's own standard
    deviations over odors.
    """
    world, familiar, novel, left_rng, right_rng, mask_rng, blank = np.random.default_rng(seed).spawn(7)
    kind = statistics(odors)
    cortex = (n_glomeruli, activity, kind, kind.sampler(world, n_glomeruli))
    left = draw_cortex(left_rng, n_neurons, *cortex, device=device)
    right = draw_cortex(right_rng, 200, *cortex, device=device)
    mask = projection.draw_mask(mask_rng, 200, n_neurons, density=density, device=device)
    mask = mask.to_dense() if mask.is_sparse_csr else mask
    stream, test = (tensor(cortex[-1](rng, n), device) for rng, n in ((familiar, max(shown)), (novel, 400)))
    drives = []
    for n in shown:
        weights = mask * tensor(blank.standard_normal(tuple(mask.shape)), device)
        if n:
            weights = mask * learn("hebbian", 1 - mask, [1.0], left, right, stream[:, :n], "thresholded")[0]
        drives.append(weights @ left.code(test))
    g, h = (x.cpu().numpy() for x in (torch.stack(drives), right.drive(test)))
    codes = [response(torch.stack(drives), activity), right.code(test), left.code(test)[:200]]
    sent, own, far = (_standardised(code.cpu().numpy(), centred=False)[..., :n_examples] for code in codes)
    order, far_order = (np.argsort(-code, axis=0)[:n_pictured] for code in (own, far))
    own, far = np.take_along_axis(own, order, 0), np.take_along_axis(far, far_order, 0)
    rows = [[np.take_along_axis(z, order, 0), own, far] for z in sent]
    g, h = _standardised(g), _standardised(h)
    return xr.Dataset(
        {
            "picture": (("shown", "code", "neuron", "odor"), np.array(rows)),
            "sent": (("shown", "odor", "cell"), np.moveaxis(g[..., :n_examples], -1, 1)),
            "own": (("odor", "cell"), h[:, :n_examples].T),
        },
        coords={
            "shown": list(shown),
            "odor": np.arange(1, n_examples + 1),
            "neuron": np.arange(1, n_pictured + 1),
            "code": ["right, sent by left", "right, its own", "left, its own"],
            "cell": np.arange(200),
        },
    )


def code_example(shown: int, odor: int, **settings) -> xr.Dataset:
    """`code_examples` for one odor and one number of odors shown."""
    return code_examples(shown=[shown], n_examples=odor, **settings).sel(shown=shown, odor=odor, drop=True)


def _standardised(x: np.ndarray, centred: bool = True) -> np.ndarray:
    """x (..., n_odors) in units of its standard deviation over odors, from its mean if `centred`."""
    return (x - centred * x.mean(-1, keepdims=True)) / np.maximum(x.std(-1, keepdims=True), 1e-12)


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
    return {
        "time": RELAXATIONS,
        "error": course.drive**-2 - 1,
        "overlap": course.overlap,
        "late_error": float(np.mean(course.drive[late] ** -2 - 1)),
        "late_drive": float(np.mean(course.drive[late])),
        "relaxation": relaxation_time(RELAXATIONS, course.overlap),
    }


def speed_curves(found: xr.Dataset, fan_in: float, n_glomeruli: int, activity: float = 0.1) -> xr.Dataset:
    """A sweep of `online_course` over learning rates and codes, with `eq-online` beside it.

    Thresholded codes: the fixed point on as many odors as the rule's memory is worth.
    """
    rates = np.geomspace(found.learning_rate.min(), found.learning_rate.max(), 41)
    linear = theory.linear_online_error(rates, fan_in, n_glomeruli)
    thresholded = theory.drive_alignment(fan_in, n_glomeruli, theory.online_n_odors(rates), activity) ** -2.0 - 1
    forms = xr.DataArray(
        [linear, thresholded], dims=["codes", "rate"], coords={"codes": ["linear", "thresholded"], "rate": rates}
    )
    presentations = found.time / found.learning_rate
    return spread(found, "error", "late_error").assign(late_error_theory=forms, presentations=presentations)


def update_course(path: str, **settings) -> dict:
    """`online` along one of the chapter's paths: which rule moves the weights, and at which gain the cosine is read."""
    paths = {
        "sgd": {"rule": "sgd"},
        "hebbian": {"rule": "hebbian", "gain": "matched"},
        "hebbian, no decay": {"rule": "hebbian", "gain": "matched", "decay": False},
    }
    return vars(online(**paths[path], **settings))


def cosine_curves(found: xr.Dataset) -> xr.Dataset:
    """The cosines of a sweep of `update_course`."""
    return spread(found, "presentation_cosine", "random_cosine", "averaged_cosine")


def agreement(course: xr.Dataset) -> dict[str, xr.DataArray]:
    """The quantities that claim A7 is judged by, one value a seed, from courses along one path."""
    cosines = {
        "excess of the presentation cosine over random W": course.presentation_cosine - course.random_cosine,
        "cosine of odor-averaged updates": course.averaged_cosine,
    }
    quantities = {}
    for name, cosine in cosines.items():
        quantities[f"{name}, at the first checkpoint"] = cosine.isel(presentations=0)
        quantities[f"{name}, smallest along learning"] = cosine.min("presentations")
    return quantities


def align_in_world(world: str, **settings) -> Alignment:
    """`align` in one of the odor worlds of the chapter."""
    return align(odors=WORLDS[world], **settings)


def world_curves(found: xr.Dataset, n_neurons: int, n_glomeruli: int, n_odors: int, activity: float) -> xr.Dataset:
    """A sweep of `align_in_world`, with `eq-drive` for all glomeruli and for the odors' effective dimension."""
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
