"""How alignment is measured, and which settings an experiment may have."""

import numpy as np
import torch
from torch import Tensor

from lib import checks
from lib.cortex import top_share
from lib.odors import statistics

MEMORY = 2**31  # bytes that one experiment may take


def pearson(x: Tensor, y: Tensor) -> Tensor:
    """Correlation over odors of x and y (..., n_odors), whose other dimensions broadcast; 0 where one is constant."""
    x, y = (v - v.mean(-1, keepdim=True) for v in (x, y))
    norm = x.norm(dim=-1) * y.norm(dim=-1)
    return torch.where(norm == 0, 0, (x * y).sum(-1) / norm)


def response(drive: Tensor, activity: float) -> Tensor:
    """Contralateral code z = relu(g - its own 1 - activity quantile) for drive g (..., n_odors)."""
    return torch.relu(drive - top_share(drive, activity))


def check_settings(
    n_neurons, n_glomeruli, density, fan_in, n_odors, activity, odors, n_test=400, rule="hebbian", codes="thresholded"
) -> None:
    """BadSetting with one sentence for the first setting that is out of its range."""
    checks.whole("n_neurons", n_neurons, 1)
    checks.whole("n_glomeruli", n_glomeruli, 1)
    checks.whole("n_odors", n_odors, 2)
    checks.whole("n_test", n_test, 2)
    checks.scalar("activity", activity, 0, 0.5, open_low=True)
    for name, n in (("n_test", n_test), ("n_odors", n_odors)):
        if round(activity * n) < 1:
            raise checks.BadSetting(
                f"{name} must be at least {0.5 / activity:.0f}, so that some odor drives a neuron, not {n}."
            )
    checks.choice("rule", rule, ("hebbian", "sgd"))
    checks.choice("codes", codes, ("thresholded", "linear"))
    statistics(odors)
    if (density is None) == (fan_in is None):
        raise checks.BadSetting(
            "Give one of density (0 < density <= 1) and fan_in (1 <= fan_in <= n_neurons), not both."
        )
    if fan_in is None:
        checks.number("density", density, 0, 1, open_low=True)
        if np.ndim(density) > 1:
            raise checks.BadSetting("density must be a number or a sequence of numbers, not a table.")
    else:
        checks.whole("fan_in", fan_in, 1, n_neurons)


def check_run(seed, device: str) -> None:
    """BadSetting for a seed that numpy does not take, or a device that torch does not see."""
    checks.whole("seed", seed, 0)
    checks.choice("device", str(device).partition(":")[0], ("cpu", "cuda"))
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise checks.BadSetting(f"device must be one that torch sees, and it sees no CUDA device, not {device!r}.")


def largest_network(n_glomeruli: int, n_odors: int, memory: int = MEMORY, extra: int = 0) -> int:
    """Most neurons a side of which two cortices, a chunk of codes, and the odors fit into `memory` bytes.

    `extra`: numbers kept for each neuron beside these.
    """
    return int((memory / 4 - n_glomeruli * n_odors) / (2 * (n_glomeruli + 32) + extra))


def check_memory(n_neurons: int, n_glomeruli: int, n_odors: int, memory: int = MEMORY, extra: int = 0) -> None:
    """BadSetting if two cortices and their odors do not fit into `memory` bytes (see `largest_network`)."""
    checks.number("memory", memory, 2**20)
    largest = largest_network(n_glomeruli, n_odors, memory, extra)
    if largest < 1:
        raise checks.BadSetting(
            f"n_odors = {n_odors} with n_glomeruli = {n_glomeruli} does not fit into {memory / 2**30:.1f} GiB; "
            "choose fewer odors."
        )
    checks.whole("n_neurons", n_neurons, 1, largest)
