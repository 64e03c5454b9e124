"""Learning while breathing: the online rules, one odor at a time, and what the projection can do along the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib import checks, updates
from lib.cortex import draw_cortex, tensor
from lib.measures import check_memory, check_settings, pearson, response
from lib.odors import Gaussian, Mixture, statistics
from lib.projection import dense_mask

N_PROBE = 1000  # novel odors on which the course is measured


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
) -> Course:
    """Course of alignment and of the update cosines under an online rule, from W = 0, every odor shown once.

    "hebbian": W <- (1 - eta) W + eta M o (y_R - m_R)(y_L - m_L)^T (`eq-online-hebbian`), without the factor (1 - eta)
    if not `decay`; "sgd": W <- W + eta M o (y_R - m_R - W (y_L - m_L))(y_L - m_L)^T (`eq-online-sgd`). The means are
    running means over the last 1/eta odors, so that both rules stay online. `learning_rate`: eta, or a function of the
    presentation's number 1, 2, ... `codes`: "thresholded", or "linear" (y = J x). `gain`: "unit", or "matched" where
    the scale of W has no meaning; without `cosines` they are NaN. `checkpoints`: that many, evenly spaced in log
    presentations, or the presentations at which to measure.
    """
    check_settings(n_neurons, n_glomeruli, density, fan_in, n_presentations, activity, odors, rule=rule, codes=codes)
    checks.choice("gain", gain, ("unit", "matched"))
    checks.number("checkpoints", checkpoints, 1, n_presentations if np.ndim(checkpoints) else np.inf)
    sample = n_neurons if sample is None else sample
    checks.whole("sample", sample, 1, n_neurons)
    check_memory(n_neurons, n_glomeruli, n_presentations)
    schedule = learning_rate if callable(learning_rate) else lambda t: learning_rate
    rates = np.array([schedule(t) for t in range(1, n_presentations + 1)])
    checks.number("learning_rate", rates, 0, 1, open_low=True)
    world, shown, tested, left_rng, right_rng, mask_rng, control_rng = np.random.default_rng(seed).spawn(7)

    kind = statistics(odors)
    sampler = kind.sampler(world, n_glomeruli)
    stream, probe = tensor(sampler(shown, n_presentations), device), tensor(sampler(tested, N_PROBE), device)
    cortex = (n_glomeruli, activity, kind, sampler)
    left = draw_cortex(left_rng, n_neurons, *cortex, device=device)
    right = draw_cortex(right_rng, sample, *cortex, device=device)
    mask = dense_mask(mask_rng, sample, n_neurons, density=density, fan_in=fan_in, device=device)
    examine = _examination(codes, left, right, mask, probe, activity, gain if cosines else None, control_rng)
    weights, means, measured = torch.zeros_like(mask), [0.0, 0.0], []
    ends = checkpoints if np.ndim(checkpoints) else np.geomspace(min(10, n_presentations), n_presentations, checkpoints)
    ends = np.unique(np.asarray(ends, int))
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        x, eta = stream[:, start:end], rates[start:end]
        memory = np.maximum(eta, 1 / np.arange(start + 1, end + 1))
        y_r, means[0] = _centre(right.encode(x, codes), means[0], memory)
        y_l, means[1] = _centre(left.encode(x, codes), means[1], memory)
        if rule == "hebbian":
            weights = _hebbian(weights, mask, y_r, y_l, eta, decay)
        else:
            weights = _sgd(weights, mask, y_r, y_l, eta)
        measured.append(examine(weights))
    return Course(ends, *np.array(measured).T)


def _centre(codes: Tensor, mean: Tensor | float, memory: np.ndarray) -> tuple[Tensor, Tensor]:
    """Codes (n, n_odors) less their running mean, which includes the present odor, and the last mean."""
    rows = codes.T.contiguous()
    for y, beta in zip(rows, memory, strict=True):
        mean = mean + float(beta) * (y - mean)
        y -= mean
    return rows.T, mean


def _hebbian(weights: Tensor, mask: Tensor, y_r: Tensor, y_l: Tensor, rates: np.ndarray, decay: bool) -> Tensor:
    """All odors of a block at once, exactly: each is remembered with eta times what the later ones leave of it."""
    left_by_later = np.cumprod(1 - rates[::-1])[::-1] if decay else np.ones_like(rates)
    remembered = tensor(rates * np.append(left_by_later[1:], 1.0), weights.device.type)
    return weights * float(left_by_later[0]) + mask * ((y_r * remembered) @ y_l.T)


def _sgd(weights: Tensor, mask: Tensor, y_r: Tensor, y_l: Tensor, rates: np.ndarray) -> Tensor:
    """One odor after the other: each sees what the earlier ones have taught."""
    weights = weights.clone()
    for eta, target, sent in zip(rates, y_r.T, y_l.T, strict=True):
        weights += mask * torch.outer(float(eta) * (target - weights @ sent), sent)
    return weights


def _examination(codes, left, right, mask, probe, activity, gain, rng) -> Callable[[Tensor], list[float]]:
    """A function of the weights that gives the quantities of `Course`, measured on the probe odors."""
    y_r, y_l = right.encode(probe, codes), left.encode(probe, codes)
    h, own = right.drive(probe), right.code(probe)
    y_r, y_l = y_r - y_r.mean(1, keepdim=True), y_l - y_l.mean(1, keepdim=True)
    halves = [mask * (r @ sent.T) for r, sent in zip(y_r.chunk(2, dim=1), y_l.chunk(2, dim=1), strict=True)]
    target = (halves[0] + halves[1]) / y_r.shape[1]
    power = 4 * (halves[0] * halves[1]).sum() / y_r.shape[1] ** 2  # independent halves: no noise squared in |W*|^2
    reach, connected = mask @ y_l**2, mask.sum(1) > 0

    def examine(weights: Tensor) -> list[float]:
        g = weights @ y_l
        drives, responses = pearson(g, h)[connected], pearson(response(g, activity), own)[connected]
        values = [drives.mean(), responses.mean(), (weights * target).sum() / power]
        if gain is None:
            return [*map(float, values), *[float("nan")] * 3]
        random = updates.random_of_equal_power(mask, weights, y_l, rng)
        learned, control = (updates.outputs(w, y_l, y_r, gain) for w in (weights, random))
        values += [updates.presentation_cosine(reach, y_r, predicted).nanmean() for predicted in (learned, control)]
        return [*map(float, values), float(updates.averaged_cosine(mask, y_r, y_l, learned))]

    return examine
