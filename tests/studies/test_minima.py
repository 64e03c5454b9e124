"""Slices and barriers, from small runs."""

import numpy as np
import pytest

from lib import landscape
from lib.checks import BadSetting
from lib.studies import minima
from lib.studies.landscape import BETWEEN, problem, solutions

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


def test_a_slice_shows_the_loss_at_the_places_that_it_says(slices):
    """The SGD loss is a parabola on any plane: fitted to the slice, it gives both rules' ends their known heights."""
    shown = slices.sel(loss="sgd", plane=minima.PLANES[0])
    x, y = (grid.ravel() for grid in np.meshgrid(shown.x, shown.y, indexing="ij"))
    fitted = np.linalg.lstsq(np.stack([x * x, x * y, y * y], axis=1), shown.height.values.ravel() ** 2, rcond=None)[0]
    ends = [(float(shown.hebbian_path_x[i]), float(shown.hebbian_path_y[i])) for i in (0, -1)]
    heights = [fitted @ [x * x, x * y, y * y] for x, y in ends]
    codes = problem(**HERE, n_rows=1)[2]
    hebbian, best, _ = solutions(codes, "best for prediction")
    start, end, least = (float(landscape.squared_loss(w, codes)[0]) for w in (0 * best, hebbian, best))
    assert heights[1] / heights[0] == pytest.approx((end - least) / (start - least), rel=1e-6)


def test_barriers_are_between_the_minima_that_they_name():
    """Two random starts and Hebb's for each of two neurons, gone down once more."""
    found = minima.barriers(0.0, 300, 120, 20, 0.2, n_starts=2)
    rng, _, codes = problem(**HERE, n_rows=2)
    starts = [*landscape.random_start(rng, codes, 2), landscape.answering(landscape.cross_covariance(codes), codes)]
    rise, hebbian, silent = [], [], []
    for i in range(2):
        one = codes.row(i)
        nothing = float(landscape.readout_loss(0 * starts[0][i : i + 1], one)[0])
        ends = [landscape.minimise(lambda w, one=one: landscape.readout_loss(w, one).sum(), start[i : i + 1])
                for start in starts]  # fmt: skip
        line = landscape.along(lambda w, one=one: landscape.readout_loss(w, one), *ends[:2], BETWEEN)[:, 0] / nothing
        rise.append(line - line[0] - BETWEEN * (line[-1] - line[0]))
        hebbian.append(float(landscape.readout_loss(ends[2], one)[0]) / nothing)
        matched, _, _ = solutions(one, "best for prediction")
        silent.append(float(landscape.readout_loss(matched, one)[0]) == nothing)
    np.testing.assert_allclose(found.random, np.mean(rise, axis=0), atol=1e-9)
    assert float(found.from_hebbian) == pytest.approx(np.mean(hebbian))
    assert float(found.silent) == np.mean(silent)


def test_wrong_settings_are_refused():
    for wrong in ({"loss": "none", "plane": "random"}, {"loss": "sgd", "plane": "none"}):
        with pytest.raises(BadSetting, match="none"):
            minima.slice_of(**wrong, **HERE)
    with pytest.raises(BadSetting, match="smoothing"):
        minima.barriers(-0.1, 300, 120, 20, 0.2)


def test_smoothing_lowers_the_passes():
    sharp, smooth = (minima.barriers(width, 300, 120, 20, 0.2, n_starts=3) for width in (0.0, 0.5))
    assert smooth.barrier < 0.5 * sharp.barrier
