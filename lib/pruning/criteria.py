"""Which weights go: settings, scores, and exact choices of the smallest."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lib import checks

METHODS = ("magnitude", "wanda", "sparsegpt", "random")
CALIBRATED = ("wanda", "sparsegpt")  # the methods that look at the inputs of a layer
SCOPES = ("row", "layer", "global")
AT_ONCE = 2**20  # scores that are looked at together, which bounds what the choice takes beside them
SPARSITY = 0.5  # where neither a sparsity nor a pattern is given


@dataclass(frozen=True)
class Settings:
    """What to prune, and how; BadSetting where the settings are out of range or contradict each other.

    `pattern` "2:4" keeps at most 2 weights of every 4 consecutive inputs of a row, and sets the sparsity to 1 - 2/4.
    `scope` is the set of weights that compete: a row (the weights of one output), a layer (one matrix), or all
    matrices of all blocks. A set of n weights loses exactly round(sparsity n) of them (Python's round: a half goes
    to the even number).
    """

    method: str = "magnitude"
    sparsity: float | None = None  # share of weights that go; .5 without a pattern
    pattern: str | None = None
    scope: str = "row"
    seed: int = 0  # of the control "random"

    def __post_init__(self) -> None:
        checks.choice("method", self.method, METHODS)
        checks.choice("scope", self.scope, SCOPES)
        checks.whole("seed", self.seed, 0)
        sparsity = SPARSITY if self.sparsity is None else self.sparsity
        checks.scalar("sparsity", sparsity, 0, 1)
        if self.pattern is not None:
            kept, group = _parts(self.pattern)
            if self.sparsity not in (None, 1 - kept / group):
                raise checks.BadSetting(
                    f"sparsity must be {1 - kept / group:g}, which the pattern {self.pattern} sets, or be left out, "
                    f"not {self.sparsity!r}."
                )
            if self.scope != "row":
                raise checks.BadSetting(
                    f"scope must be left out beside a pattern, whose groups compete by themselves, not {self.scope!r}."
                )
            sparsity = 1 - kept / group
        object.__setattr__(self, "sparsity", float(sparsity))
        object.__setattr__(self, "seed", int(self.seed))
        if self.scope == "global" and self.method in CALIBRATED:
            raise checks.BadSetting(
                f"scope must be 'row' or 'layer' with {self.method!r}, which scores a block behind the blocks that "
                "are already pruned, so that all scores are never known at once; 'global' needs 'magnitude'."
            )

    @property
    def group(self) -> tuple[int, int] | None:
        """(kept, consecutive inputs) of the pattern."""
        return None if self.pattern is None else _parts(self.pattern)


def _parts(pattern: str) -> tuple[int, int]:
    kept, _, group = pattern.partition(":") if isinstance(pattern, str) else ("", "", "")
    if not (kept.isdecimal() and group.isdecimal() and 0 < int(kept) < int(group)):
        raise checks.BadSetting(
            f"pattern must be 'N:M' with 0 < N < M, of which N of M consecutive weights stay, not {pattern!r}."
        )
    return int(kept), int(group)


def smallest(scores: Tensor, count: int) -> Tensor:
    """Where the `count` smallest scores (n,) or (rows, n) of each row lie, as booleans; of equal ones the first."""
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    rows = max(1, AT_ONCE // scores.shape[-1])
    if scores.dim() == 2 and len(scores) > rows:
        return torch.cat([smallest(some, count) for some in scores.split(rows)])
    threshold = scores.kthvalue(count, dim=-1, keepdim=True).values
    chosen, tied = scores < threshold, scores == threshold
    missing = count - chosen.sum(-1, keepdim=True)
    crowded = (tied.sum(-1, keepdim=True) > missing).squeeze(-1)  # rows with more equals than places
    tied[crowded] &= tied[crowded].cumsum(-1, dtype=torch.int32) <= missing[crowded]
    return chosen | tied


def choose(scores: Tensor, settings: Settings, count: int | None = None) -> Tensor:
    """Which weights go, as booleans, for scores (outputs, inputs); `count` is that of a whole layer, where it is set.

    BadSetting where the inputs do not divide into the groups of a pattern.
    """
    rows, n = scores.shape
    if settings.group:
        kept, group = settings.group
        check_group(n, settings)
        return smallest(scores.reshape(-1, group), group - kept).reshape(rows, n)
    if settings.scope == "row":
        return smallest(scores, round(settings.sparsity * n))
    count = round(settings.sparsity * scores.numel()) if count is None else count
    return smallest(scores.flatten(), count).reshape(rows, n)


def check_group(n_inputs: int, settings: Settings) -> None:
    """BadSetting unless `n_inputs` divide into the groups of the pattern."""
    if settings.group and n_inputs % settings.group[1]:
        raise checks.BadSetting(
            f"pattern must have an M that divides the {n_inputs} inputs of every layer, not {settings.pattern!r}."
        )


def magnitude(weight: Tensor) -> Tensor:
    """|w| in float32."""
    return weight.float().abs()


def wanda(weight: Tensor, norms: Tensor) -> Tensor:
    """|w| times the norm of its input over the calibration, (outputs, inputs), float32 (`eq-wanda`; sun2024wanda)."""
    return magnitude(weight) * norms.float()


def random(weight: Tensor, seed: int, *place: int) -> Tensor:
    """Uniform scores of a weight's shape from the generator at `place` (block, layer) below `seed`: the control."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))
    return torch.from_numpy(rng.random(weight.shape, dtype=np.float32)).to(weight.device)


def global_counts(scores: Callable[[], Iterable[tuple[str, Tensor]]], sparsity: float) -> dict[str, int]:
    """How many weights each layer loses when all layers' weights compete; of equal ones the first layers' go.

    `scores` gives the name and the scores (float32, not negative) of one layer after the other, and is asked four
    times, so that no two layers are ever held at once: such a number's bits, read as an integer, keep its order, so
    that the threshold is found exactly by counting the upper, then the lower half of the bits.
    """

    def bits() -> Iterable[tuple[str, Tensor]]:
        return ((name, each.flatten().view(torch.int32)) for name, each in scores())

    count = round(sparsity * sum(each.numel() for _, each in scores()))
    if count == 0:
        return {name: 0 for name, _ in scores()}
    upper = sum(torch.bincount(each >> 16, minlength=2**15).cpu() for _, each in bits())
    high, rest = _cell(upper, count)
    lower = sum(torch.bincount(each[each >> 16 == high] & 0xFFFF, minlength=2**16).cpu() for _, each in bits())
    low, rest = _cell(lower, rest)
    threshold, counts = high << 16 | low, {}
    for name, each in bits():
        tied = min(rest, int((each == threshold).sum()))
        counts[name] = int((each < threshold).sum()) + tied
        rest -= tied
    return counts


def _cell(histogram: Tensor, count: int) -> tuple[int, int]:
    """The cell that holds the count-th smallest, and which of that cell it is."""
    cell = int(torch.searchsorted(histogram.cumsum(0), count))
    return cell, count - int(histogram[:cell].sum())
