"""How alignment is measured, and which settings an experiment may have."""

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
    return torch.where(norm > 0, (x * y).sum(-1) / norm.clamp_min(torch.finfo(norm.dtype).tiny), 0)


def response(drive: Tensor, activity: float) -> Tensor:
    """Contralateral code z = relu(g - its own 1 - activity quantile) for drive g (..., n_odors)."""
    return torch.relu(drive - top_share(drive, activity))


def check_settings(
    n_neurons, n_glomeruli, density, fan_in, n_odors, activity, odors, n_test=2, rule="hebbian", codes="thresholded"
) -> None:
    """ValueError with one sentence for the first setting that is out of its range."""
    checks.whole("n_neurons", n_neurons, 1)
    checks.whole("n_glomeruli", n_glomeruli, 1)
    checks.whole("n_odors", n_odors, 2)
    checks.whole("n_test", n_test, 2)
    checks.number("activity", activity, 0, 0.5, open_low=True)
    checks.choice("rule", rule, ("hebbian", "sgd"))
    checks.choice("codes", codes, ("thresholded", "linear"))
    statistics(odors)
    if (density is None) == (fan_in is None):
        raise checks.BadSetting(
            "Give one of density (0 < density <= 1) and fan_in (1 <= fan_in <= n_neurons), not both."
        )
    if fan_in is None:
        checks.number("density", density, 0, 1, open_low=True)
    else:
        checks.whole("fan_in", fan_in, 1, n_neurons)


def check_memory(n_neurons: int, n_glomeruli: int, n_odors: int, memory: int = MEMORY) -> None:
    """ValueError if two cortices and their odors do not fit into `memory` bytes."""
    needed = 4 * (2 * n_neurons * (n_glomeruli + 32) + n_glomeruli * n_odors)
    if needed > memory:
        raise checks.BadSetting(
            f"n_neurons = {n_neurons} with n_glomeruli = {n_glomeruli} and n_odors = {n_odors} takes about "
            f"{needed / 2**30:.1f} GiB, more than the {memory / 2**30:.1f} GiB allowed; choose a smaller network, "
            "or give more memory."
        )
