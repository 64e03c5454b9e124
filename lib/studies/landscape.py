"""What chapter 5 measures: the experiments behind its sweeps, and each sweep as the dataset that its figure shows."""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lib import checks, curvature, landscape, theory
from lib.analysis import spread
from lib.cortex import tensor
from lib.landscape import Circuit, Codes, draw_circuit, draw_odors
from lib.measures import check_run
from lib.profile import Profile

LINE = np.linspace(-0.5, 1.5, 41).round(3)  # on it 0 is the Hebbian solution and 1 that of gradient descent
BETWEEN = np.linspace(0, 1, 41)
LOWEST = 1e-5  # distance that is drawn
TIMES = np.unique(np.geomspace(1, 2000, 40).round()).astype(int)  # steps of a batch rule
HEIGHTS = np.linspace(-1, 8, 136)  # of eigenvalues, in units of their mean
BLUR = 0.2  # width of a Gaussian through which eigenvalues are seen, in the same units
GAINS = ("as it is", "best for prediction")
CURVED = {  # loss, smoothing, and whether at its minimum or at the random weights from which learning starts
    "Hebbian energy": ("hebbian", 0.0, True),
    "SGD loss": ("sgd", 0.0, True),
    "thresholded readout, at a minimum": ("readout", 0.0, True),
    "thresholded readout, before learning": ("readout", 0.0, False),
    "smoothed readout, before learning": ("readout", 0.1, False),
}


def check(run: Profile, n_neurons, n_glomeruli, density, n_odors, activity, seed) -> None:
    """BadSetting with one sentence for a parameter of chapter 5 out of its range, or too large for the profile."""
    checks.whole("n_glomeruli", n_glomeruli, 10)
    checks.scalar("activity", activity, 0, 0.5, open_low=True)
    checks.scalar("density", density, 0, 1, open_low=True)
    checks.whole("n_odors", n_odors, max(200, round(20 / activity)))
    checks.whole("n_neurons", n_neurons, max(100, 4 * n_glomeruli), run.memory // (64 * n_odors))
    if density * n_neurons < 10:
        raise checks.BadSetting(f"density must leave a neuron 10 inputs, so at least {10 / n_neurons:g} here.")
    check_run(seed, run.device)


def problem(
    n_neurons: int,
    n_glomeruli: int,
    density: float,
    n_odors: int,
    *,
    activity: float = 0.1,
    codes: str = "thresholded",
    n_rows: int = 4,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[np.random.Generator, Circuit, Codes]:
    """The circuit of a chapter's figure, its codes of `n_odors` odors, and the generator that drew them."""
    checks.scalar("density", density, 0, 1, open_low=True)
    checks.whole("n_odors", n_odors, 2)
    rng = np.random.default_rng(seed)
    fan_in = max(1, round(density * n_neurons))
    circuit = draw_circuit(rng, n_rows, n_neurons, n_glomeruli, fan_in, activity, codes, device)
    return rng, circuit, circuit.encode(draw_odors(rng, n_glomeruli, n_odors, device))


# ---- one end for every start
def courses(fan_in: int, codes: str, n_neurons: int, n_glomeruli: int, learning_rate: float = 0.02,
            activity: float = 0.1, n_rows: int = 4, seed: int = 0, device: str = "cpu") -> xr.Dataset:  # fmt: skip
    """Distance between two runs of each batch rule from random starts, over that of the starts, for endless odors.

    The Hebbian rule takes steps of `learning_rate`, gradient descent of one over its largest curvature. Starts are as
    large as the solutions. "apart": distance of the Hebbian runs at the end over the norm of their solution, the
    largest over neurons; "left": the share of the starts' distance that gradient descent keeps.
    """
    checks.scalar("learning_rate", learning_rate, 0, 1, open_low=True)
    rng = np.random.default_rng(seed)
    circuit = draw_circuit(rng, n_rows, n_neurons, n_glomeruli, fan_in, activity, codes, device)
    block, cross, _ = (torch.from_numpy(part).to(device) for part in circuit.covariance())
    sgd = (torch.linalg.pinv(block, rtol=1e-8, hermitian=True) @ cross[..., None])[..., 0]
    sizes = {"hebbian": cross.norm(dim=1), "sgd": sgd.norm(dim=1)}
    starts = torch.nn.functional.normalize(tensor(rng.standard_normal((2, *cross.shape)), device).double(), dim=-1)
    weights = {rule: starts * size[:, None] for rule, size in sizes.items()}
    step, apart = 1 / torch.linalg.eigvalsh(block)[:, -1:], {"hebbian": [], "sgd": []}
    for t in range(1, TIMES[-1] + 1):
        error = cross - torch.einsum("nkl,snl->snk", block, weights["sgd"])
        weights = {
            "hebbian": (1 - learning_rate) * weights["hebbian"] + learning_rate * cross,
            "sgd": weights["sgd"] + step * error,
        }
        if t in TIMES:
            for rule, (one, other) in weights.items():
                apart[rule].append((one - other).norm(dim=1) / (starts[0] - starts[1]).norm(dim=1) / sizes[rule])
    shown = {rule: torch.stack(values).mean(1).cpu().numpy() for rule, values in apart.items()}
    shown["hebbian_theory"] = (1 - learning_rate) ** TIMES.astype(float)
    lost = 1 - n_glomeruli / fan_in if codes == "linear" else 0
    shown["sgd_theory"] = np.full(len(TIMES), np.sqrt(lost) if lost > 0 else np.nan)
    found = {rule: ("step", np.where(values < LOWEST, np.nan, values)) for rule, values in shown.items()}
    distance = (weights["hebbian"][0] - weights["hebbian"][1]).norm(dim=1) / sizes["hebbian"]
    ends = {"apart": float(distance.max()), "left": round(float(shown["sgd"][-1]), 6)}
    return xr.Dataset(found | ends, {"step": TIMES})


def course_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `courses`, a neuron's flat directions as a level where there are any."""
    return spread(found, "hebbian", "sgd", "left").assign(
        hebbian_theory=found.hebbian_theory.isel(seed=0), sgd_theory=found.sgd_theory.isel(seed=0)
    )


# ---- the two solutions and what lies between them
def solutions(codes: Codes, gain: str = GAINS[0]) -> tuple[Tensor, Tensor, Tensor]:
    """The minima of the Hebbian energy at that gain and of the SGD loss, (n, k), and the gain, (n,)."""
    hebbian = landscape.cross_covariance(codes)
    factor = torch.ones_like(hebbian[:, 0]) if gain == GAINS[0] else landscape.matched_gain(hebbian, codes)
    return hebbian * factor[:, None], landscape.least_squares(codes), factor


def line(n_neurons: int, n_glomeruli: int, density: float, n_odors: int, gain: str, **settings) -> xr.Dataset:
    """Both losses along the line from the Hebbian solution (0) to that of gradient descent (1), mean over neurons.

    "energy": above its minimum, where it is left out, over that minimum's depth below W = 0. "loss": likewise,
    over the least loss. "barrier": the largest over neurons of `barrier` over the loss at its minimum.
    """
    checks.choice("gain", gain, GAINS)
    _, _, codes = problem(n_neurons, n_glomeruli, density, n_odors, **settings)
    hebbian, sgd, factor = solutions(codes, gain)
    ends = hebbian, sgd
    energy = landscape.along(lambda w: landscape.hebbian_energy(w, codes, factor), *ends, LINE)
    depth = -landscape.hebbian_energy(hebbian, codes, factor).cpu().numpy()
    loss = landscape.along(lambda w: landscape.squared_loss(w, codes), *ends, LINE)
    heights = landscape.along(lambda w: landscape.squared_loss(w, codes), *ends, BETWEEN)
    found = {
        "energy": ("t", np.where(LINE == 0, np.nan, ((energy + depth) / depth).mean(1))),
        "loss": ("t", np.where(LINE == 1, np.nan, (loss / heights[-1] - 1).mean(1))),
        "barrier": (landscape.barrier(heights, BETWEEN) / heights[-1]).max(),
        "distance": float(((hebbian - sgd).norm(dim=1) / sgd.norm(dim=1)).mean()),
        "cosine": float(torch.cosine_similarity(hebbian, sgd, dim=1).mean()),
        "excess": float((heights[0] / heights[-1]).mean() - 1),
    }
    return xr.Dataset(found, {"t": LINE})


def line_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `line`."""
    return spread(found, "energy", "loss")


# ---- curvature
def curvatures(n_neurons: int, n_glomeruli: int, density: list, n_odors: int, activity: float, n_rows: int = 1,
               seed: int = 0, device: str = "cpu") -> dict:  # fmt: skip
    """Largest and mean curvature of the SGD loss at each density: matrix-free, and by the exact blocks (`eq-blocks`).

    The blocks are those of the same codes ("same") and those of endless odors ("exact"). "gap": the relative distance
    of the matrix-free largest from that of the same codes' blocks.
    """
    rows = []
    for p in density:
        rng, circuit, codes = problem(n_neurons, n_glomeruli, p, n_odors, activity=activity, n_rows=n_rows, seed=seed,
                                      device=device)  # fmt: skip
        weights = torch.zeros_like(codes.sent[..., 0])

        def loss(w: Tensor, codes: Codes = codes) -> Tensor:
            return landscape.squared_loss(w, codes).sum()

        largest = float(curvature.top(rng, loss, weights)[0][0])
        estimate, error = curvature.trace(rng, loss, weights, 16)
        same = float(torch.linalg.eigvalsh(landscape.sender_covariance(codes)).max())
        block = circuit.covariance()[0]
        exact = np.linalg.eigvalsh(block)
        size = weights.numel()
        rows.append([largest, estimate / size, error / size, same, exact.max(), exact.mean(), abs(largest / same - 1)])
    names = ("top", "mean", "mean_se", "top_same", "top_exact", "mean_exact", "gap")
    return dict(zip(names, np.array(rows).T, strict=True))


def largest_curvature(fan_in, n_glomeruli, activity) -> np.ndarray:
    """Random-matrix estimate of the largest curvature of one neuron's SGD loss (`eq-top`)."""
    _, phi, _, variance, _ = theory.moments(activity)
    load = fan_in / n_glomeruli
    return variance + np.maximum(activity**2 * (load + 2 * np.sqrt(load)), phi**2 * load / 2)


def curvature_curves(found: xr.Dataset, n_neurons: int) -> xr.Dataset:
    """A sweep of `curvatures` with the blocks' exact values for endless odors and `eq-top`."""
    sizes = (found.density * n_neurons, found.n_glomeruli, found.activity)
    forms = {"top_estimate": xr.apply_ufunc(largest_curvature, *sizes)}
    forms["mean_estimate"] = xr.apply_ufunc(lambda a: theory.moments(a).variance, found.activity) + 0 * found.density
    return spread(found, "top", "mean", "top_same", "top_exact", "mean_exact").assign(forms)


# ---- all eigenvalues
def spectrum(loss: str, steps: list, n_neurons: int, n_glomeruli: int, density: float, n_odors: int, **settings):
    """Density of the Hessian's eigenvalues: of the whole Hessian, and by so many Lanczos steps (`eq-quadrature`).

    "top", "bottom": matrix-free; all in units of their mean, "mean". "trace": matrix-free over exact. "gap": distance
    of top and bottom from those of the whole Hessian.
    """
    checks.choice("loss", loss, CURVED)
    rng, _, codes = problem(n_neurons, n_glomeruli, density, n_odors, n_rows=1, **settings)
    name, smoothing, learned = CURVED[loss]
    extra = {"smoothing": smoothing} if name == "readout" else {}

    def energy(w: Tensor) -> Tensor:
        return landscape.LOSSES[name](w, codes, **extra).sum()

    weights = landscape.random_start(rng, codes, 1)[0]
    if learned:
        weights = landscape.minimise(energy, landscape.answering(landscape.cross_covariance(codes), codes))
    exact = torch.linalg.eigvalsh(curvature.dense(energy, weights)).cpu().numpy()
    mean, even = exact.mean() or 1.0, np.full(exact.size, 1 / exact.size)
    same = int(rng.integers(2**32))  # the same random starts whatever the number of steps
    seen = [curvature.spectral_density(np.random.default_rng(same), energy, weights, n, n_vectors=4) for n in steps]
    bottom, top = curvature.extremes(rng, energy, weights)
    found = {
        "exact": ("height", curvature.broaden(exact / mean, even, HEIGHTS, BLUR)),
        "lanczos": (("steps", "height"), [curvature.broaden(x / mean, w, HEIGHTS, BLUR) for x, w in seen]),
        "top": top / mean, "bottom": bottom / mean, "mean": mean,
        "trace": curvature.trace(rng, energy, weights, 16)[0] / exact.sum(),
        "gap": np.abs([bottom - exact[0], top - exact[-1]]).max() / mean,
    }  # fmt: skip
    return xr.Dataset(found, {"height": HEIGHTS, "steps": list(steps)})


def spectrum_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `spectrum`; the whole Hessian's density beside that of each number of steps."""
    return spread(found, "exact", "lanczos", "top", "bottom")
