"""What pruning does to single layers of the trained models: how much of their output is lost, and of their weights."""

import numpy as np
import torch
import xarray as xr
from scipy.special import ndtri
from torch import Tensor

from lib import checks
from lib.analysis import spread
from lib.pruning import blocks, criteria, surgeon
from lib.pruning.criteria import Settings
from lib.pruning.linears import LINEARS, NAMES
from lib.studies import limits
from lib.tiny_llama import shipped

RECIPES = ("llama2", "llama3")
METHODS = ("random", "magnitude", "wanda", "sparsegpt", "least squares")
N_TEXT = 1_000  # tokens of held-out text, which a layer's error does not need
SHOWN = np.round(np.arange(0.05, 0.96, 0.05), 2)  # sparsities at which a closed form is drawn


def lost_energy(sparsity) -> np.ndarray:
    """Share of the squared sum of normal weights that goes with the share `sparsity` of smallest ones (`eq-energy`)."""
    checks.number("sparsity", sparsity, 0, 1)
    s = np.asarray(sparsity, float)
    t = ndtri((1 + s) / 2)
    with np.errstate(invalid="ignore"):  # infinity times zero where all weights go
        part = 2 * t * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    return np.where(s == 1, 1.0, s - np.where(np.isfinite(part), part, 0.0))


def least_squares(weight: Tensor, gone: Tensor, hessian: Tensor) -> Tensor:
    """The weight (outputs, inputs) that errs least on such inputs, zero where `gone` (`eq-least-squares`)."""
    kept = (~gone).to(hessian.dtype)
    system = hessian * kept[:, :, None] * kept[:, None, :] + torch.diag_embed(1 - kept)
    wanted = (weight.to(hessian.dtype) @ hessian) * kept
    return torch.linalg.solve(system, wanted).to(weight.dtype)


def _pruned(weight: Tensor, hessian: Tensor, settings: Settings, place: tuple[int, int]) -> dict[str, Tensor]:
    upper, damping = surgeon.factor(hessian.clone())  # which is overwritten
    sparse = surgeon.sweep(weight, upper.float(), settings)
    damped = hessian.clone()
    damped.diagonal().add_(damping * hessian.diagonal().mean())
    scores = {
        "random": criteria.random(weight, settings.seed, *place),
        "magnitude": criteria.magnitude(weight),
        "wanda": criteria.wanda(weight, hessian.diagonal().sqrt()),
    }
    masked = {method: weight.masked_fill(criteria.choose(each, settings), 0) for method, each in scores.items()}
    return masked | {"sparsegpt": sparse, "least squares": least_squares(weight, sparse == 0, damped)}


def fingerprint() -> str:
    """Digits that change when one of the models does whose layers are looked at."""
    return limits.digests(RECIPES, shipped.SEEDS)


@torch.no_grad()
def layer_errors(recipe: str, sparsity, models: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """Relative squared error of a layer's output on calibration text, every layer pruned by itself behind dense ones.

    "error" over sparsity, method and kind of projection, mean over blocks; "energy": share of the layer's squared
    weights that magnitude takes away. "least squares" keeps SparseGPT's mask and refits all weights of a row at once.
    `models`: their `fingerprint`, so that a stored result never outlives them.
    """
    checks.number("sparsity", sparsity, 0, 0.99)
    checks.choice("models", models, [fingerprint()])
    given, values = limits.bench(recipe, seed, N_TEXT, device), np.ravel(sparsity).tolist()
    states = blocks.States(given.model.model, given.calibration())
    error = np.zeros((len(values), len(METHODS), len(NAMES), len(given.model.model.layers)))
    energy = np.zeros((len(values), len(NAMES), len(given.model.model.layers)))
    for index, block in enumerate(given.model.model.layers):
        seen = states.statistics(block, outer=True)
        for hessian, name in ((seen[first], name) for first, names in LINEARS.items() for name in names):
            weight, kind = block.get_submodule(name).weight, NAMES.index(name)
            for i, s in enumerate(values):
                found = _pruned(weight, hessian, Settings(sparsity=s, seed=seed), (index, kind))
                for j, method in enumerate(METHODS):
                    error[i, j, kind, index] = _share(weight - found[method], weight, hessian)
                energy[i, kind, index] = float((weight - found["magnitude"]).square().sum() / weight.square().sum())
        states.pass_on(block)
    coords = {"sparsity": values, "method": list(METHODS), "kind": list(limits.PARTS)}
    variables = {"error": (("sparsity", "method", "kind"), error.mean(-1))}
    return xr.Dataset(variables | {"energy": (("sparsity", "kind"), energy.mean(-1))}, coords)


def _share(change: Tensor, weight: Tensor, hessian: Tensor) -> float:
    """|dW X|^2 / |W X|^2."""
    lost, whole = ((w.double() @ hessian.double() * w.double()).sum() for w in (change, weight))
    return float(lost / whole)


def layer_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `layer_errors`: a variable for each method, and `eq-energy` beside them."""
    curves = {f"error_{m.replace(' ', '_')}": found.error.sel({"method": m}, drop=True) for m in METHODS}
    fine = xr.DataArray(SHOWN, dims="fine", coords={"fine": SHOWN})
    shown = spread(xr.Dataset(curves).assign(energy=found.energy), *curves, "energy")
    return shown.assign(energy_theory=("fine", lost_energy(fine)), random_theory=fine, half=lost_energy(0.5))
