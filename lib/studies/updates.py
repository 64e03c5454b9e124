"""What chapter 2 measures: in what sense the two rules' update vectors agree, and what moves that."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from numpy.random import Generator
from torch import Tensor

from lib import checks, flow, theory, updates
from lib.analysis import spread
from lib.cortex import tensor
from lib.flow import Batch
from lib.measures import check_run, check_settings
from lib.online import online
from lib.profile import Profile

PARAMETERS = ("n_neurons", "n_glomeruli", "density", "activity")
FACTORS = np.array([0.25, 0.5, 1, 2, 4])  # by which a parameter leaves its default
INPUTS = (0.2, 0.5, 1, 2, 5)  # synapses a glomerulus, k/D
N_SHOWN = 400  # odors over which the one-odor cosine is averaged


def check(run: Profile, n_neurons, n_glomeruli, density, n_odors, activity, seed) -> None:
    """ValueError with one sentence for a parameter of chapter 2 out of its range, or too large for the profile."""
    factor = int(FACTORS.max())
    most = int(np.sqrt(run.memory / 16 / run.sample))  # inputs of a neuron: their covariances fill half the memory
    largest = int(np.sqrt(run.memory / 32))  # senders: their covariance fills a quarter of it
    checks.whole("n_glomeruli", n_glomeruli, 8, most // max(INPUTS))
    checks.whole("n_neurons", n_neurons, max(160, int(max(INPUTS) * n_glomeruli)), largest // factor)
    checks.whole("n_odors", n_odors, 400, run.memory // (32 * factor * n_neurons))  # four copies of the left codes
    checks.scalar("density", density, 4 / n_neurons, min(1, round(most / n_neurons, 2)) / factor)
    checks.scalar("activity", activity, 0.01, 0.5 / factor)
    check_settings(n_neurons, n_glomeruli, density, None, n_odors, activity, "gaussian")
    check_run(seed, run.device)


def draw(
    n_neurons, n_glomeruli, density, n_odors, *, activity, sample, seed, codes="thresholded", **settings
) -> tuple[Batch, Generator, tuple]:
    """A network in which every receiving neuron has exactly density x n_neurons inputs.

    With a generator for all that follows, and both sides' codes of novel odors. BadSetting names a setting out of its
    range.
    """
    check_settings(n_neurons, n_glomeruli, density, None, n_odors, activity, "gaussian", codes=codes)
    settings |= dict(activity=activity, codes=codes)
    network, more = np.random.default_rng(seed).spawn(2)
    fan_in, sample = max(1, round(density * n_neurons)), min(sample, n_neurons)
    drawn, *novel = flow.draw_batch(network, n_neurons, n_glomeruli, fan_in, n_odors, sample=sample, **settings)
    return drawn, more, novel


def learn(drawn: Batch, time: Sequence[float], *, target=None, covariance=None, decay=0.0, start=None) -> Tensor:
    """Weights (n_times, n, k) of gradient descent at each time, in units of 1 / pace; decay in units of the pace.

    Other target and covariance than the batch's own make another learner.
    """
    checks.number("time", time, 0)
    checks.scalar("decay", decay, 0)
    target = drawn.hebbian if target is None else target
    covariance = drawn.covariance if covariance is None else covariance
    # Top eigenvalues are 2 to 2.5 times the pace, and Lanczos needs some 2.5 times the root of eigenvalue times time.
    settings = dict(decay=decay * drawn.pace, start=start, n_krylov=4 + int(np.ceil(3.6 * np.sqrt(np.max(time)))))
    return flow.descend(covariance, target, np.asarray(time) / drawn.pace, **settings)


def star(
    parameter: str,
    factor: float,
    time: Sequence[float],
    *,
    n_neurons: int,
    n_glomeruli: int,
    density: float,
    activity: float,
    n_odors: int,
    codes: str = "thresholded",
    sample: int = 200,
    seed: int = 0,
    device: str = "cpu",
) -> dict:
    """Cosines along gradient descent in a network one parameter of which is `factor` times its default.

    One odor at a time, at matched gain: "presentation", the control of equal output power, and two closed forms: that
    by the codes' correlation and the "pooled" one, by the increments of all odors together.
    Averaged over odors: "averaged", with its closed form (linear codes), with Hebb on shuffled pairs of codes, and with
    a random direction on the same synapses.
    """
    checks.choice("parameter", parameter, PARAMETERS)
    checks.scalar("factor", factor, 0, open_low=True)
    sizes = dict(n_neurons=n_neurons, n_glomeruli=n_glomeruli, density=density, activity=activity)
    sizes[parameter] = type(sizes[parameter])(sizes[parameter] * factor)
    drawn, rng, _ = draw(n_odors=n_odors, codes=codes, sample=sample, seed=seed, device=device, **sizes)
    weights = learn(drawn, time)
    signals, k = drawn.signal(weights), drawn.inputs.shape[1]
    shuffled = drawn.hebbian_of(drawn.y_r[:, torch.from_numpy(rng.permutation(n_odors)).to(device)])
    random = tensor(rng.standard_normal(shuffled.shape), device)
    form = theory.linear_update_cosine(k, sizes["n_glomeruli"], time)
    return {
        **_presentations(drawn, weights, rng),
        "averaged": [float(updates.cosine(drawn.hebbian, s)) for s in signals],
        "averaged_theory": np.where(codes == "linear", form, np.nan),
        "averaged_shuffled": [float(updates.cosine(shuffled, s)) for s in signals],
        "averaged_random": [float(updates.cosine(random, s)) for s in signals],
    }


def _presentations(drawn: Batch, weights: Tensor, rng: np.random.Generator) -> dict:
    """The one-odor cosines at matched gain for weights (n_times, n, k), with `eq-updates-matched` and `eq-gain`."""
    mask, y_r, y_l = drawn.mask, drawn.y_r[:, :N_SHOWN], drawn.y_l[:, :N_SHOWN]
    reach, found = mask @ y_l**2, []
    for w in drawn.dense(weights):
        learned = updates.outputs(w, y_l, y_r, "matched")
        random = updates.random_outputs(copy.deepcopy(rng), mask, y_l, learned)  # the same control at all times
        both = [updates.presentation_cosine(reach, y_r, output).nanmean() for output in (learned, random)]
        rho, pooled = updates.cosine(learned, y_r), _at_gain(1.0, _products(mask, y_r, learned, y_l)[1])
        found.append([*map(float, both), float(1 - rho**2) ** 0.5, pooled])
    names = ("presentation", "presentation_random", "presentation_theory", "presentation_pooled")
    return dict(zip(names, np.array(found).T, strict=True))


def star_verdict(found: xr.Dataset) -> dict[str, xr.DataArray]:
    """The quantities of claim B1 that a sweep of `star` gives, one value a seed."""
    real, linear = found.sel(codes="thresholded"), found.sel(codes="linear")
    everywhere = ["parameter", "factor", "time"]
    gap = abs(real.presentation - real.presentation_theory).max(everywhere)
    return {
        "largest gap between the one-odor cosine at matched gain and sqrt(1 - rho^2)": gap,
        "smallest cosine of odor-averaged updates over all settings": real.averaged.min(everywhere),
        "largest gap of the odor-averaged cosine from its closed form, linear codes": abs(
            linear.averaged - linear.averaged_theory
        ).max(everywhere),
    }


def star_ranges(found: xr.Dataset, time: float) -> dict[str, float]:
    """By how much each parameter moves both cosines over its factors at one time: thresholded codes, mean of seeds."""
    mean = found.sel(codes="thresholded", time=time)[["presentation", "averaged"]].mean("seed")
    moved = mean.max("factor") - mean.min("factor")
    return {f"{name}_{p}": float(moved[name].sel(parameter=p)) for name in moved for p in moved.parameter.values}


def spectrum(
    inputs: float, time: Sequence[float], *, n_neurons: int, n_glomeruli: int, decay: float = 0.0, **settings
) -> dict:
    """Cosine of odor-averaged increments along gradient descent for `inputs` synapses a glomerulus, k/D."""
    checks.scalar("inputs", inputs, 0, n_neurons / n_glomeruli, open_low=True)
    drawn, *_ = draw(n_neurons, n_glomeruli, inputs * n_glomeruli / n_neurons, **settings)
    signals = drawn.signal(learn(drawn, time, decay=decay))
    return {"averaged": [float(updates.cosine(drawn.hebbian, s)) for s in signals]}


def spectrum_curves(found: xr.Dataset, n_glomeruli: int) -> xr.Dataset:
    """A sweep of `spectrum`: a variable for each kind of codes, `eq-update-spectrum`, the k/D of least agreement."""
    by_codes = found.averaged.to_dataset("codes")
    fine = {"fine_time": np.geomspace(found.time[0], found.time[-1], 41)}
    fine["fine_inputs"] = np.geomspace(found.inputs[0], found.inputs[-1], 41)
    fine_time, fine_inputs = (xr.DataArray(values, dims=name, coords={name: values}) for name, values in fine.items())

    def form(inputs, time):
        cosine = xr.apply_ufunc(theory.linear_update_cosine, inputs, 1, time, found.decay)
        return cosine.where(xr.apply_ufunc(theory.linear_update_holds, inputs * n_glomeruli, n_glomeruli, time))

    curves = spread(by_codes, *by_codes)
    curves = curves.assign(by_time_theory=form(found.inputs, fine_time), by_inputs_theory=form(fine_inputs, found.time))
    return curves.assign(least=curves.linear.idxmin("inputs"))


def one_by_one(time: Sequence[float], *, learning_rate: float, n_neurons, n_glomeruli, density, **settings) -> dict:
    """Averaged cosine on novel odors where linear codes are learned online, every odor shown once, with `online`."""
    pace = theory.linear_pace(density * n_neurons, n_glomeruli)
    ends = np.round(np.asarray(time) / (learning_rate * pace)).astype(int).tolist()
    settings |= dict(
        rule="sgd", codes="linear", learning_rate=learning_rate, n_presentations=ends[-1], checkpoints=ends
    )
    return {"averaged": online(n_neurons, n_glomeruli, density, **settings).averaged_cosine}


def batches(time: Sequence[float], size: Sequence[int], *, density: float, **settings) -> xr.Dataset:
    """Cosine of both increments averaged over batches of `size` odors, along gradient descent, with `eq-batch`."""
    checks.number("size", size, 1)
    drawn, rng, _ = draw(density=density, **settings)
    mask, y_r, y_l = drawn.mask, drawn.y_r, drawn.y_l
    measured, expected = np.empty((2, len(time), len(size)))
    for i, w in enumerate(drawn.dense(learn(drawn, time))):
        error = y_r - w @ y_l
        expected[i] = theory.batch_cosine(size, *_products(mask, y_r, error, y_l))
        draws = copy.deepcopy(rng)  # the same batches at all times
        for j, n in enumerate(size):
            cosines = []
            for odors in torch.from_numpy(draws.integers(y_r.shape[1], size=(max(2, 60 // n), n))).to(mask.device):
                sent = y_l[:, odors].T
                cosines.append(float(updates.cosine(mask * (y_r[:, odors] @ sent), mask * (error[:, odors] @ sent))))
            measured[i, j] = np.mean(cosines)
    variables = {"batch": (("time", "size"), measured), "batch_theory": (("time", "size"), expected)}
    return xr.Dataset(variables, coords={"time": list(time), "size": list(size)})


def _products(mask: Tensor, y_r: Tensor, other: Tensor, y_l: Tensor) -> list[list[float]]:
    """<A, B>, <A, A>, <B, B> of the increments A = M o (y_R y_L^T) and B = M o (other y_L^T).

    First of both averaged over odors, then of one odor's, averaged over odors.
    """
    reach, n_odors = mask @ y_l**2, y_l.shape[1]
    a, b = (mask * (post @ y_l.T) / n_odors for post in (y_r, other))
    averaged = [float((x * y).sum()) for x, y in ((a, b), (a, a), (b, b))]
    single = [float((x * y * reach).sum() / n_odors) for x, y in ((y_r, other), (y_r, y_r), (other, other))]
    return [averaged, single]


def _at_gain(gain, products: list[float]) -> np.ndarray:
    """`eq-gain` for <H, O>, <H, H>, <O, O>."""
    both, hebbian, output = products
    return theory.gain_cosine(gain, both / hebbian, output / hebbian)


def gains(time: Sequence[float], gain: Sequence[float], *, density: float, **settings) -> xr.Dataset:
    """Both cosines against a factor on the projection's output, in units of the one that fits best (`eq-gain`).

    "presentation", with the control of equal output power, and "averaged"; the closed form of the first is that over
    all odors together.
    """
    drawn, rng, _ = draw(density=density, **settings)
    mask, y_r, y_l = drawn.mask, drawn.y_r[:, :N_SHOWN], drawn.y_l[:, :N_SHOWN]
    reach, found = mask @ y_l**2, np.empty((5, len(time), len(gain)))
    for i, w in enumerate(drawn.dense(learn(drawn, time))):
        learned = updates.outputs(w, y_l, y_r, "matched")
        random = updates.random_outputs(copy.deepcopy(rng), mask, y_l, learned)  # the same control at all times
        averaged, single = _products(mask, y_r, learned, y_l)
        for j, output in enumerate((learned, random)):
            found[j, i] = [float(updates.presentation_cosine(reach, y_r, g * output).nanmean()) for g in gain]
        found[2, i] = [float(updates.averaged_cosine(mask, y_r, y_l, g * learned)) for g in gain]
        found[3:, i] = [_at_gain(gain, products) for products in (single, averaged)]
    names = ("presentation", "presentation_random", "averaged", "presentation_theory", "averaged_theory")
    variables = {name: (("time", "gain"), values) for name, values in zip(names, found, strict=True)}
    return xr.Dataset(variables, coords={"time": list(time), "gain": list(gain)})


def curves(found: xr.Dataset) -> xr.Dataset:
    """What a sweep found: mean and range over seeds of each variable, for figures that show it as it is."""
    return spread(found, *found)
