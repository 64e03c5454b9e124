"""What chapter 3 measures of the Titans memory: five rules on a stream of odors and on random pairs."""

import functools

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from lib import checks, online
from lib.analysis import spread
from lib.cortex import Cortex, draw_cortex, tensor
from lib.measures import check_run, pearson, response
from lib.memory import titans
from lib.memory.titans import RULES, State, rule
from lib.odors import Gaussian

STEP, MOMENTUM = 0.5, 0.8  # of the rules on the stream of odors: 2 theta, eta
CHANGES = ("nothing", "odors", "wiring")  # what a stream changes half way
CHECKPOINTS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0])  # of each half of the stream
N_PROBE = 300  # novel odors on which alignment is measured
AGES = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256])  # pairs ago
N_STREAMS, N_VALUES, N_PASSES = 4, 64, 20  # of the streams of random pairs; how often one rule sees them
PLAIN, FORGETFUL = ["linear attention", "delta rule"], ["linear attention with decay", "gated delta rule", "Titans"]
MANY = "delta rule, many passes"


def check(n_neurons, n_glomeruli, activity, n_odors, seed, device: str = "cpu") -> None:
    """BadSetting with one sentence for a parameter of the streams of odors out of its range."""
    checks.whole("n_neurons", n_neurons, 10)
    checks.whole("n_glomeruli", n_glomeruli, 2)
    checks.scalar("activity", activity, 0.5 / N_PROBE, 0.5)
    checks.whole("n_odors", n_odors, 100)
    check_run(seed, device)


def _codes(cortex: Cortex, odors: Tensor, unit: bool = False) -> Tensor:
    """Codes (n_odors, n) less their mean over these odors, each of unit length if `unit`."""
    codes = cortex.code(odors).T
    codes = codes - codes.mean(0)
    return torch.nn.functional.normalize(codes, dim=1) if unit else codes


def distances(
    n_neurons: int, n_glomeruli: int, *, activity=0.1, n_odors=500, rate=0.002, sample=100, seed=0, device="cpu"
) -> dict[str, float]:
    """How far the Titans memory is from chapter 1's online rules on one stream of codes, over the norm of theirs.

    Keys are the centred left codes as they are, values those of `sample` right neurons; no synapse is missing.
    """
    check(n_neurons, n_glomeruli, activity, n_odors, seed, device)
    checks.whole("sample", sample, 1)
    odors, left, right = np.random.default_rng(seed).spawn(3)
    cortex = (n_glomeruli, activity, Gaussian(), None)
    x = tensor(odors.standard_normal((n_glomeruli, n_odors)), device)
    keys = _codes(draw_cortex(left, n_neurons, *cortex, device=device), x).double()
    values = _codes(draw_cortex(right, sample, *cortex, device=device), x).double()
    mask, rates = keys.new_ones(sample, n_neurons), np.full(n_odors, rate)
    learned = {"hebbian": online.hebbian_steps, "sgd": online.sgd_steps}
    gates = {"hebbian": rule("linear attention with decay", rate, rate), "sgd": rule("delta rule", rate)}
    found = {}
    for name, steps in learned.items():
        weights = steps(torch.zeros_like(mask), mask, values.T, keys.T, rates)
        memory = titans.chunked(keys, values, gates[name])[1].memory
        found[name] = float((memory - weights).norm() / weights.norm())
    return found


def odor_stream(
    n_neurons: int, n_glomeruli: int, *, forgetting, activity=0.1, n_odors=1000, sample=50, seed=0, device="cpu"
) -> xr.Dataset:
    """Alignment of novel odors under each of the five rules, with a change half way through the stream.

    An odor drives one half of the glomeruli. After `n_odors` presentations, for as many again, one thing changes
    (`change`): "odors", which then drive the other half; "wiring", a right cortex drawn anew; or "nothing". Keys are
    the left codes, centred and of unit length, values the centred codes of `sample` right neurons. "drive" and
    "response": alignment in the environment of the moment; with "_first": in the one that came first. `forgetting`:
    values of alpha, one dimension of the result beside rule, change and presentations.
    """
    check(n_neurons, n_glomeruli, activity, n_odors, seed, device)
    checks.whole("sample", sample, 1)
    checks.number("forgetting", forgetting, 0, 1)
    odors, left_rng, *right_rngs = np.random.default_rng(seed).spawn(4)
    shape = (n_glomeruli, activity, Gaussian(), None)
    left = draw_cortex(left_rng, n_neurons, *shape, device=device)
    rights = [draw_cortex(rng, sample, *shape, device=device) for rng in right_rngs]
    smelled = []
    for half in (0, 1):
        x = odors.standard_normal((n_glomeruli, 2 * n_odors + N_PROBE)) * 2**0.5  # as strong as with all glomeruli
        smelled.append(tensor(x * ((np.arange(n_glomeruli) < n_glomeruli // 2) == (half == 0))[:, None], device))
    again = smelled[0][:, n_odors : 2 * n_odors]
    first = _Environment(left, rights[0], smelled[0][:, :n_odors], smelled[0][:, 2 * n_odors :], activity)
    later = {
        "nothing": _Environment(left, rights[0], again, smelled[0][:, 2 * n_odors :], activity),
        "odors": _Environment(left, rights[0], smelled[1][:, :n_odors], smelled[1][:, 2 * n_odors :], activity),
        "wiring": _Environment(left, rights[1], again, smelled[0][:, 2 * n_odors :], activity),
    }
    found = np.full((len(RULES), len(forgetting), len(CHANGES), 4, 2 * len(CHECKPOINTS)), np.nan)
    for i, (name, (_, forgets, _)) in enumerate(RULES.items()):
        for j, alpha in enumerate(forgetting if forgets else forgetting[:1]):
            gates = rule(name, STEP, alpha, MOMENTUM)
            begun, state = _follow(first, gates, None, [first, first])
            ends = [_follow(env, gates, state, [env, first])[0] for env in later.values()]
            courses = [np.concatenate([begun, end], axis=1) for end in ends]
            found[i, slice(None) if not forgets else j] = courses
    stops = np.round(CHECKPOINTS * n_odors).astype(int)
    coords = {"rule": list(RULES), "forgetting": list(forgetting), "change": list(CHANGES)}
    coords["presentations"] = np.append(stops, n_odors + stops)
    names = ("drive", "response", "drive_first", "response_first")
    return xr.Dataset({name: (list(coords), found[:, :, :, k]) for k, name in enumerate(names)}, coords=coords)


class _Environment:
    """A stream of pairs of codes, and novel odors to measure alignment on."""

    def __init__(self, left: Cortex, right: Cortex, shown: Tensor, novel: Tensor, activity: float):
        self.keys, self.values = _codes(left, shown, unit=True), _codes(right, shown)
        self.queries, self.drives, self.codes = _codes(left, novel, unit=True), right.drive(novel), right.code(novel)
        self.activity = activity

    def alignment(self, memory: Tensor) -> list[float]:
        """Drive and response alignment of what the memory answers."""
        answers = memory @ self.queries.T
        pairs = (answers, self.drives), (response(answers, self.activity), self.codes)
        return [float(pearson(*pair).mean()) for pair in pairs]


def _follow(shown: _Environment, gates: titans.Gates, state: State | None, tested: list[_Environment]):
    """Alignments (2 x environments, checkpoints) along a stream, and the state at its end."""
    stops, found = np.round(CHECKPOINTS * len(shown.keys)).astype(int), []
    for start, end in zip(np.append(0, stops), stops, strict=False):
        part = slice(start, end)
        state = titans.chunked(shown.keys[part], shown.values[part], gates, state=state)[1]
        found.append([value for env in tested for value in env.alignment(state.memory)])
    return np.array(found).T, state


def stream_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `odor_stream`: a variable for each rule, now and in the first environment, by drive and response."""
    measures = xr.Variable("measure", ["response", "drive"])
    curves = {}
    for suffix in ("", "_first"):
        both = xr.concat([found[f"{name}{suffix}"] for name in measures.values], measures)
        curves |= {f"{short(name)}{suffix}": both.sel(rule=name, drop=True) for name in RULES}
    return spread(xr.Dataset(curves), *curves)


def short(name: str) -> str:
    """A rule's name as a variable's."""
    return name.lower().replace(" ", "_").replace(",", "")


def capacity(n_keys: int, n_pairs: int, *, forgetting, seed: int = 0, device: str = "cpu") -> xr.Dataset:
    """Correlation of recalled with stored values after `n_pairs` random pairs, each shown once with step 1.

    Keys: random, of unit length, in `n_keys` dimensions. "recall": mean over pairs, nothing forgotten; the last of its
    rules saw all pairs `N_PASSES` times, with a step that falls as one over the pass. "by_age": of the pair stored so
    many pairs ago (1: the last), for each alpha in `forgetting`. "full": linear attention storing as many pairs as its
    keys have dimensions.
    """
    checks.whole("n_keys", n_keys, 2)
    checks.whole("n_pairs", n_pairs, 2)
    checks.number("forgetting", forgetting, 0, 1)
    check_run(seed, device)
    keys, values = _pairs(np.random.default_rng([seed, n_pairs]), n_keys, n_pairs, device)
    kept = [_recalled(keys, values, rule(name, 1.0)) for name in PLAIN]
    kept.append(_recalled(keys, values, *(rule("delta rule", 1 / p) for p in range(1, N_PASSES + 1))))
    by_age = [[_recalled(keys, values, rule(name, 1.0, alpha, 0.5)) for alpha in forgetting] for name in FORGETFUL]
    ages = AGES[AGES <= n_pairs]
    found = np.full((len(FORGETFUL), len(forgetting), len(AGES)), np.nan)
    found[..., : len(ages)] = np.array(by_age)[..., ages - 1]
    full = _recalled(*_pairs(np.random.default_rng([seed, 0]), n_keys, n_keys, device), rule("linear attention", 1.0))
    variables = {"by_age": (("rule", "forgetting", "age"), found), "recall": ("plain", np.mean(kept, axis=1))}
    coords = {"rule": FORGETFUL, "plain": [*PLAIN, MANY], "forgetting": list(forgetting), "age": AGES}
    return xr.Dataset(variables | {"full": full.mean()}, coords)


def _pairs(rng: np.random.Generator, n_keys: int, n_pairs: int, device: str) -> tuple[Tensor, Tensor]:
    keys, values = (tensor(rng.standard_normal((N_STREAMS, n_pairs, d)), device) for d in (n_keys, N_VALUES))
    return torch.nn.functional.normalize(keys, dim=-1), values


def _recalled(keys: Tensor, values: Tensor, *passes: titans.Gates) -> np.ndarray:
    """Correlation of recalled and stored value, (n_pairs,), the last pair first, mean over streams."""
    state = None
    for gates in passes:
        state = titans.chunked(keys, values, gates, state=state)[1]
    return pearson(keys @ state.memory.mT, values).mean(0).flip(0).cpu().numpy()


def capacity_curves(found: xr.Dataset) -> xr.Dataset:
    """A sweep of `capacity` with `eq-titans-recall` and `eq-titans-limit` beside it."""
    curves = {"full": found.full}
    curves |= {f"{short(name)}_recall": found.recall.sel(plain=name, drop=True) for name in found.plain.values}
    curves |= {f"{short(name)}_by_age": found.by_age.sel(rule=name, drop=True) for name in FORGETFUL}
    fine = np.unique(np.geomspace(2, int(found.n_pairs.max()), 40).round().astype(int))
    fine = xr.DataArray(fine, dims="fine", coords={"fine": fine})
    forms, vectorised = {}, dict(vectorize=True, output_dtypes=[float])
    for predict, plain, forgets in zip((False, True), PLAIN, FORGETFUL[:2], strict=True):
        recall = functools.partial(_expected, predict=predict)
        forms[f"{short(plain)}_theory"] = xr.apply_ufunc(recall, found.n_keys, fine, **vectorised)
        sizes = (found.n_keys, found.n_pairs, found.forgetting)
        by_age = functools.partial(_expected_by_age, predict=predict)
        by_age = xr.apply_ufunc(by_age, *sizes, output_core_dims=[["age"]], **vectorised)
        forms[f"{short(forgets)}_theory"] = by_age
    forms[f"{short(MANY)}_theory"] = titans.expected_limit(found.n_keys, fine)
    return spread(xr.Dataset(curves), *curves).assign(forms)


def _expected(n_keys: int, n_pairs: int, predict: bool) -> float:
    return titans.expected_recall(n_keys, n_pairs, predict=predict).mean()


def _expected_by_age(n_keys: int, n_pairs: int, forgetting: float, predict: bool) -> np.ndarray:
    """At `AGES`, NaN beyond the first pair."""
    expected = titans.expected_recall(n_keys, n_pairs, 1.0, forgetting, predict)
    return np.where(AGES <= n_pairs, expected[np.minimum(AGES, n_pairs) - 1], np.nan)
