"""How well the projection aligns the two cortices: for a novel odor, does the far side's code predict one's own?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib import checks, projection
from lib.cortex import Cortex, draw_cortex, tensor
from lib.measures import MEMORY, check_memory, check_run, check_settings, pearson, response
from lib.odors import Gaussian, Mixture, statistics
from lib.online import online

__all__ = ["Alignment", "align", "online"]

CACHE = 2**23  # bytes of a chunk of codes that stays in a core's cache (benchmarks/align.py)


@dataclass(frozen=True)
class Alignment:
    """Means over receiving neurons that have an input, and their standard errors (arrays for a sequence of densities).

    `drive` is the Pearson correlation over odors of contralateral drive g and own drive h; `response` that of
    contralateral code z = relu(g - its own 1 - activity quantile) and own code y (`eq-alignment`). For novel odors,
    for familiar ones, and for novel ones whose labels are shuffled on one side.
    """

    drive: float | np.ndarray
    response: float | np.ndarray
    drive_familiar: float | np.ndarray
    response_familiar: float | np.ndarray
    drive_shuffled: float | np.ndarray
    response_shuffled: float | np.ndarray
    drive_se: float | np.ndarray
    response_se: float | np.ndarray
    drive_familiar_se: float | np.ndarray
    response_familiar_se: float | np.ndarray
    drive_shuffled_se: float | np.ndarray
    response_shuffled_se: float | np.ndarray


def align(
    n_neurons: int,
    n_glomeruli: int,
    density: float | Sequence[float] | None = None,
    n_odors: int = 2000,
    *,
    fan_in: int | None = None,
    activity: float = 0.1,
    odors: str | Gaussian | Mixture = "gaussian",
    rule: str = "hebbian",
    codes: str = "thresholded",
    sample: int | None = None,
    n_test: int = 400,
    seed: int = 0,
    device: str = "cpu",
    memory: int = MEMORY,
) -> Alignment:
    """Alignment that a rule reaches on `n_odors` familiar odors, for a projection of given density or fan-in.

    `density`: a Bernoulli mask, or a sequence of densities that share codes and one uniform draw a synapse; `fan_in`:
    exactly that many inputs a neuron. `rule`: "hebbian", the fixed point W = M o C (`eq-hebbian`), or "sgd", the masked
    least-squares limit (`eq-sgd`). `codes`: "thresholded", or "linear" (y = J x). `sample`: measure that many receiving
    neurons, drawn without replacement, an unbiased estimate since the rules are local; the rows of the others are never
    computed. `n_test`: number of novel odors; the familiar alignment is measured on as many of the familiar ones.
    `memory` bounds what is held at a time, in bytes; cutting a sparse Bernoulli mask into blocks changes its draws.
    BadSetting, a ValueError, names a setting out of its range.
    """
    check_settings(n_neurons, n_glomeruli, density, fan_in, n_odors, activity, odors, n_test, rule, codes)
    sample = n_neurons if sample is None else sample
    checks.whole("sample", sample, 1, n_neurons)
    check_run(seed, device)
    check_memory(n_neurons, n_glomeruli, n_odors + n_test, memory, extra=3 * n_odors if rule == "sgd" else 0)
    densities = np.atleast_1d(1.0 if density is None else np.asarray(density, float))
    world, shown, tested, left_rng, right_rng, mask_rng, sample_rng, shuffle_rng = np.random.default_rng(seed).spawn(8)

    kind = statistics(odors)
    sampler = kind.sampler(world, n_glomeruli)
    familiar, novel = tensor(sampler(shown, n_odors), device), tensor(sampler(tested, n_test), device)
    cortex = (n_neurons, n_glomeruli, activity, kind, sampler)
    receivers = np.sort(sample_rng.choice(n_neurons, sample, replace=False))
    right = draw_cortex(right_rng, *cortex, keep=receivers, device=device)
    shuffle = torch.from_numpy(shuffle_rng.permutation(n_test)).to(device)

    left, results = None, []
    wanted = {"density": float(densities.max())} if fan_in is None else {"fan_in": fan_in}
    for rows in _blocks(sample, n_neurons, n_test, len(densities), memory, **wanted):
        draws = projection.draw_synapses(mask_rng, rows.stop - rows.start, n_neurons, **wanted, device=device)
        senders = None
        if rows == slice(0, sample) and draws.layout is torch.sparse_csr and 0 < draws.values().numel() < n_neurons:
            draws, senders = projection.used_columns(draws)
        left = left or draw_cortex(left_rng, *cortex, keep=senders, device=device)
        receiving = right.rows(rows)
        weights = learn(rule, draws, densities, left, receiving, familiar, codes, memory)
        connected = torch.stack([projection.fan_in_of(draws, p) > 0 for p in densities])
        test = _measure(weights, left, receiving, novel, activity, codes, [slice(None), shuffle])
        known = _measure(weights, left, receiving, familiar[:, :n_test], activity, codes, [slice(None)])
        measured = torch.cat([test[:2], known, test[2:]])  # in the order of Alignment's fields
        results.append(torch.where(connected, measured, torch.nan).cpu().double().numpy())
    return _summary(np.concatenate(results, axis=2), np.ndim(density) > 0)


def chunks(odors: Tensor, n_neurons: int) -> tuple[Tensor, ...]:
    """Odors (n_glomeruli, n) in pieces so small that the codes of one by n_neurons stay in the cache."""
    return odors.split(int(np.clip(CACHE // (4 * n_neurons), 32, 1024)), dim=1)


def learn(
    rule: str,
    draws: Tensor,
    densities: np.ndarray,
    left: Cortex,
    right: Cortex,
    familiar: Tensor,
    codes: str,
    memory: int = MEMORY,
) -> list[Tensor]:
    """What `rule` ("hebbian" or "sgd") makes of the synapses at each density, on odors (n_glomeruli, P)."""
    pairs = ((right.encode(x, codes), left.encode(x, codes)) for x in chunks(familiar, draws.shape[1]))
    if rule == "hebbian":
        weights = projection.hebbian(draws, pairs)
        return [projection.select(draws, p, weights) for p in densities]
    y_r, y_l = (torch.cat(side, dim=1) for side in zip(*pairs, strict=True))
    return projection.least_squares(draws, densities, y_r, y_l, memory / 4)


def _blocks(
    n_rows: int, n_neurons: int, n_test: int, n_densities: int, memory: int, density=None, fan_in=None
) -> Iterator[slice]:
    """Blocks of receiving neurons whose synapses, while they are drawn, and drives fit into half of `memory`."""
    share = density if fan_in is None else fan_in / n_neurons
    synapses = n_neurons * (share if share <= projection.SPARSE else 1)
    step = max(1, int(memory / 8 / ((n_densities + 12) * synapses + 2 * n_densities * n_test)))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def _measure(
    weights: list[Tensor], left: Cortex, right: Cortex, odors: Tensor, activity: float, codes: str, labels: Sequence
) -> Tensor:
    """Drive and response alignment, (2 x number of labels, n_densities, n), of each receiving neuron.

    Once for each order in `labels` in which the odors stand on the receiving side.
    """
    parts = [[w @ code for w in weights] for code in (left.encode(x, codes) for x in chunks(odors, len(left.weights)))]
    g = torch.stack([torch.cat(part, dim=1) for part in zip(*parts, strict=True)])
    found, step = [], max(1, CACHE // (16 * odors.shape[1]))  # neurons whose intermediate results stay in the cache
    for rows in (slice(start, start + step) for start in range(0, g.shape[1], step)):
        own = right.rows(rows)
        pairs = (g[:, rows], own.drive(odors)), (response(g[:, rows], activity), own.code(odors))
        found.append(torch.stack([pearson(sent, y[:, order]) for order in labels for sent, y in pairs]))
    return torch.cat(found, dim=2)


def _summary(neurons: np.ndarray, several: bool) -> Alignment:
    """Mean and standard error over neurons of (measure, density, neuron); NaN marks a neuron without an input."""
    count = np.isfinite(neurons[0]).sum(-1)
    if not count.all():
        raise ValueError("density leaves every measured neuron without an input; choose a larger density or sample.")
    mean = np.nanmean(neurons, -1)
    error = np.sqrt(np.nansum((neurons - mean[..., None]) ** 2, -1) / np.maximum(count - 1, 1) / count)
    error[:, count == 1] = np.nan
    values = [*mean, *error]
    return Alignment(*(values if several else (float(v[0]) for v in values)))
