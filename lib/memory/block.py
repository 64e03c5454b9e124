"""Recall of pairs in a stream: the task, and one small Transformer block that attends, remembers, or does both.

The task follows multi-query associative recall (`arora2023zoology`): pairs of a key token and a value token pass, some
keys come again, and there the value has to be named. A pair may have passed long before the window of attention.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lib import checks
from lib.memory import titans

KINDS = ("attention", "memory", "both")


@dataclass(frozen=True)
class Task:
    """Sizes of a stream."""

    n_slots: int = 48  # pairs of tokens in a stream
    n_keys: int = 96  # key tokens there are
    n_values: int = 16  # value tokens there are, so that a guess is right once in 16
    asked: float = 0.5  # share of slots whose key has passed before

    def __post_init__(self) -> None:
        checks.whole("n_keys", self.n_keys, 2)
        checks.whole("n_slots", self.n_slots, 2, self.n_keys)  # a stream of new keys alone must not run out
        checks.whole("n_values", self.n_values, 2)
        checks.scalar("asked", self.asked, 0, 1, open_low=True)


@dataclass(frozen=True)
class Sizes:
    """Sizes of the block: the window holds as many pairs as the memory's keys have dimensions."""

    width: int = 32  # of a token's vector and of a stored value
    n_key: int = 8  # dimensions of keys and queries
    window: int = 16  # tokens that attention sees, the present one included


TASK, SIZES = Task(), Sizes()  # those of the blocks that ship with the book


def streams(rng: np.random.Generator, n_streams: int, task: Task) -> tuple[Tensor, Tensor]:
    """Tokens (n_streams, 2 n_slots), key then value, and for each slot how many tokens ago its pair was shown, or 0.

    A slot asks with probability `asked` for the key of an earlier slot, log-uniformly many slots ago, and then shows
    its value again; else it shows a new pair. Values are numbered after the keys.
    """
    order = rng.permuted(np.tile(np.arange(task.n_keys), (n_streams, 1)), axis=1)
    values = rng.integers(task.n_values, size=(n_streams, task.n_keys))
    every = np.arange(n_streams)
    used, last = np.zeros(n_streams, int), np.zeros((n_streams, task.n_keys), int)
    keys, distance = (np.zeros((n_streams, task.n_slots), int) for _ in range(2))
    for slot in range(task.n_slots):
        asks = (rng.random(n_streams) < task.asked) & (slot > 0)
        lag = np.floor((slot + 1) ** rng.random(n_streams)).astype(int).clip(1, max(slot, 1))
        keys[:, slot] = np.where(asks, keys[every, slot - lag], order[every, used])
        distance[:, slot] = np.where(asks, 2 * (slot - last[every, keys[:, slot]]) - 1, 0)
        last[every, keys[:, slot]] = slot
        used += ~asks
    tokens = np.stack([keys, task.n_keys + np.take_along_axis(values, keys, 1)], axis=2)
    return torch.from_numpy(tokens.reshape(n_streams, -1)), torch.from_numpy(distance)


class Block(nn.Module):
    """One block that names the value of a key token: `kind` says what mixes the tokens.

    Queries and values come from a token, keys from the token before it, so that a value is stored under its key.
    Attention (a softmax over the window, with a sink for "nothing here") and the memory share them; with both, what
    they return is added. The memory's gates theta, eta and alpha are sigmoids of the token (`eq-titans`).
    """

    def __init__(self, kind: str, rng: np.random.Generator, task: Task = TASK, sizes: Sizes = SIZES):
        super().__init__()
        checks.choice("kind", kind, KINDS)
        self.kind, self.window, width = kind, sizes.window, sizes.width
        self.embedding = _drawn(rng, task.n_keys + task.n_values, width, scale=1.0)
        self.query, self.key = _drawn(rng, sizes.n_key, width), _drawn(rng, sizes.n_key, width)
        self.value, self.out = _drawn(rng, width, width), _drawn(rng, width, width)
        self.head = _drawn(rng, task.n_values, width)
        if kind != "memory":
            self.sharpness = nn.Parameter(torch.tensor([2.0, 0.0]))  # log of the softmax's scale, the sink's score
        if kind != "attention":
            self.gates = _drawn(rng, 3, width)
            self.opening = nn.Parameter(torch.tensor([0.0, -2.0, -4.0]))  # theta one half, little eta and alpha

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the value tokens after each token: (n_streams, n_tokens, n_values)."""
        x = functional.embedding(tokens, self.embedding)
        before = functional.pad(x, (0, 0, 1, 0))[:, :-1]
        queries, keys = (functional.normalize(y @ w.mT, dim=-1) for y, w in ((x, self.query), (before, self.key)))
        values, mixed = x @ self.value.mT, 0.0
        if self.kind != "memory":
            mixed = mixed + self._attend(queries, keys, values)
        if self.kind != "attention":
            gates = torch.sigmoid(x @ self.gates.mT + self.opening).unbind(-1)
            mixed = mixed + titans.chunked(keys, values, titans.Gates(*gates), queries, chunk=32)[0]
        return functional.rms_norm(x + mixed @ self.out.mT, x.shape[-1:]) @ self.head.mT

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        position = torch.arange(keys.shape[1], device=keys.device)
        age = position[:, None] - position
        scores = self.sharpness[0].exp() * queries @ keys.mT
        scores = scores.masked_fill((age < 0) | (age >= self.window), -torch.inf)
        sink = self.sharpness[1].expand(*scores.shape[:-1], 1)
        return torch.softmax(torch.cat([scores, sink], dim=-1), dim=-1)[..., :-1] @ values


def _drawn(rng: np.random.Generator, n_out: int, n_in: int, scale: float | None = None) -> nn.Parameter:
    scale = n_in**-0.5 if scale is None else scale
    return nn.Parameter(torch.from_numpy(scale * rng.standard_normal((n_out, n_in), dtype=np.float32)))


def answers(block: Block, tokens: Tensor, distance: Tensor, n_keys: int) -> tuple[Tensor, Tensor]:
    """Scores (n_asked, n_values) and right values (n_asked,) at every slot that asks."""
    asked = distance > 0
    return block(tokens)[:, ::2][asked], (tokens[:, 1::2] - n_keys)[asked]


def accuracy(block: Block, rng: np.random.Generator, task: Task = TASK, n_streams: int = 200):
    """Share of right answers to questions 1, 3, 5, ... tokens after their pair, and their number: (n_slots - 1,) each.

    NaN where nothing was asked.
    """
    tokens, distance = streams(rng, n_streams, task)
    device = block.embedding.device
    with torch.no_grad():
        scores, values = answers(block, tokens.to(device), distance.to(device), task.n_keys)
    right = (scores.argmax(-1) == values).cpu().numpy()
    place = (distance[distance > 0].numpy() - 1) // 2
    asked = np.bincount(place, minlength=task.n_slots - 1)
    return np.where(asked > 0, np.bincount(place, right, task.n_slots - 1) / np.maximum(asked, 1), np.nan), asked
