"""What chapter 5 measures around minima: slices with both rules' paths, and barriers between the readout's."""

from functools import partial
from itertools import combinations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lib import checks, curvature, landscape
from lib.analysis import spread
from lib.cortex import tensor
from lib.landscape import Codes
from lib.studies.landscape import BETWEEN, problem, solutions

SIDE = np.linspace(-1.6, 1.6, 33).round(3)  # of a slice, in units of the norm of the minimum
PATH = 25  # places along a path
PLANES = ("start and both solutions", "largest curvature", "random")


# ---- slices
def slices(n_neurons: int, n_glomeruli: int, density: float, n_odors: int, **settings) -> xr.Dataset:
    """Each loss of one neuron over planes through its minimum, and the paths of both rules from nothing or near it.

    "height": the root of the height, from 0, the lowest of the slice, to 1, the highest, so that it grows evenly in a
    round bowl. Coordinates are relative to the minimum, in units of its norm; a path off the plane is shown by its
    projection.
    """
    rng, _, codes = problem(n_neurons, n_glomeruli, density, n_odors, n_rows=1, **settings)
    shown = [_slices_of(rng, codes, loss) for loss in landscape.LOSSES]
    return xr.concat(shown, xr.Variable("loss", list(landscape.LOSSES)))


def slice_of(loss: str, plane: str, **settings) -> xr.Dataset:
    """`slices` for one loss and plane."""
    checks.choice("loss", loss, landscape.LOSSES)
    checks.choice("plane", plane, PLANES)
    return slices(**settings).sel(loss=loss, plane=plane, drop=True)


def _slices_of(rng: np.random.Generator, codes: Codes, loss: str) -> xr.Dataset:
    hebbian, centre, gain = solutions(codes, "best for prediction")
    descent = landscape.readout_loss if loss == "readout" else landscape.squared_loss
    evaluate, start, other = descent, torch.zeros_like(centre), hebbian
    if loss == "hebbian":
        evaluate, centre, other = partial(landscape.hebbian_energy, gain=gain), hebbian, centre
    elif loss == "readout":
        hebbian = other = landscape.answering(hebbian, codes)
        start = landscape.random_start(rng, codes, 1)[0]
        centre = landscape.minimise(lambda w: descent(w, codes).sum(), hebbian)
    paths = {
        "hebbian_path": torch.stack([torch.lerp(start, hebbian, float(s)) for s in np.linspace(0, 1, PATH)]) - centre,
        "sgd_path": _descent(start, descent, codes) - centre,
    }
    pairs = [
        torch.stack([start - centre, other - centre]),
        curvature.top(rng, lambda w: descent(w, codes).sum(), centre, 2)[1],
        tensor(rng.standard_normal((2, *centre.shape)), centre.device).double(),
    ]
    found = [_plane(lambda w: evaluate(w, codes), centre, pair, paths) for pair in pairs]
    return xr.concat(found, xr.Variable("plane", list(PLANES)))


def _plane(loss, centre: Tensor, pair: Tensor, paths: dict) -> xr.Dataset:
    """Heights of `loss` on the plane through `centre` (1, k) along a pair of directions, and `paths` on it."""
    size = centre.norm()
    across = torch.linalg.qr(pair[:, 0].mT)[0].mT  # orthonormal, the first along the first
    across = across * torch.sign((across * pair[:, 0]).sum(1, keepdim=True)) * size
    side = torch.from_numpy(SIDE).to(centre)
    weights = centre + side[:, None, None] * across[0] + side[:, None] * across[1]
    height = torch.stack([torch.stack([loss(w[None])[0] for w in row]) for row in weights]).cpu().numpy()
    found = {"height": (("x", "y"), np.sqrt((height - height.min()) / (height.max() - height.min())))}
    for name, path in paths.items():
        places = (path[:, 0] @ across.mT / size**2).cpu().numpy()
        places[(abs(places) > SIDE[-1]).any(axis=1)] = np.nan
        found |= {f"{name}_{axis}": ("place", places[:, i]) for i, axis in enumerate("xy")}
    return xr.Dataset(found, {"x": SIDE, "y": SIDE, "place": np.arange(PATH)})


def _descent(start: Tensor, loss, codes: Codes, steps: int = 2000) -> Tensor:
    """Batch gradient descent from `start`, at evenly spaced lengths of its path: (PATH, n, k)."""
    slope = torch.func.grad(lambda w: loss(w, codes).sum())
    rate = 1 / torch.linalg.eigvalsh(landscape.sender_covariance(codes)).max()
    weights = [start]
    for _ in range(steps):
        weights.append(weights[-1] - rate * slope(weights[-1]))
    weights = torch.stack(weights)
    length = torch.cat([weights.new_zeros(1), weights.diff(dim=0).flatten(1).norm(dim=1).cumsum(0)])
    places = torch.searchsorted(length, torch.linspace(0, 1, PATH).to(length) * length[-1])
    return weights[places.clamp_max(steps)]


# ---- barriers
def barriers(smoothing: float, n_odors: int, n_neurons: int, n_glomeruli: int, density: float, n_starts: int = 4,
             n_rows: int = 2, **settings) -> xr.Dataset:  # fmt: skip
    """Minima of the thresholded readout from random starts and from the Hebbian solution, and what lies between them.

    All relative to the loss of a neuron that never answers. "random", "hebbian", "sgd": height above the straight line
    between two minima from random starts, between one and that from Hebb's solution, and of the SGD loss between the
    same weights; means over pairs and neurons. "reached": losses from the random starts, best first.
    """
    checks.scalar("smoothing", smoothing, 0)
    rng, _, codes = problem(n_neurons, n_glomeruli, density, n_odors, n_rows=n_rows, **settings)
    hebbian = landscape.cross_covariance(codes)
    starts = torch.cat([landscape.random_start(rng, codes, n_starts), landscape.answering(hebbian, codes)[None]])
    found = [_valleys(codes.row(i), starts[:, i : i + 1], smoothing) for i in range(n_rows)]
    matched = hebbian * landscape.matched_gain(hebbian, codes)[:, None]
    together = {name: np.mean([one[name] for one in found], axis=0) for name in found[0]}
    together["silent"] = float(((landscape.drive(matched, codes) > codes.threshold).sum(1) == 0).double().mean())
    dims = {name: ("t",) for name in ("random", "hebbian", "sgd")} | {"reached": ("start",)}
    shown = {name: (dims.get(name, ()), values) for name, values in together.items()}
    return xr.Dataset(shown, {"t": BETWEEN, "start": np.arange(1, n_starts + 1)})


def _valleys(codes: Codes, starts: Tensor, smoothing: float) -> dict:
    """`barriers` of one neuron, starts (n, 1, k), that from Hebb's solution last."""

    def loss(w: Tensor) -> Tensor:
        return landscape.readout_loss(w, codes, smoothing)

    silent = float((codes.answer**2).mean() / 2)
    minima = torch.stack([landscape.minimise(lambda w: loss(w).sum(), start) for start in starts])
    pairs = list(combinations(range(len(minima)), 2))
    lines = {"readout": loss, "sgd": partial(landscape.squared_loss, codes=codes)}
    rise = {name: np.array([_rise(each, minima[i], minima[j]) for i, j in pairs]) for name, each in lines.items()}
    hebbian = np.array([len(minima) - 1 in pair for pair in pairs])
    height = landscape.barrier(rise["readout"].T, BETWEEN) / silent
    apart = np.array([float((minima[i] - minima[j]).norm() / minima[i].norm()) for i, j in pairs])
    values = [torch.linalg.eigvalsh(curvature.dense(lambda w: loss(w).sum(), w)) for w in minima]
    reached = np.array([float(loss(w)[0]) for w in minima]) / silent
    return {
        "random": rise["readout"][~hebbian].mean(0) / silent,
        "hebbian": rise["readout"][hebbian].mean(0) / silent,
        "sgd": rise["sgd"].mean(0) / silent,
        "reached": np.sort(reached[:-1]),
        "from_hebbian": reached[-1],
        "barrier": height[~hebbian].mean(),
        "separated": (height > 1e-4).mean(),
        "distinct": (apart > 1e-2).mean(),
        "bottom": min(float(v[0] / v[-1].clamp_min(1e-30)) for v in values),  # a silent neuron's are all zero
    }


def _rise(loss, a: Tensor, b: Tensor) -> np.ndarray:
    """Height along the line from a to b above the straight line between its ends."""
    heights = landscape.along(loss, a, b, BETWEEN)[:, 0]
    return heights - (1 - BETWEEN) * heights[0] - BETWEEN * heights[-1]


def barrier_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `barriers`; the loss from the Hebbian start is drawn beside all others."""
    shown = found.assign(from_hebbian_shown=found.from_hebbian + 0 * found.reached)
    return spread(shown, "random", "hebbian", "sgd", "reached", "from_hebbian_shown")
