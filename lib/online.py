"""Learning while breathing: the online rules, one odor at a time, and what the projection can do along the way."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib import checks, updates
from lib.cortex import draw_cortex, tensor
from lib.measures import MEMORY, check_memory, check_run, check_settings, pearson, response
from lib.odors import Gaussian, Mixture, statistics
from lib.projection import SPARSE, draw_mask, entries, masked_product, with_values

N_PROBE = 1000  # novel odors on which the course is measured
BLOCK = 256  # odors whose codes are held at a time
DIVERGED = 1e3  # weights that predict a code are of order 1


@dataclass(frozen=True)
class Course:
    """What was measured at each checkpoint, (n_checkpoints,) each; cosines as `eq-updates` defines them."""

    presentations: np.ndarray  # odors shown so far
    drive: np.ndarray  # drive alignment, novel odors
    response: np.ndarray  # response alignment, novel odors
    overlap: np.ndarray  # <W, W*> / <W*, W*> with the Hebbian fixed point W* on the probe odors
    presentation_cosine: np.ndarray  # mean over odors of the increments' cosine
    random_cosine: np.ndarray  # the same with random weights of equal output power in place of W
    averaged_cosine: np.ndarray  # cosine of the increments averaged over odors


def online(
    n_neurons: int,
    n_glomeruli: int,
    density: float | None = None,
    *,
    fan_in: int | None = None,
    rule: str = "hebbian",
    learning_rate: float | Callable[[int], float] = 0.002,
    n_presentations: int = 3000,
    decay: bool = True,
    codes: str = "thresholded",
    gain: str = "unit",
    cosines: bool = True,
    activity: float = 0.1,
    odors: str | Gaussian | Mixture = "gaussian",
    sample: int | None = None,
    checkpoints: int | Sequence[int] = 20,
    seed: int = 0,
    device: str = "cpu",
    memory: int = MEMORY,
) -> Course:
    """Course of alignment and of the update cosines under an online rule, from W = 0, every odor shown once (`Course`).

    "hebbian": W <- (1 - eta) W + eta M o (y_R - m_R)(y_L - m_L)^T (`eq-online-hebbian`), without the factor (1 - eta)
    if not `decay`; "sgd": W <- W + eta M o (y_R - m_R - W (y_L - m_L))(y_L - m_L)^T (`eq-online-sgd`). The means are
    running means over the last 1/eta odors, so that both rules stay online. `learning_rate`: eta, or a function of the
    presentation's number 1, 2, ... `codes`: "thresholded", or "linear" (y = J x). `gain`: "unit", or "matched" where
    the scale of W has no meaning; without `cosines` they are NaN. `checkpoints`: that many, evenly spaced in log
    presentations, or the presentations at which to measure. `sample`: that many receiving neurons, since the rules are
    local. BadSetting, a ValueError, names a setting out of its range or a rate at which the weights diverge.
    """
    sample = n_neurons if sample is None else sample
    checks.whole("n_presentations", n_presentations, 1)
    check_settings(n_neurons, n_glomeruli, density, fan_in, N_PROBE, activity, odors, rule=rule, codes=codes)
    if np.ndim(density):
        raise checks.BadSetting("density must be one number for an online rule, not a sequence.")
    checks.choice("gain", gain, ("unit", "matched"))
    checks.number("checkpoints", checkpoints, 1, n_presentations if np.ndim(checkpoints) else np.inf)
    checks.whole("sample", sample, 1, n_neurons)
    check_run(seed, device)
    share = density if fan_in is None else fan_in / n_neurons
    held = 2 * (N_PROBE + BLOCK) + 8 * int(sample * (share if share <= SPARSE else 1))
    check_memory(n_neurons, n_glomeruli, n_presentations + N_PROBE, memory, held)
    schedule = learning_rate if callable(learning_rate) else lambda t: learning_rate
    rates = np.array([schedule(t) for t in range(1, n_presentations + 1)])
    checks.number("learning_rate", rates, 0, 0.5, open_low=True)
    world, shown, tested, left_rng, right_rng, mask_rng, control_rng = np.random.default_rng(seed).spawn(7)

    kind = statistics(odors)
    sampler = kind.sampler(world, n_glomeruli)
    stream, probe = tensor(sampler(shown, n_presentations), device), tensor(sampler(tested, N_PROBE), device)
    cortex = (n_glomeruli, activity, kind, sampler)
    left = draw_cortex(left_rng, n_neurons, *cortex, device=device)
    right = draw_cortex(right_rng, sample, *cortex, device=device)
    mask = draw_mask(mask_rng, sample, n_neurons, density=density, fan_in=fan_in, device=device)
    examine = _examination(codes, left, right, mask, probe, activity, gain if cosines else None, control_rng)
    learn = functools.partial(hebbian_steps, decay=decay) if rule == "hebbian" else sgd_steps
    ends = checkpoints if np.ndim(checkpoints) else np.geomspace(n_presentations, min(10, n_presentations), checkpoints)
    ends = np.unique(np.round(ends).astype(int))
    weights, means, measured = with_values(mask, torch.zeros_like(entries(mask))), [0.0, 0.0], []
    stops = np.union1d(ends, np.arange(0, ends[-1], BLOCK))
    for start, end in zip(stops[:-1], stops[1:], strict=True):
        x, eta = stream[:, start:end], rates[start:end]
        forget = np.maximum(eta, 1 / np.arange(start + 1, end + 1))
        y_r, means[0] = _centre(right.encode(x, codes), means[0], forget)
        y_l, means[1] = _centre(left.encode(x, codes), means[1], forget)
        weights = learn(weights, mask, y_r, y_l, eta)
        if not entries(weights).isfinite().all() or entries(weights).abs().max() > DIVERGED:
            raise checks.BadSetting(
                f"learning_rate = {rates[end - 1]:g} makes the weights diverge; choose a smaller one."
            )
        if end in ends:
            measured.append(examine(weights))
    return Course(ends, *np.array(measured).T)


def _centre(codes: Tensor, mean: Tensor | float, memory: np.ndarray) -> tuple[Tensor, Tensor]:
    """Codes (n, n_odors) less their running mean, which includes the present odor, and the last mean."""
    rows = codes.T.contiguous()
    for y, beta in zip(rows, memory, strict=True):
        mean = mean + float(beta) * (y - mean)
        y -= mean
    return rows.T, mean


def hebbian_steps(
    weights: Tensor, mask: Tensor, y_r: Tensor, y_l: Tensor, rates: np.ndarray, decay: bool = True
) -> Tensor:
    """W (..., n, m) after the Hebbian rule saw centred codes y_r (..., n, n_odors), y_l (..., m, n_odors) in turn.

    All odors at once, exactly (`eq-online-hebbian`): each is remembered with eta, of `rates` (n_odors,), times what the
    later ones leave of it. Leading dimensions are streams of odors, where the mask is dense.
    """
    left_by_later = np.cumprod(1 - rates[::-1])[::-1] if decay else np.ones_like(rates)
    remembered = tensor(rates * np.append(left_by_later[1:], 1.0), mask.device)
    change = masked_product(mask, y_r * remembered, y_l)
    return with_values(mask, entries(weights) * float(left_by_later[0]) + change)


def sgd_steps(weights: Tensor, mask: Tensor, y_r: Tensor, y_l: Tensor, rates: np.ndarray) -> Tensor:
    """W after gradient descent saw one odor after the other, each with what the earlier ones have taught.

    Arguments as for `hebbian_steps` (`eq-online-sgd`).
    """
    odors = zip(rates, y_r.movedim(-1, 0)[..., None], y_l.movedim(-1, 0)[..., None], strict=True)
    for eta, target, sent in odors:
        change = masked_product(mask, float(eta) * (target - weights @ sent), sent)
        weights = with_values(mask, entries(weights) + change)
    return weights


def _examination(codes, left, right, mask, probe, activity, gain, rng) -> Callable[[Tensor], list[float]]:
    """A function of the weights that gives the quantities of `Course`, measured on the probe odors."""
    y_r, y_l = right.encode(probe, codes), left.encode(probe, codes)
    h, own = right.drive(probe), right.code(probe)
    y_r, y_l = y_r - y_r.mean(1, keepdim=True), y_l - y_l.mean(1, keepdim=True)
    halves = [masked_product(mask, r, sent) for r, sent in zip(y_r.chunk(2, 1), y_l.chunk(2, 1), strict=True)]
    target = (halves[0] + halves[1]) / y_r.shape[1]
    power = 4 * (halves[0] * halves[1]).sum() / y_r.shape[1] ** 2  # independent halves: no noise squared in |W*|^2
    reach, connected = mask @ y_l**2, (mask @ torch.ones_like(y_l[:, :1])).ravel() > 0
    if not connected.any():
        raise checks.BadSetting("density leaves every measured neuron without an input; choose a larger one.")

    def examine(weights: Tensor) -> list[float]:
        g = weights @ y_l
        drives, responses = pearson(g, h)[connected], pearson(response(g, activity), own)[connected]
        values = [drives.mean(), responses.mean(), (entries(weights) * target).sum() / power]
        if gain is None:
            return [*map(float, values), *[float("nan")] * 3]
        learned = updates.outputs(weights, y_l, y_r, gain)
        control = updates.random_outputs(rng, mask, y_l, learned)
        values += [updates.presentation_cosine(reach, y_r, predicted).nanmean() for predicted in (learned, control)]
        return [*map(float, values), float(updates.averaged_cosine(mask, y_r, y_l, learned))]

    return examine
