import numpy as np
import pytest
import xarray as xr

from lib import profile
from lib.alignment import align
from lib.studies import recurrence as studies

SMALL = {"n_neurons": 300, "n_glomeruli": 20}


@pytest.fixture(scope="module")
def found():
    runs = [studies.recur(800, [0.3, 1.0], **SMALL, seed=s) for s in (0, 1)]
    return xr.concat(runs, xr.Variable("seed", [0, 1])).expand_dims(n_odors=[800])


def test_without_recurrence_it_is_the_alignment_of_chapter_one(found):
    """Another draw of everything, two seeds each: within .04."""
    other = [align(**SMALL, density=studies.DENSITIES, n_odors=800, n_test=200, seed=s) for s in (5, 6)]
    here = found.sel(gain=1.0, step=0, n_odors=800).mean("seed")
    for measure in ("drive", "response"):
        for tested, name in (("novel", measure), ("familiar", f"{measure}_familiar")):
            expected = np.mean([getattr(alignment, name) for alignment in other], axis=0)
            np.testing.assert_allclose(here[measure].sel(tested=tested)[1:], expected[1:], atol=0.04)


def test_recurrence_helps_a_sparse_projection_and_hurts_a_dense_one(found):
    response = found.response.sel(tested="novel", gain=1.0, n_odors=800)
    change = response.sel(step=1) - response.sel(step=0)
    assert (change.sel(density=0.02) > 0.02).all()
    assert (change.sel(density=1.0) < -0.02).all()
    control = found.response_shuffled.sel(gain=1.0, n_odors=800) - response.sel(step=0)
    assert (control.sel(density=[0.05, 0.1, 1.0]) < 0.01).all()


def test_steps_without_gain_depend_on_nothing(found):
    first = found.response.sel(step=0)
    xr.testing.assert_equal(first.sel(gain=0.3, drop=True), first.sel(gain=1.0, drop=True))


def test_curves_hold_what_was_measured_and_the_closed_form_where_it_holds(found):
    curves = studies.recurrence_curves(found, **SMALL)
    at = dict(n_odors=800, gain=1.0, tested="novel")
    expected = found.response.sel(step=1, **at).mean("seed")
    np.testing.assert_allclose(curves.response_recurrent.sel(at), expected)
    np.testing.assert_allclose(curves.course_middle.sel(at | {"step": 1}), expected.sel(density=0.1))
    change = found.response.sel(at | {"density": 1.0})
    assert float(curves.change.sel(at)) == pytest.approx(float((change.sel(step=1) / change.sel(step=0)).mean()))
    assert np.isfinite(curves.response_recurrent_theory.sel(at)).all()
    assert np.isnan(curves.response_recurrent_theory.sel(at | {"tested": "familiar"})).all()
    few = studies.recurrence_curves(found.assign_coords(n_odors=[200]), **SMALL)  # below four times u D
    assert np.isnan(few.drive_without_theory).all()


def test_needed_density_and_its_ratio():
    """Two power laws of density, one four times the other."""
    density = np.geomspace(0.01, 1, 20)
    response = np.stack([0.5 * density**0.5, density**0.5, density**0.5])
    found = xr.Dataset({"response": (("step", "density", "seed"), np.repeat(response[..., None], 2, 2))},
                       coords={"step": [0, 1, 2], "density": density, "seed": [0, 1]})  # fmt: skip
    needed = studies.needed(found, [0.2, 0.4, 0.8])
    np.testing.assert_allclose(needed.without.sel(target=0.4), 0.64, rtol=0.01)
    np.testing.assert_allclose(needed.ratio.sel(target=[0.2, 0.4]), 4, rtol=0.03)
    assert np.isnan(needed.ratio.sel(target=0.8)).all()
    assert set(studies.needed_curves(found)) >= {"without", "recurrent", "ratio", "ratio_low"}


@pytest.mark.parametrize(
    ("name", "change"),
    [("n_neurons", {"n_neurons": 50}), ("n_neurons", {"n_neurons": 10**6}), ("n_glomeruli", {"n_glomeruli": 2}),
     ("n_odors", {"n_odors": 300}), ("n_odors", {"activity": 0.005}), ("activity", {"activity": 0.002}),
     ("activity", {"activity": 0.7}), ("seed", {"seed": -1})],
)  # fmt: skip
def test_parameters_of_the_chapter_are_checked_in_one_sentence(name, change):
    good = dict(n_neurons=1000, n_glomeruli=50, n_odors=4000, activity=0.1, seed=0)
    studies.check(profile.load(), **good)
    with pytest.raises(ValueError, match=f"^{name} "):
        studies.check(profile.load(), **(good | change))
