"""The Titans memory: a matrix that learns pairs of keys and values as they pass (`eq-titans`).

`loop` is the definition, one pair after the other. `chunked` gives the same numbers from a few matrix products a chunk:
inside a chunk every memory is a known combination of the chunk's errors, so that the errors solve one triangular
system. That is the idea of the WY form of a product of reflections; it is exact at any chunk, and differentiable.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class State:
    """What the memory carries from one pair to the next, both (..., n_values, n_keys)."""

    memory: Tensor  # M
    surprise: Tensor  # S, the momentum of its changes


@dataclass(frozen=True)
class Gates:
    """How a pair changes the memory; each a number or a tensor (..., n_pairs), one a pair (`eq-titans`)."""

    theta: float | Tensor  # step along the gradient of |M k - v|^2
    eta: float | Tensor = 0.0  # share of the last surprise that is kept: momentum
    alpha: float | Tensor = 0.0  # share of the memory that is lost: forgetting
    predict: bool = True  # whether the error v - M k is learned, or v itself

    def along(self, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """theta, eta and alpha, each (..., n_pairs), for keys (..., n_pairs, n_keys)."""
        values = (torch.as_tensor(g, dtype=keys.dtype, device=keys.device) for g in (self.theta, self.eta, self.alpha))
        return tuple(value.expand(keys.shape[:-1]) for value in values)


def rule(name: str, step: float, forgetting: float = 0.0, momentum: float = 0.0) -> Gates:
    """The gates that turn the memory into one of `RULES`; `step` is what a pair adds in the long run, 2 theta.

    With momentum a surprise is felt 1 / (1 - momentum) times, so theta shrinks by that.
    """
    predict, forgets, carries = RULES[name]
    eta = momentum * carries
    return Gates(step * (1 - eta) / 2, eta, forgetting * forgets, predict)


RULES = {  # name: whether it predicts, forgets, has momentum
    "linear attention": (False, False, False),
    "linear attention with decay": (False, True, False),
    "delta rule": (True, False, False),
    "gated delta rule": (True, True, False),
    "Titans": (True, True, True),
}


def start(keys: Tensor, values: Tensor) -> State:
    """The empty memory for keys (..., n_pairs, n_keys) and values (..., n_pairs, n_values)."""
    empty = values.new_zeros(*values.shape[:-2], values.shape[-1], keys.shape[-1])
    return State(empty, empty)


def loop(keys: Tensor, values: Tensor, gates: Gates, queries: Tensor | None = None, state: State | None = None):
    """One pair after the other: what each query reads right after its pair, (..., n_pairs, n_values), and the state.

    S <- eta S + 2 theta (v - M k) k^T, then M <- (1 - alpha) M + S, then read M q (`eq-titans`); reads is None without
    `queries`. Shapes as in `start`, queries like keys. Source: `behrouz2024titans`.
    """
    state = state or start(keys, values)
    memory, surprise = state.memory, state.surprise
    theta, eta, alpha = (gate[..., None, None] for gate in gates.along(keys))
    reads = []
    for t in range(keys.shape[-2]):
        key, value = keys[..., t, :, None], values[..., t, :, None]
        error = value - memory @ key if gates.predict else value
        surprise = eta[..., t, :, :] * surprise + 2 * theta[..., t, :, :] * error @ key.mT
        memory = (1 - alpha[..., t, :, :]) * memory + surprise
        if queries is not None:
            reads.append((memory @ queries[..., t, :, None])[..., 0])
    return torch.stack(reads, dim=-2) if reads else None, State(memory, surprise)


def chunked(
    keys: Tensor,
    values: Tensor,
    gates: Gates,
    queries: Tensor | None = None,
    state: State | None = None,
    chunk: int = 64,
):
    """The same as `loop`, `chunk` pairs at a time and exactly (`eq-titans-chunk`)."""
    state, reads = state or start(keys, values), []
    along = [gate.split(chunk, dim=-1) for gate in gates.along(keys)]
    pieces = [x.split(chunk, dim=-2) for x in (keys, values, keys if queries is None else queries)]
    for k, v, q, *rates in zip(*pieces, *along, strict=True):
        read, state = _chunk(k, v, None if queries is None else q, Gates(*rates, gates.predict), state)
        reads.append(read)
    return None if queries is None else torch.cat(reads, dim=-2), state


def _chunk(keys: Tensor, values: Tensor, queries: Tensor | None, gates: Gates, state: State):
    """One chunk: coefficients of the initial state and of the errors in every memory, the errors, what is read."""
    theta, eta, alpha = gates.along(keys)
    kept, carried = surviving(1 - alpha), surviving(eta)
    from_memory = kept[..., 0]  # M_t = from_memory M_0 + from_surprise S_0 + sum_j mixed_tj e_j k_j^T, t = 0, 1, ...
    shown = kept[..., 1:]
    from_surprise = (shown @ carried[..., 1:, :1])[..., 0]
    mixed = shown @ carried[..., 1:, 1:] * (2 * theta)[..., None, :]
    errors = values
    if gates.predict:
        known = _recalled(state, keys, from_memory[..., :-1], from_surprise[..., :-1])
        between = torch.tril(mixed[..., :-1, :] * (keys @ keys.mT), -1)
        errors = torch.linalg.solve_triangular(between, values - known, upper=False, unitriangular=True)
    reads = None
    if queries is not None:
        known = _recalled(state, queries, from_memory[..., 1:], from_surprise[..., 1:])
        reads = known + (mixed[..., 1:, :] * (queries @ keys.mT)) @ errors
    first, last = carried[..., -1, :1, None], carried[..., -1, 1:] * 2 * theta
    surprise = first * state.surprise + (errors * last[..., None]).mT @ keys
    memory = from_memory[..., -1, None, None] * state.memory + from_surprise[..., -1, None, None] * state.surprise
    return reads, State(memory + (errors * mixed[..., -1, :, None]).mT @ keys, surprise)


def _recalled(state: State, asked: Tensor, from_memory: Tensor, from_surprise: Tensor) -> Tensor:
    """What the state at the chunk's start contributes to each answer, (..., n_pairs, n_values)."""
    both = asked @ state.memory.mT, asked @ state.surprise.mT
    return from_memory[..., None] * both[0] + from_surprise[..., None] * both[1]


def surviving(factors: Tensor) -> Tensor:
    """Products of `factors` (..., n) over the steps after j up to t: (..., n + 1, n + 1), zero where t < j.

    Multiplied out, not divided, so that a factor of 0 is allowed.
    """
    n = factors.shape[-1] + 1
    steps = torch.arange(n, device=factors.device)
    after = torch.nn.functional.pad(factors, (1, 0), value=1.0)[..., :, None]
    return torch.where(steps[:, None] > steps, after, 1.0).cumprod(-2).tril()


def expected_recall(n_keys: float, n_pairs: int, step: float = 1.0, forgetting: float = 0.0, predict: bool = True):
    """Correlation of what the memory answers with the value it was shown, for random unit keys (`eq-titans-recall`).

    (n_pairs,), the pair stored last first. `n_keys`: dimensions of a key; every pair passed once, with 2 theta = `step`
    and no momentum.
    """
    d, kept, learned = n_keys, 1 - forgetting, step if predict else 0.0
    (signal, power), size = np.zeros((2, n_pairs)), 0.0  # of each answer, of the whole memory, in units of |v|^2
    for t in range(n_pairs):
        again = 2 * learned**2 / (d * (d + 2))
        power[:t] = power[:t] * (kept**2 - 2 * kept * learned / d + again) + again * size / 2 + step**2 / d
        signal[:t] *= kept - learned / d
        signal[t], power[t] = step, (kept - learned) ** 2 * size / d + step**2
        size = size * (kept**2 - 2 * kept * learned / d + learned**2 / d) + step**2
    return (signal / np.sqrt(power))[::-1]


def expected_limit(n_keys, n_pairs):
    """The same after endless passes of the delta rule: sqrt(min(1, n_keys / n_pairs)) (`eq-titans-limit`)."""
    return np.sqrt(np.minimum(1, n_keys / n_pairs))
