import numpy as np
import pytest
import torch
import xarray as xr

from lib import profile, theory, updates
from lib.studies import signals
from lib.studies import updates as studies
from lib.sweep import sweep

SMALL = dict(n_neurons=200, n_glomeruli=16, density=0.16, activity=0.1, n_odors=400, sample=60)
TIME = [0.5, 2.0]


def test_weights_agree_with_the_gradient_that_autograd_takes():
    drawn, rng, _ = studies.draw(**{**SMALL, "seed": 0})
    weights = torch.from_numpy(rng.standard_normal(drawn.hebbian.shape)).requires_grad_()
    y_r, y_l = drawn.y_r, drawn.y_l
    error = torch.stack([y - w @ y_l[i] for y, w, i in zip(y_r, weights, drawn.inputs, strict=True)])
    loss = (error**2).sum() / 2 / y_r.shape[1]
    loss.backward()
    np.testing.assert_allclose(drawn.signal(weights.detach()), -weights.grad, atol=1e-10)
    assert signals.loss(drawn.dense(weights.detach()), y_r, y_l) == pytest.approx(float(loss.detach()))


@pytest.mark.parametrize("parameter", studies.PARAMETERS)
def test_one_parameter_at_a_time_leaves_the_default(parameter):
    """The moved network is the one that is asked for by its size."""
    moved = studies.star(parameter, 2.0, TIME, **SMALL)
    other = SMALL | {parameter: 2 * SMALL[parameter]}
    np.testing.assert_array_equal(moved["averaged"], studies.star("density", 1.0, TIME, **other)["averaged"])
    assert moved["averaged"][0] > moved["averaged"][1] > 0
    assert max(map(abs, moved["averaged_random"] + moved["averaged_shuffled"])) < 0.3 < moved["averaged"][1]


def test_one_odor_cosine_by_increments_formed_one_by_one():
    found = studies.star("density", 1.0, TIME, **SMALL)
    drawn, *_ = studies.draw(**{**SMALL, "seed": 0})
    weights = drawn.dense(studies.learn(drawn, TIME)[1])
    output = weights @ drawn.y_l
    gain = (drawn.y_r * output).sum() / (output**2).sum()
    cosines, hebbian, sgd = [], [], []
    for y, z, sent in zip(drawn.y_r.T, output.T, drawn.y_l.T, strict=True):
        pair = drawn.mask * torch.outer(y, sent), drawn.mask * torch.outer(y - gain * z, sent)
        cosines.append(float(updates.cosine(*pair)))
        hebbian.append(pair[0])
        sgd.append(pair[1])
    assert found["presentation"][1] == pytest.approx(np.mean(cosines), abs=1e-6)
    pooled = updates.cosine(torch.stack(hebbian), torch.stack(sgd))
    assert found["presentation_pooled"][1] == pytest.approx(float(pooled), abs=1e-6)
    rho = np.corrcoef(drawn.y_r.ravel(), output.ravel())[0, 1]
    assert found["presentation_theory"][1] == pytest.approx(np.sqrt(1 - rho**2), abs=1e-6)


def test_without_differences_between_odors_the_one_odor_formula_is_exact():
    """Linear codes, many inputs: every odor's synapses weigh alike, and the three values meet within .05.

    Random weights that share nothing with the answer, of power rho^2, have the cosine 1 / sqrt(1 + rho^2).
    """
    found = studies.star("density", 1.0, TIME, codes="linear", **SMALL | dict(n_glomeruli=60, density=0.5, sample=200))
    np.testing.assert_allclose(found["presentation"], found["presentation_theory"], atol=0.05)
    np.testing.assert_allclose(found["presentation_pooled"], found["presentation_theory"], atol=0.05)
    np.testing.assert_allclose(found["averaged"], found["averaged_theory"], atol=0.03)
    alone = (2 - np.square(found["presentation_theory"])) ** -0.5
    np.testing.assert_allclose(found["presentation_random"], alone, atol=0.03)


def test_spectrum_curves_find_the_least_agreement():
    settings = dict(n_neurons=200, n_glomeruli=20, n_odors=600, sample=100, activity=0.1)
    grid = {"codes": ["linear", "thresholded"], "inputs": [0.25, 1.0, 4.0], "decay": [0.0, 1.0], "time": [1.0, 2.0]}
    found = sweep(studies.spectrum, grid, along="time", **settings)
    curves = studies.spectrum_curves(found, 20)
    np.testing.assert_array_equal(curves.least.sel(time=2.0), 1)
    np.testing.assert_allclose(curves.by_time_theory.isel(fine_time=-1), curves.linear.sel(time=2.0), atol=0.04)
    ends_and_middle = curves.by_inputs_theory.isel(fine_inputs=[0, 20, 40]).sel(time=2.0).squeeze()
    np.testing.assert_allclose(ends_and_middle, curves.linear.sel(time=2.0).squeeze(), atol=0.04)
    assert curves.by_time_theory.sel(inputs=0.25).isnull().sum() == 0
    assert (curves.linear.sel(decay=1.0) > curves.linear.sel(decay=0.0) + 0.03).sel(time=2.0).all()


def test_batches_run_from_one_odor_to_all():
    sizes = [1, 10, 100, 20_000]
    found = studies.batches(TIME, sizes, seed=1, **SMALL)
    several = found.isel(size=slice(1, None))  # of one odor at a time the mean differs from that of all together
    np.testing.assert_allclose(several.batch, several.batch_theory, atol=0.04)
    star = studies.star("density", 1.0, TIME, seed=1, **SMALL)
    np.testing.assert_allclose(found.batch_theory.isel(size=-1), star["averaged"], atol=0.01)
    assert (found.batch_theory.sel(time=2.0).diff("size") < 0).all()


def test_one_odor_at_a_time_follows_the_closed_form():
    """Stochastic gradient descent, every odor shown once, measured on novel odors; 3 seeds.

    At a larger rate fewer odors have been seen by then, and the cosine on novel ones is lower.
    """
    time, settings = [0.5, 1.0, 2.0], dict(n_neurons=200, n_glomeruli=20, density=0.2, sample=100)

    def found(rate):
        runs = [studies.one_by_one(time, learning_rate=rate, seed=seed, **settings)["averaged"] for seed in range(3)]
        return np.mean(runs, axis=0)

    np.testing.assert_allclose(found(0.0005), theory.linear_update_cosine(40, 20, time), atol=0.05)
    assert found(0.01)[-1] < found(0.0005)[-1] - 0.1


def test_gain_alone_moves_both_cosines():
    found = studies.gains([1.0], [0.0, 0.5, 1.0, 1e6], **SMALL, seed=0).isel(time=0)
    np.testing.assert_allclose(found.presentation[0], 1, atol=1e-6)
    np.testing.assert_allclose(found.averaged, found.averaged_theory, atol=1e-6)
    np.testing.assert_allclose(found.presentation[1:3], found.presentation_theory[1:3], atol=0.06)
    assert found.averaged[-1] < -0.5 and abs(found.presentation_random[-1]) < 0.15
    star = studies.star("density", 1.0, [1.0], **SMALL)
    assert found.presentation_theory[2] == pytest.approx(star["presentation_pooled"][0])


def test_decay_makes_any_signal_look_like_output_hebb():
    settings = dict(time=[0.01, 60.0], seed=0, **SMALL)
    found = {(who, decay): signals.signals(who, decay, **settings) for who in signals.LEARNERS for decay in (0.0, 0.3)}
    assert all(last["output"][1] > 0.7 for (_, decay), last in found.items() if decay)
    assert found[signals.LEARNERS[0], 0.0]["output"][1] < 0.3
    assert found[signals.LEARNERS[1], 0.0]["output"][1] < 0.3
    assert found[signals.LEARNERS[0], 0.3]["hebbian"][1] > 0.8
    for who in signals.LEARNERS[1:]:
        assert max(map(abs, found[who, 0.3]["hebbian"])) < 0.2  # it has not learned the pairs
    assert found[signals.LEARNERS[0], 0.0]["output"][0] < -0.5  # random weights are unlearned first


def test_a_signal_at_rest_is_the_decay_of_the_weights():
    """cos(signal, output) is that of W with W K where the signal has become decay x W."""
    drawn, *_ = studies.draw(**{**SMALL, "seed": 0})
    eye = torch.eye(drawn.hebbian.shape[1], dtype=torch.float64)
    at_rest = torch.linalg.solve(drawn.covariance + 0.3 * drawn.pace * eye, drawn.hebbian)
    expected = float(updates.cosine(at_rest, drawn.output(at_rest)))
    found = signals.signals("gradient descent", 0.3, [100.0], seed=0, **SMALL)
    assert found["output"][0] == pytest.approx(expected, abs=1e-4)
    for who in signals.LEARNERS:
        late = signals.signals(who, 0.3, [100.0], seed=0, **SMALL)
        for name in ("output", "hebbian"):
            assert late[name][0] == pytest.approx(late[f"{name}_rest"][0], abs=1e-4)
    assert found["hebbian"][0] == pytest.approx(float(updates.cosine(at_rest, drawn.hebbian)), abs=1e-4)


def test_decrease_of_the_loss_keeps_the_second_order_formula():
    found = signals.decrease([0.5, 2.0], [0.01, 0.5, 2.0], n_novel=200, seed=0, **SMALL)
    np.testing.assert_allclose(found.ratio, found.ratio_theory, atol=1e-6)  # the loss is quadratic
    for name in ("hebbian", "shuffled", "random"):
        np.testing.assert_allclose(found[f"share_{name}"], found[f"cosine_{name}"], atol=0.02)
    assert (found.novel_sgd < 1).all() and (found.novel_hebbian[0] > 0)
    assert (found.ratio.diff("step") < 0).all()


def test_the_verdict_takes_the_worst_of_all_settings():
    dims = ("codes", "parameter", "factor", "time", "seed")
    coords = dict(codes=["thresholded", "linear"], parameter=["density"], factor=[1.0], time=[1.0, 2.0], seed=[0, 1])
    names = ("presentation", "presentation_theory", "averaged", "averaged_theory")
    found = xr.Dataset({name: (dims, np.zeros((2, 1, 1, 2, 2))) for name in names}, coords=coords)
    found.presentation[0, 0, 0, 1, 0], found.averaged[0, 0, 0, :, 1] = -0.3, [0.2, 0.1]
    found.averaged[1, 0, 0, 0, 1], found.averaged_theory[1, 0, 0, 1, 1] = 0.05, np.nan
    gap, smallest, form = (values.values.tolist() for values in studies.star_verdict(found).values())
    assert (gap, smallest, form) == ([0.3, 0], [0, 0.1], [0, 0.05])


def test_how_far_a_parameter_moves_each_cosine():
    coords = dict(codes=["thresholded", "linear"], parameter=["density"], factor=[1, 2], time=[1.0, 2.0], seed=[0, 1])
    found = xr.Dataset(
        {name: (tuple(coords), np.zeros((2, 1, 2, 2, 2))) for name in ("presentation", "averaged")}, coords
    )
    found.presentation[0, 0, :, 1], found.averaged[0, 0, :, 1] = [[0.1, 0.3], [0.8, 0.8]], [[0.5, 0.5], [0.2, 0.4]]
    ranges = studies.star_ranges(found, 2.0)
    assert ranges == {"presentation_density": pytest.approx(0.6), "averaged_density": pytest.approx(0.2)}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("n_neurons", {"n_neurons": 50}),
        ("n_neurons", {"n_neurons": 100_000}),
        ("n_glomeruli", {"n_glomeruli": 2}),
        ("density", {"density": 0.5}),
        ("activity", {"activity": 0.4}),
        ("n_odors", {"n_odors": 10}),
        ("n_odors", {"n_odors": 10**7}),
        ("n_glomeruli", {"n_glomeruli": 300, "n_neurons": 2000}),
        ("density", {"n_neurons": 2000, "density": 0.2}),
        ("density", {"density": [0.05, 0.1]}),
        ("seed", {"seed": -1}),
    ],
)
def test_parameters_of_the_chapter_are_checked_in_one_sentence(name, change):
    good = dict(n_neurons=500, n_glomeruli=25, density=0.1, n_odors=1000, activity=0.1, seed=0)
    studies.check(profile.load(), **good)
    with pytest.raises(ValueError, match=f"^{name} "):
        studies.check(profile.load(), **(good | change))


def test_bad_settings_are_named():
    settled = SMALL | dict(seed=0)
    sizes = {name: value for name, value in settled.items() if name != "density"}
    for name, call in {
        "parameter": lambda: studies.star("fan_in", 1.0, TIME, **SMALL),
        "factor": lambda: studies.star("density", -1.0, TIME, **SMALL),
        "density": lambda: studies.star("density", 10.0, TIME, **SMALL),
        "codes": lambda: studies.star("density", 1.0, TIME, codes="binary", **SMALL),
        "time": lambda: studies.gains([-1.0], [1.0], **settled),
        "inputs": lambda: studies.spectrum(20.0, TIME, **sizes),
        "decay": lambda: studies.spectrum(1.0, TIME, decay=-0.1, **sizes),
        "size": lambda: studies.batches(TIME, [0], **settled),
        "learner": lambda: signals.signals("nobody", 0.1, TIME, **settled),
    }.items():
        with pytest.raises(ValueError, match=f"^{name} must be"):
            call()
