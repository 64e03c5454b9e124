"""Settings, exact counts and ties, patterns, and the threshold over all layers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.checks import BadSetting
from lib.pruning import criteria
from lib.pruning.criteria import Settings, choose, smallest

DRAWN = dict(max_examples=60, deadline=None, derandomize=True)
SHARES, SEEDS = st.floats(0, 1), st.integers(0)


def brute(scores: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` smallest of a flat list lie: one after the other, of equal ones the first."""
    gone, left = np.zeros(len(scores), bool), list(range(len(scores)))
    for _ in range(count):
        best = left[0]
        for i in left:
            if scores[i] < scores[best]:
                best = i
        gone[best] = True
        left.remove(best)
    return gone


@settings(**DRAWN)
@given(rows=st.integers(1, 4), n=st.integers(1, 12), share=SHARES, levels=st.integers(1, 5), seed=SEEDS)
def test_the_smallest_go_and_of_equal_ones_the_first(rows, n, share, levels, seed):
    """Few levels, so that nearly all scores have equals."""
    scores = np.random.default_rng(seed).integers(levels, size=(rows, n)).astype(np.float32)
    of_rows = choose(torch.from_numpy(scores), Settings(sparsity=share)).numpy()
    assert (of_rows == [brute(row, round(share * n)) for row in scores]).all()
    of_all = choose(torch.from_numpy(scores), Settings(sparsity=share, scope="layer")).numpy()
    assert (of_all.ravel() == brute(scores.ravel(), round(share * rows * n))).all()


@settings(**DRAWN)
@given(kept=st.integers(1, 4), more=st.integers(1, 4), groups=st.integers(1, 4), seed=SEEDS)
def test_a_pattern_holds_in_every_group(kept, more, groups, seed):
    m = kept + more
    scores = np.random.default_rng(seed).integers(4, size=(3, groups * m)).astype(np.float32)
    gone = choose(torch.from_numpy(scores), Settings(pattern=f"{kept}:{m}")).numpy()
    for row, expected in zip(scores, gone, strict=True):
        for start in range(0, len(row), m):
            assert (brute(row[start : start + m], m - kept) == expected[start : start + m]).all()


@settings(**DRAWN)
@given(shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4), share=SHARES)
@pytest.mark.parametrize("levels", [3, 10**6])
def test_the_threshold_over_all_layers_is_exact(shapes, share, levels):
    rng = np.random.default_rng(0)
    layers = {str(i): rng.integers(levels, size=shape).astype(np.float32) / 7 for i, shape in enumerate(shapes)}
    counts = criteria.global_counts(lambda: ((k, torch.from_numpy(v)) for k, v in layers.items()), share)
    together = np.concatenate([v.ravel() for v in layers.values()])
    gone, place = brute(together, round(share * len(together))), 0
    for name, layer in layers.items():
        part = gone[place : (place := place + layer.size)]
        assert counts[name] == part.sum()
        mask = choose(torch.from_numpy(layer), Settings(scope="layer", sparsity=share), counts[name])
        assert (mask.numpy().ravel() == part).all()


def test_many_rows_are_chosen_part_by_part(monkeypatch):
    scores = torch.from_numpy(np.random.default_rng(0).integers(5, size=(11, 7)).astype(np.float32))
    whole = smallest(scores, 3)
    monkeypatch.setattr(criteria, "AT_ONCE", 15)
    assert (smallest(scores, 3) == whole).all() and (whole.sum(1) == 3).all()


def test_a_half_rounds_to_the_even_number():
    assert smallest(torch.arange(5.0)[None], round(0.5 * 5)).sum() == 2
    assert choose(torch.ones(2, 7), Settings(sparsity=0.5)).sum(1).tolist() == [4, 4]


def test_scores_are_what_they_say():
    weight = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.bfloat16)
    assert criteria.magnitude(weight).tolist() == [[1, 2], [0.5, 3]]
    assert criteria.wanda(weight, torch.tensor([4.0, 0.5])).tolist() == [[4, 1], [2, 1.5]]
    one, same, other = (criteria.random(torch.empty(50, 40), 3, 1, place) for place in (2, 2, 3))
    assert (one == same).all() and not (one == other).any() and abs(one.mean() - 0.5) < 0.02
    assert Settings(pattern="1:4").sparsity == 0.75 and Settings().sparsity == 0.5


@pytest.mark.parametrize(
    "bad, named",
    [
        ({"method": "obd"}, "method"),
        ({"sparsity": 1.2}, "sparsity"),
        ({"sparsity": float("nan")}, "sparsity"),
        ({"sparsity": "half"}, "sparsity"),
        ({"scope": "block"}, "scope"),
        ({"seed": -1}, "seed"),
        ({"pattern": "2-4"}, "pattern"),
        ({"pattern": "4:4"}, "pattern"),
        ({"pattern": "0:4"}, "pattern"),
        ({"pattern": 2}, "pattern"),
        ({"pattern": "2:4", "sparsity": 0.6}, "sparsity must be 0.5"),
        ({"pattern": "2:4", "scope": "layer"}, "scope"),
        ({"method": "wanda", "scope": "global"}, "scope"),
        ({"method": "sparsegpt", "scope": "global"}, "scope"),
    ],
)
def test_bad_settings_are_named(bad, named):
    with pytest.raises(BadSetting, match=f"^{named}.*[.]$"):
        Settings(**bad)


def test_a_pattern_must_divide_the_inputs():
    with pytest.raises(BadSetting, match="divides the 6 inputs"):
        choose(torch.ones(2, 6), Settings(pattern="2:4"))
