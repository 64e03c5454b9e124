"""What chapter 3 measures of Hopfield networks: recall of a corrupted pattern, and how many patterns are kept."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from lib import checks
from lib.analysis import falls_through, spread
from lib.cortex import draw_cortex, tensor
from lib.measures import pearson
from lib.memory import hopfield
from lib.odors import Gaussian

SHAPE = (12, 16)  # of a picture, in neurons
GLYPHS = {  # six rows of eight pixels, a byte a row
    "A": "183c667e6666", "E": "7e607c60607e", "H": "66667e666666", "L": "60606060607e",
    "O": "3c666666663c", "T": "7e1818181818", "X": "663c18183c66", "Z": "7e0c1830607e",
}  # fmt: skip
SWEEPS = 3  # updates of every neuron that the recall figure shows
LOADS = np.geomspace(0.02, 16, 15).round(3)
FINE = np.geomspace(0.02, 16, 61)  # loads at which a closed form is drawn
TRIED = 60  # stored patterns whose stability is measured
CRITERIA = {"every bit": 0.0, "98 % of the bits": 0.02}


def glyphs() -> torch.Tensor:
    """Eight letters as bits, (8, 192)."""
    rows = np.array([list(bytes.fromhex(text)) for text in GLYPHS.values()], np.uint8)
    pixels = np.unpackbits(rows[..., None], axis=2).repeat(2, axis=1).repeat(2, axis=2)
    return tensor(pixels.reshape(len(rows), -1))


def stored_patterns(patterns: str, n_stored: int, rng: np.random.Generator) -> torch.Tensor:
    """The patterns of the recall figure as bits, (n_stored, 192).

    "glyphs": letters, and beyond them random patterns with as many active neurons as the letters have on average.
    "odors": which neurons of a cortex of 50 glomeruli at activity .1 answer to random odors.
    """
    checks.choice("patterns", patterns, ("glyphs", "odors"))
    checks.whole("n_stored", n_stored, 1)
    n = SHAPE[0] * SHAPE[1]
    if patterns == "glyphs":
        letters = glyphs()
        more = hopfield.draw_patterns(rng, max(0, n_stored - len(letters)), n, float(letters.mean()))
        return torch.cat([letters, more])[:n_stored]
    sampler = Gaussian().sampler(rng, 50)
    cortex = draw_cortex(rng, n, 50, 0.1, Gaussian(), sampler)
    odors = np.concatenate([sampler(rng, 1) for _ in range(n_stored)], axis=1)  # the first the same whatever follows
    return (cortex.code(tensor(odors)) > 0).float().T


def moved(bits: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    """One pattern (n,) of which that share of the active neurons falls silent while as many others fire."""
    active, silent = (np.flatnonzero(bits.numpy() == value) for value in (1, 0))
    n = min(round(share * len(active)), len(silent))
    cue = bits.clone()
    cue[rng.choice(active, n, replace=False)] = 0
    cue[rng.choice(silent, n, replace=False)] = 1
    return cue


def recall(patterns: str, network: str, n_stored: int, corruption: float, seed: int = 0) -> xr.Dataset:
    """The first stored pattern recalled from a corrupted one: `state` over (step, row, column), `stored`, overlaps.

    The overlap is the correlation over neurons of the state with the pattern that was corrupted, `own`, and with the
    most similar of all others, `other`. A step is a sweep over all neurons. An xarray.Dataset.
    """
    checks.choice("network", network, hopfield.KINDS)
    checks.scalar("corruption", corruption, 0, 1)
    drawn, spoiled, order = np.random.default_rng(seed).spawn(3)
    bits = stored_patterns(patterns, n_stored, drawn)
    net = hopfield.KINDS[network].store(bits)
    states = [net.encode(moved(bits[0], corruption, spoiled)[None])]
    for _ in range(SWEEPS):
        states.append(net.sweep(order, states[-1]))
    seen = net.decode(torch.cat(states))
    overlap = pearson(seen[:, None], bits[None])  # (step, pattern)
    other = overlap[:, 1:].amax(1) if n_stored > 1 else torch.full((len(seen),), torch.nan)
    picture = ("row", "column")
    return xr.Dataset(
        {
            "state": (("step", *picture), seen.numpy().reshape(-1, *SHAPE)[:, ::-1]),
            "stored": (picture, bits[0].numpy().reshape(SHAPE)[::-1]),
            "own": ("step", overlap[:, 0].numpy()),
            "other": ("step", other.numpy()),
        },
        coords={"step": np.arange(SWEEPS + 1)}
        | {name: np.arange(1, n + 1) for name, n in zip(picture, SHAPE, strict=True)},
    )


def recall_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `recall` with one seed; the stored pattern depends on the kind of patterns alone."""
    found = found.isel(seed=0, drop=True)
    return found.assign(stored=found.stored.isel(network=0, n_stored=0, corruption=0, drop=True))


def capacity(n_neurons: int, cue: Sequence[float], *, activity: float = 0.1, load=LOADS, seed: int = 0) -> xr.Dataset:
    """Which stored random patterns are fixed points, by load P / N, and what the classic network makes of a cue.

    "share" (kind, criterion, load) of `TRIED` patterns that one step of all neurons leaves as they are, in every bit or
    in 98 % of them; "one_step" (cue, load): overlap with the pattern after one step from a state of overlap `cue`;
    "settled" (load): after ten sweeps from the pattern itself. The sparse network's patterns have the activity given.
    """
    checks.whole("n_neurons", n_neurons, 20)
    checks.number("cue", cue, 0, 1)
    rngs = dict(zip(hopfield.KINDS, np.random.default_rng(seed).spawn(len(hopfield.KINDS)), strict=True))
    share = np.full((len(hopfield.KINDS), len(CRITERIA), len(load)), np.nan)
    one_step, settled = np.full((len(cue), len(load)), np.nan), np.full(len(load), np.nan)
    for i, (kind, rng) in enumerate(rngs.items()):
        for j, alpha in enumerate(load):
            n_patterns = max(1, round(alpha * n_neurons))
            bits = hopfield.draw_patterns(rng, n_patterns, n_neurons, activity if kind == "sparse" else 0.5)
            net = hopfield.KINDS[kind].store(bits)
            wrong = hopfield.wrong_bits(net, bits[:TRIED]).numpy()
            share[i, :, j] = [(wrong <= allowed * n_neurons).mean() for allowed in CRITERIA.values()]
            if kind == "classic":
                one_step[:, j], settled[j] = _cued(net, net.encode(bits[:TRIED]), cue, rng)
    return xr.Dataset(
        {
            "share": (("kind", "criterion", "load"), share),
            "one_step": (("cue", "load"), one_step),
            "settled": ("load", settled),
        },
        coords={"kind": list(hopfield.KINDS), "criterion": list(CRITERIA), "cue": list(cue), "load": np.asarray(load)},
    )


def _cued(net, patterns: torch.Tensor, cues: Sequence[float], rng: np.random.Generator) -> tuple[list[float], float]:
    """Mean overlap with the patterns after one step from each cue, and after ten sweeps from the patterns."""
    rank = torch.from_numpy(rng.random(patterns.shape).argsort(axis=1).argsort(axis=1))  # one order serves all cues
    flipped = (torch.where(rank < round((1 - cue) / 2 * patterns.shape[1]), -patterns, patterns) for cue in cues)
    after = [float((net.step(states) * patterns).mean()) for states in flipped]
    states = patterns
    for _ in range(10):
        states = net.sweep(rng, states)
    return after, float((states * patterns).mean())


def held_patterns(found: xr.Dataset) -> xr.DataArray:
    """How many patterns a network holds: as many as it can store with half of them stable; NaN if always more."""
    return falls_through(found.share, 0.5, "load") * found.n_neurons


def capacity_curves(found: xr.Dataset, activity: float = 0.1) -> xr.Dataset:
    """A sweep of `capacity`: each network's share and number of patterns held, and the closed forms beside them.

    "held_..." are `held_patterns` over n_neurons; a "..._theory" knows the criterion of every bit alone.
    """
    fine = xr.DataArray(FINE, dims="fine", coords={"fine": FINE})
    held = held_patterns(found)
    curves = spread(found.share.to_dataset("kind"), *hopfield.KINDS)
    for kind in ("classic", "sparse", "dense"):
        curves = curves.assign(spread(held.sel(kind=kind, drop=True).to_dataset(name=f"held_{kind}"), f"held_{kind}"))
    forms = {
        "classic": xr.apply_ufunc(hopfield.exact_share, found.n_neurons, fine),
        "dense": xr.apply_ufunc(hopfield.exact_share, found.n_neurons, fine, hopfield.ORDER),
        "sparse": xr.apply_ufunc(hopfield.exact_share_sparse, found.n_neurons, fine, activity, vectorize=True),
    }
    exact = xr.DataArray(list(CRITERIA), dims="criterion") == "every bit"
    forms |= {f"held_{kind}": falls_through(form, 0.5, "fine") * found.n_neurons for kind, form in forms.items()}
    curves = curves.assign({f"{name}_theory": form.where(exact) for name, form in forms.items()})
    curves = curves.assign(spread(found[["one_step", "settled"]], "one_step", "settled"))
    curves["one_step_theory"] = xr.apply_ufunc(hopfield.one_step_overlap, found.cue, fine)
    curves["settled_theory"] = xr.apply_ufunc(hopfield.retrieval_overlap, fine, vectorize=True)
    edge = xr.DataArray([hopfield.critical().load] * 2, dims="end", coords={"end": [0.0, 1.0]})
    return curves.assign(edge=edge, edge_height=edge.end)
