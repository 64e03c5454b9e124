"""Slices and barriers, from small runs."""

import numpy as np
import pytest

from lib.studies import minima

HERE = {"n_neurons": 120, "n_glomeruli": 20, "density": 0.2, "n_odors": 300}


@pytest.fixture(scope="module")
def slices():
    return minima.slices(**HERE)


def test_slices_have_their_lowest_place_in_the_middle(slices):
    middle = len(minima.SIDE) // 2
    for loss in ("hebbian", "sgd"):  # the readout's valley may be one of several
        for plane in minima.PLANES:
            height = slices.height.sel(loss=loss, plane=plane).values
            assert np.unravel_index(height.argmin(), height.shape) == (middle, middle)
            assert height.min() == 0 and height.max() == 1


def test_hebbian_slices_are_round(slices):
    x, y = np.meshgrid(minima.SIDE, minima.SIDE, indexing="ij")
    for plane in minima.PLANES:
        expected = np.hypot(x, y) / np.hypot(x, y).max()
        np.testing.assert_allclose(slices.height.sel(loss="hebbian", plane=plane), expected, atol=1e-9)


def test_paths_end_at_their_rules_solutions(slices):
    plane = slices.sel(plane=minima.PLANES[0])
    for loss, path in (("hebbian", "hebbian_path"), ("sgd", "sgd_path")):
        end = [float(plane[f"{path}_{axis}"].sel(loss=loss)[-1]) for axis in "xy"]
        assert end == pytest.approx([0, 0], abs=0.05)
    begin = [float(plane[f"hebbian_path_{axis}"].sel(loss="hebbian")[0]) for axis in "xy"]
    assert begin == pytest.approx([1, 0])  # from no weights, one norm away along the first direction
    straight = plane.sel(loss="hebbian")
    assert abs(straight.hebbian_path_y).max() < 1e-9


def test_paths_that_descend_a_slice_go_down(slices):
    found = slices.sel(loss="sgd", plane=minima.PLANES[0])
    heights = found.height.interp(x=found.sgd_path_x, y=found.sgd_path_y).values
    assert heights[-1] < 0.1 < heights[0]
    assert np.diff(heights).max() < 0.02


def test_barriers_of_the_readout_and_none_of_the_sgd_loss():
    found = minima.barriers(0.0, 300, 120, 20, 0.2, n_starts=3)
    assert found.separated > 0.5 and found.distinct > 0.5
    assert 0 < found.barrier and found.random.max() > 0
    assert found.sgd.max() < 1e-12
    assert abs(found.random[[0, -1]]).max() < 1e-12
    assert found.bottom > -1e-9  # wherever it has a Hessian
    assert (found.reached.diff("start") >= 0).all()
    assert found.reached[-1] <= 1.2
    curves = minima.barrier_curves(found.expand_dims(seed=[0, 1]))
    np.testing.assert_allclose(curves.from_hebbian_shown, float(found.from_hebbian))


def test_smoothing_lowers_the_passes():
    sharp, smooth = (minima.barriers(width, 300, 120, 20, 0.2, n_starts=3) for width in (0.0, 0.5))
    assert smooth.barrier < 0.5 * sharp.barrier
