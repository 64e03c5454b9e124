"""What chapter 3 measures of the blocks that recall pairs: accuracy by distance, and a training done again."""

import numpy as np
import xarray as xr

from lib import checks
from lib.analysis import spread
from lib.measures import check_run
from lib.memory import recall as training
from lib.memory.block import KINDS, SIZES, TASK, Task, accuracy

EDGES = np.array([1, 2, 3, 5, 9, 13, 17, 25, 33, 49, 65, 96])  # slots ago at which a class of questions begins
N_STREAMS = 300  # fresh streams for each block
RERUN = 200  # steps that the chapter trains again
TOLERANCE = 0.05  # nats by which the loss of that training may differ from the recorded one


def recall(n_slots: int, blocks: str, *, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """Share of right answers of the trained block of each kind, on fresh streams of `n_slots` pairs.

    There are `N_MODELS` blocks of each kind; a seed asks block number seed modulo that. `blocks`: the fingerprint of
    their receipt, so that a stored result never outlives them. "accuracy": over kind and distance (tokens since the
    pair was shown); "beyond", "all": over kind, of the questions beyond the window and of all.
    """
    check_run(seed, device)
    checks.choice("blocks", blocks, [training.fingerprint()])
    task, found = Task(n_slots), []
    for kind in KINDS:
        block = training.trained(kind, seed % training.N_MODELS)[0].to(device)
        rng = training.generator(seed, training.TESTING)  # the same streams for each kind
        found.append(_classes(*accuracy(block, rng, task, N_STREAMS)))
    share, beyond, everything = zip(*found, strict=True)
    distance = 2 * np.sqrt(EDGES[:-1] * (EDGES[1:] - 1)) - 1
    variables = {"accuracy": (("kind", "distance"), np.array(share)), "beyond": ("kind", list(beyond))}
    return xr.Dataset(variables | {"all": ("kind", list(everything))}, {"kind": list(KINDS), "distance": distance})


def _classes(share: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Accuracy in the classes of `EDGES`, beyond the window and over all, from that at each number of slots."""
    right, slots = np.nan_to_num(share) * asked, np.arange(1, len(asked) + 1)
    place = np.digitize(slots, EDGES) - 1
    n = np.bincount(place, asked, len(EDGES) - 1)
    by_class = np.where(n > 0, np.bincount(place, right, len(EDGES) - 1) / np.maximum(n, 1), np.nan)
    far = 2 * slots - 1 >= SIZES.window
    return by_class, float(right[far].sum() / max(1, asked[far].sum())), float(right.sum() / asked.sum())


def gains(found: xr.Dataset) -> dict[str, np.ndarray]:
    """The quantities of claim B3 from a sweep of `recall` at one length, one value a block."""
    beyond, everything = (_by_block(found[name]) for name in ("beyond", "all"))
    return {
        "recall beyond the window, memory and attention less attention alone": beyond["both"] - beyond["attention"],
        "recall of all pairs, memory and attention less memory alone": everything["both"] - everything["memory"],
    }


def _by_block(values: xr.DataArray) -> dict[str, np.ndarray]:
    """For each kind one value a block from one a seed: seeds that asked the same block are no further evidence."""
    means = values.groupby(values.seed % training.N_MODELS).mean()
    return {kind: means.sel(kind=kind).values for kind in KINDS}


def writing(kind: str = "both") -> tuple[float, float]:
    """The step theta that the trained memories of a kind choose, at key and at value tokens: mean over blocks."""
    found = []
    for seed in range(training.N_MODELS):
        block = training.trained(kind, seed)[0]
        theta = (block.embedding @ block.gates[0] + block.opening[0]).sigmoid().detach().numpy()
        found.append([theta[: TASK.n_keys].mean(), theta[TASK.n_keys :].mean()])
    return tuple(np.mean(found, axis=0).tolist())


def retrained(kind: str = "both", seed: int = 0, n_steps: int = RERUN) -> np.ndarray:
    """The losses of the first `n_steps` of a recorded training, done again."""
    return training.train(kind, seed, stop=n_steps)[1]


def difference(losses: np.ndarray, kind: str = "both", seed: int = 0) -> float:
    """Largest distance of `retrained` losses from the recorded ones, in nats."""
    recorded = training.trained(kind, seed)[1]
    return float(np.abs(losses - recorded[: len(losses)]).max())


def recall_curves(found: xr.Dataset, losses: np.ndarray) -> xr.Dataset:
    """A sweep of `recall`: a variable for each kind, beside the recorded losses and those of a training done again."""
    curves = spread(found.accuracy.to_dataset("kind"), *KINDS)
    recorded = np.array([[training.trained(kind, seed)[1] for seed in range(training.N_MODELS)] for kind in KINDS])
    step = training.LOGGED * np.arange(1, recorded.shape[-1] + 1)
    recorded = xr.DataArray(recorded, dims=("kind", "seed", "step"), coords={"kind": list(KINDS), "step": step})
    recorded = recorded[..., _spaced(len(step))].to_dataset("kind").rename({kind: f"loss_{kind}" for kind in KINDS})
    again = xr.DataArray(losses, dims="rerun", coords={"rerun": step[: len(losses)]})
    reach = SIZES.window, 1 / TASK.n_values  # right inside the window, a guess beyond
    window = {"window_at": ("edge", [1.0, reach[0], reach[0], float(curves.distance.max())])}
    window["window"] = ("edge", [1.0, 1.0, reach[1], reach[1]])
    return curves.assign(spread(recorded, *recorded)).assign(again=again, **window)


def _spaced(n: int) -> np.ndarray:
    """Some of n positions, as dense as a logarithmic axis can show."""
    return np.unique(np.geomspace(1, n, 24).round().astype(int)) - 1
