"""What is read off the trained blocks that ship with the book."""

import numpy as np
import pytest
import xarray as xr

from lib.checks import BadSetting
from lib.memory import recall as training
from lib.memory.block import KINDS, SIZES
from lib.studies import recall as studies


@pytest.fixture(scope="module")
def found():
    return studies.recall(24, training.fingerprint(), seed=6)


def test_attention_ends_at_its_window(found):
    share = found.accuracy.sel(kind="attention")
    inside = share.where(found.distance < SIZES.window, drop=True)
    beyond = share.where(found.distance > SIZES.window, drop=True).dropna("distance")
    assert inside.min() > 0.97
    assert beyond.max() < 0.2  # chance is 1/16
    assert found.beyond.sel(kind="attention") < 0.12
    assert found.beyond.sel(kind="memory") > 0.3


def test_classes_keep_every_question():
    slots = np.arange(1, 24)
    share = np.where(slots <= 8, 1.0, np.where(slots == 9, 0.0, 0.25))  # slot 9 lies 17 tokens back: beyond the window
    by_class, beyond, everything = studies._classes(share, asked=slots)
    np.testing.assert_allclose(by_class[:7], [1, 1, 1, 1, 0.25 * 33 / 42, 0.25, 0.25])
    assert np.isnan(by_class[7:]).all()
    right = 0.25 * slots[9:].sum()
    assert beyond == pytest.approx(right / slots[8:].sum())
    assert everything == pytest.approx((36 + right) / slots.sum())


def test_gains_count_a_block_once():
    seeds = np.arange(3, 13)
    values = np.stack([np.zeros(10), np.ones(10), np.arange(10.0)], axis=1)  # attention, memory, both
    dims = ("seed", "kind")
    found = xr.Dataset({"beyond": (dims, values), "all": (dims, values)}, {"seed": seeds, "kind": list(KINDS)})
    beyond, everything = studies.gains(found).values()
    assert sorted(beyond) == [2.5, 3.5, 4.5, 5.5, 6.5]
    assert sorted(everything) == [1.5, 2.5, 3.5, 4.5, 5.5]


def test_trained_memories_write_at_values():
    for kind in ("memory", "both"):
        at_keys, at_values = studies.writing(kind)
        assert 0 < at_keys < 0.1 * at_values < 0.1


def test_blocks_are_named_by_their_receipt():
    with pytest.raises(BadSetting, match="blocks"):
        studies.recall(24, "00000000")


def test_a_short_training_repeats_the_recorded_one():
    losses = studies.retrained(n_steps=60)
    assert len(losses) == 3
    assert studies.difference(losses) < studies.TOLERANCE
    assert studies.difference(losses + 0.06) > studies.TOLERANCE


def test_curves_hold_the_recorded_losses(found):
    losses = np.array([2.5, 2.0])
    curves = studies.recall_curves(found.expand_dims(seed=[6]), losses)
    assert curves.again.values.tolist() == losses.tolist() and curves.rerun.values.tolist() == [20, 40]
    for kind in KINDS:
        last = [training.receipt()["models"][f"{kind}-{seed}"]["final_loss"] for seed in range(training.N_MODELS)]
        assert float(curves[f"loss_{kind}"][-1]) == pytest.approx(np.mean(last), abs=1e-3)
    assert np.interp([15, 17], curves.window_at, curves.window).tolist() == [1, 1 / 16]
