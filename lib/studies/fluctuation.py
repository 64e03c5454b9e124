"""What chapter 5 measures of the weights' fluctuations: their variance against curvature and against flatness."""

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lib import checks, fluctuation, landscape
from lib.analysis import spread
from lib.fluctuation import SAMPLINGS
from lib.landscape import Circuit, Codes, draw_circuit, draw_odors

GROUP = 2  # directions of like curvature that are shown as one
RELAXED = 30  # relaxation times of a run from which a direction counts as settled
REFERENCE = 4000  # fresh odors on which curvature and noise are measured


@dataclass(frozen=True)
class World:
    """Where fluctuations are measured: the codes sent, the loss, and sizes at which most directions settle."""

    codes: str  # "linear" or "thresholded"
    loss: str  # "sgd" or "readout"
    n_glomeruli: int
    n_odors: int  # familiar ones, where odors come again


WORLDS = {
    "linear codes": World("linear", "sgd", 80, 100),
    "thresholded codes": World("thresholded", "sgd", 20, 100),
    "thresholded readout": World("thresholded", "readout", 20, 400),
}


def fluctuations(world: str, sampling: list, rate: float = 0.1, fan_in: int = 20, n_presentations: int = 40000,
                 activity: float = 0.1, n_rows: int = 8, n_neurons: int = 400, seed: int = 0,
                 device: str = "cpu") -> xr.Dataset:  # fmt: skip
    """Variance of an online rule's weights along the eigenvectors of each neuron's Hessian, flat to curved.

    For each way of sampling odors (`fluctuation.SAMPLINGS`), in units of the neuron's mean: "curvature", "variance",
    "expected" (`eq-fluctuation`, `eq-fluctuation-epochs`) and "flatness" (the width in which the loss grows e-fold,
    `feng2021inverse`), (n_rows, fan_in) each; NaN where the run is too short for a direction to settle. `rate`: eta
    times the summed curvature of the SGD loss. "slope": of log variance on log curvature, "exponent": of log variance
    on log flatness, pooled within neurons.
    """
    checks.choice("world", world, WORLDS)
    checks.whole("n_presentations", n_presentations, 100)
    chosen, rng = WORLDS[world], np.random.default_rng(seed)
    for name in sampling:
        checks.choice("sampling", name, fluctuation.SAMPLINGS)
    circuit = draw_circuit(rng, n_rows, n_neurons, chosen.n_glomeruli, fan_in, activity, chosen.codes, device)
    shown = [REFERENCE if name == "fresh" else chosen.n_odors for name in sampling]
    familiar = [circuit.encode(draw_odors(rng, chosen.n_glomeruli, n, device)) for n in shown]
    begun = [_minimum(circuit, codes, chosen.loss, name) for codes, name in zip(familiar, sampling, strict=True)]
    eta = torch.cat([rate / landscape.sender_covariance(c).diagonal(dim1=1, dim2=2).sum(-1) for c in familiar])
    blocks = [fluctuation.stream(rng, circuit, codes, name, n_presentations)
              for codes, name in zip(familiar, sampling, strict=True)]  # fmt: skip
    joint = (tuple(torch.cat(part, dim=1) for part in zip(*block, strict=True)) for block in zip(*blocks, strict=True))
    threshold = torch.cat([c.threshold[:, 0] for c in familiar]) if chosen.loss == "readout" else None
    course = fluctuation.descend(torch.cat([start for start, _ in begun]), joint, eta, threshold)
    parts = zip(course[len(course) // 5 :].split(n_rows, dim=1), eta.split(n_rows), familiar, begun, strict=True)
    found = [_measure(*part, chosen.loss) for part in parts]
    epochs = [chosen.n_odors if name == "epochs" else None for name in sampling]
    each = [_settled(*arrays, n_presentations, n) for arrays, n in zip(found, epochs, strict=True)]
    return xr.concat(each, xr.Variable("sampling", list(sampling)))


def _measure(course: Tensor, eta: Tensor, familiar: Codes, begun: tuple[Tensor, Tensor], loss: str) -> list[np.ndarray]:
    """Curvature, variance, noise and flatness along each neuron's eigenvectors, (n, k) each, and eta (n, 1).

    About the known minimum; the readout's courses move to a minimum of their own, whose place is their mean.
    """
    centre, hessian = begun
    if loss == "readout":
        centre = course.mean(0)
        hessian = landscape.readout_blocks(centre, familiar)
    values, vectors = torch.linalg.eigh(hessian)
    variance = (torch.einsum("tnk,nkm->tnm", course - centre, vectors) ** 2).mean(0)
    noise = fluctuation.noise(_slopes(centre, familiar, loss), familiar, vectors)
    found = values, variance, noise, _flatness(centre, familiar, loss, vectors), eta[:, None]
    return [part.cpu().numpy() for part in found]


def _minimum(circuit: Circuit, familiar: Codes, loss: str, sampling: str) -> tuple[Tensor, Tensor]:
    """Where a course begins, and the Hessian's blocks there; of endless odors where that is known and asked for."""
    if loss == "readout":
        start = landscape.answering(landscape.cross_covariance(familiar), familiar)
        start = landscape.minimise(lambda w: landscape.readout_loss(w, familiar).sum(), start, 200)
        return start, landscape.readout_blocks(start, familiar)
    if sampling != "fresh":
        return landscape.least_squares(familiar), landscape.sender_covariance(familiar)
    block, cross, _ = (torch.from_numpy(part).to(familiar.sent) for part in circuit.covariance())
    return torch.linalg.solve(block, cross[..., None])[..., 0], block


def _slopes(weights: Tensor, codes: Codes, loss: str) -> Tensor:
    """The loss's derivative by the drive, odor by odor: (n, P)."""
    drive = landscape.drive(weights, codes)
    if loss == "sgd":
        return drive - codes.target
    above = drive - codes.threshold
    return torch.where(above > 0, above - codes.answer, 0)


def _flatness(weights: Tensor, codes: Codes, loss: str, vectors: Tensor) -> Tensor:
    """`fluctuation.widths` along each of the directions (n, k, m)."""
    drive, seen = landscape.drive(weights, codes)[:, None], vectors.mT @ codes.sent
    wanted = (codes.target if loss == "sgd" else codes.answer)[:, None]

    def height(distance: Tensor) -> Tensor:
        moved = drive + distance[..., None] * seen
        told = moved if loss == "sgd" else torch.relu(moved - codes.threshold[:, None])
        return ((wanted - told) ** 2).mean(-1) / 2

    floor = height(torch.zeros_like(seen[:, :1, 0]))
    return fluctuation.widths(height, floor, torch.full_like(seen[..., 0], 50 * float(weights.norm(dim=1).max())), 30)


def _settled(curvature, variance, noise, width, eta, n_presentations, n_epoch) -> xr.Dataset:
    settled = eta * curvature * n_presentations > RELAXED
    curvature, variance, width = (np.where(settled, v, np.nan) for v in (curvature, variance, width))
    expected = fluctuation.settled_variance(curvature, noise, eta, n_epoch)
    unit = _mean(expected)
    rows = {
        "curvature": curvature / _mean(curvature),
        "variance": variance / unit,
        "expected": expected / unit,
        "flatness": width,
    }
    found = {
        "slope": within(rows["curvature"], rows["variance"]),
        "slope_theory": within(rows["curvature"], rows["expected"]),
        "exponent": within(rows["flatness"], rows["variance"]),
        "settled": settled.mean(),
        "ratio": float((rows["variance"] / rows["expected"])[settled].mean()) if settled.any() else np.nan,
    }
    return xr.Dataset({name: (("row", "direction"), v) for name, v in rows.items()} | found)


def _mean(x: np.ndarray) -> np.ndarray:
    """Mean over each row of what is not NaN, (n, 1); NaN for a row without any, such as that of a silent neuron."""
    count = np.isfinite(x).sum(1, keepdims=True)
    return np.where(count, np.nansum(x, 1, keepdims=True) / np.maximum(count, 1), np.nan)


def within(x: np.ndarray, y: np.ndarray) -> float:
    """Exponent of y ~ x^b by least squares, with a factor of its own for each row; NaN marks what is left out."""
    left_out = np.isnan(x) | np.isnan(y)
    x, y = (np.where(left_out, np.nan, np.log(v)) for v in (x, y))
    x, y = x - _mean(x), y - _mean(y)
    spread_of_x = np.nansum(x * x)
    return float(np.nansum(x * y) / spread_of_x) if spread_of_x else np.nan


def fluctuation_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `fluctuations`, a variable for each sampling: geometric means over neurons in groups of directions."""
    logs = np.log(found[["curvature", "variance", "expected", "flatness"]]).mean("row").coarsen(direction=GROUP).mean()
    curves = np.exp(logs.assign_coords(direction=np.arange(1, logs.sizes["direction"] + 1)))
    shown = {}
    for sampling in SAMPLINGS:
        name = sampling.replace(" ", "_")
        one = curves.sel(sampling=sampling, drop=True).rename({v: f"{v}_{name}" for v in curves})
        slope = found.slope.sel(sampling=sampling, drop=True).mean("seed")
        means = one[[f"{v}_{name}" for v in ("curvature", "expected", "flatness")]].mean("seed")
        shown |= {f"slope_{name}": slope, **spread(one, f"variance_{name}"), **means}
    return xr.Dataset(shown)
