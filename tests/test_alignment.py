"""`align` against an independent simulation in plain numpy, the closed forms, and what must not matter."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

import lib
from lib import alignment, cortex, measures, odors, theory
from lib.alignment import align


def plain(n, d, p, n_odors, activity, seed, n_test=400):
    """The Hebbian experiment as one would first write it: dense matrices, one neuron at a time, float64."""
    rng = np.random.default_rng(seed)
    j_l, j_r = rng.normal(0, d**-0.5, (2, n, d))
    x, novel = rng.normal(size=(d, n_odors)), rng.normal(size=(d, n_test))

    def code(j, x):
        return np.maximum(j @ x - stats.norm.isf(activity) * np.sqrt((j**2).sum(1, keepdims=True)), 0)

    mask = rng.random((n, n)) < p
    centred_l, centred_r = (code(j, x) - code(j, x).mean(1, keepdims=True) for j in (j_l, j_r))
    w = mask * (centred_r @ centred_l.T)
    g, h, y = w @ code(j_l, novel), j_r @ novel, code(j_r, novel)
    z = np.maximum(g - np.quantile(g, 1 - activity, axis=1, keepdims=True), 0)
    drive = [np.corrcoef(g[i], h[i])[0, 1] if np.ptp(g[i]) else 0 for i in range(n) if mask[i].any()]
    response = [np.corrcoef(z[i], y[i])[0, 1] if np.ptp(z[i]) else 0 for i in range(n) if mask[i].any()]
    return np.mean(drive), np.mean(response)


@pytest.mark.parametrize(("p", "activity"), [(0.1, 0.1), (0.5, 0.2)])
def test_agrees_with_the_plain_simulation(p, activity):
    theirs = np.array([plain(300, 30, p, 600, activity, seed) for seed in range(6)])
    ours = [align(300, 30, p, 600, activity=activity, seed=seed) for seed in range(6)]
    ours = np.array([(a.drive, a.response) for a in ours])
    tolerance = 4 * np.sqrt((theirs.var(0, ddof=1) + ours.var(0, ddof=1)) / 6)  # of the difference of two means
    assert np.all(np.abs(theirs.mean(0) - ours.mean(0)) < tolerance)
    assert np.all(tolerance < 0.05)


@pytest.mark.parametrize(
    ("n", "d", "p", "n_odors", "activity"),
    [(2000, 50, 1.0, 20_000, 0.1), (2000, 50, 0.02, 2000, 0.1), (1500, 25, 0.1, 4000, 0.05)],
)
def test_drive_alignment_follows_the_closed_form(n, d, p, n_odors, activity):
    found = align(n, d, p, n_odors, activity=activity, sample=400).drive
    assert found == pytest.approx(theory.drive_alignment(p * n, d, n_odors, activity), rel=0.04)


def test_fixed_norm_has_its_own_closed_form():
    found = align(2000, 25, 0.5, 10_000, odors=odors.Gaussian(fixed_norm=True), sample=400).drive
    expected = theory.drive_alignment(1000, 25, 10_000, fixed_norm=True)
    assert found == pytest.approx(expected, rel=0.015)
    assert abs(theory.drive_alignment(1000, 25, 10_000) - expected) > 0.015 * expected


@pytest.mark.parametrize(("n_odors", "expected"), [(150, 0.25), (300, 0.05), (600, 0.34), (4000, 0.64)])
def test_sgd_has_its_interpolation_peak(n_odors, expected):
    """Recorded before this code was written, N = 1000, D = 50, fan-in 300 (at the peak .03 to .09, by draw)."""
    assert align(1000, 50, fan_in=300, n_odors=n_odors, rule="sgd", sample=40).drive == pytest.approx(
        expected, abs=0.045
    )


def test_sgd_needs_less_by_response_but_not_by_drive():
    hebb, sgd = (align(800, 40, 0.5, 6000, rule=rule, sample=40) for rule in ("hebbian", "sgd"))
    assert sgd.response > hebb.response + 0.02
    assert sgd.drive < hebb.drive


def test_familiar_odors_are_aligned_better_and_shuffled_ones_not_at_all():
    a = align(600, 50, 0.2, 300)
    assert a.drive_familiar > a.drive + 0.1
    assert a.response_familiar > a.response + 0.1
    assert abs(a.drive_shuffled) < 0.03
    assert abs(a.response_shuffled) < 0.03


def test_seeds_reproduce_and_differ():
    assert align(200, 20, 0.1, 300, seed=3) == align(200, 20, 0.1, 300, seed=3)
    assert align(200, 20, 0.1, 300, seed=3).drive != align(200, 20, 0.1, 300, seed=4).drive


def test_a_sequence_of_densities_gives_arrays_and_one_density_floats():
    several = align(400, 20, [0.05, 0.2, 0.6], 500)
    assert several.drive.shape == (3,)
    assert np.all(np.diff(several.drive) > 0)
    assert isinstance(align(400, 20, 0.2, 500).response_se, float)
    assert several.drive[2] == pytest.approx(align(400, 20, 0.6, 500).drive, abs=1e-6)  # same draws


def test_density_one_is_fan_in_of_all():
    assert align(150, 20, 1.0, 300).drive == pytest.approx(align(150, 20, fan_in=150, n_odors=300).drive, abs=1e-6)


def test_a_sample_is_unbiased_and_its_error_is_stated():
    whole = align(1000, 30, fan_in=40, n_odors=600)
    assert align(1000, 30, fan_in=40, n_odors=600, sample=1000) == whole
    parts = [align(1000, 30, fan_in=40, n_odors=600, sample=50, seed=s) for s in range(40)]
    means = np.array([a.drive for a in parts])
    wholes = np.array([align(1000, 30, fan_in=40, n_odors=600, seed=s).drive for s in range(40)])
    difference = means - wholes
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(40)
    assert np.mean([a.drive_se for a in parts]) == pytest.approx(difference.std(), rel=0.35)
    assert np.isnan(align(100, 10, 0.5, 50, sample=1).drive_se)


def test_blocks_of_rows_change_nothing(monkeypatch):
    """Dense draws come row by row from one stream, so that the blocks' size cannot show."""
    whole = align(600, 20, [0.1, 0.5], 300)
    blocks = align(600, 20, [0.1, 0.5], 300, memory=2**21)
    np.testing.assert_allclose(whole.drive, blocks.drive, atol=1e-6)
    np.testing.assert_allclose(whole.response_se, blocks.response_se, atol=1e-6)


def test_scale_and_offset_of_the_weights_do_not_matter():
    rng = np.random.default_rng(0)
    g, h = (torch.from_numpy(rng.normal(size=(5, 200))) for _ in range(2))
    np.testing.assert_allclose(measures.pearson(g, h), measures.pearson(3 * g + 2, h), atol=1e-12)
    np.testing.assert_allclose(
        measures.pearson(g, h), [stats.pearsonr(a, b).statistic for a, b in zip(g, h, strict=True)], atol=1e-12
    )
    assert measures.pearson(torch.ones(1, 9), torch.randn(1, 9)) == 0
    order = rng.permutation(5)
    np.testing.assert_allclose(measures.pearson(g[order], h[order]), measures.pearson(g, h)[order])


@pytest.mark.parametrize("activity", [0.02, 0.1, 0.5])
def test_response_is_active_for_the_share_asked_for(activity):
    g = torch.from_numpy(np.random.default_rng(0).normal(size=(7, 400)))
    assert ((measures.response(g, activity) > 0).sum(1) == round(activity * 400)).all()


@pytest.mark.parametrize("kind", [odors.Gaussian(), odors.Mixture()])
def test_codes_are_active_for_the_share_asked_for(kind):
    rng = np.random.default_rng(0)
    sampler = kind.sampler(rng, 40)
    neurons = cortex.draw_cortex(rng, 500, 40, 0.1, kind, sampler)
    active = (neurons.code(cortex.tensor(sampler(rng, 2000))) > 0).float().mean()
    assert active == pytest.approx(0.1, abs=0.004)


def test_some_neurons_of_a_cortex_are_the_same_as_in_the_whole():
    rng = lambda: np.random.default_rng(0)  # noqa: E731
    kind = odors.Gaussian()
    whole = cortex.draw_cortex(rng(), 50, 7, 0.1, kind, kind.sampler(rng(), 7))
    some = cortex.draw_cortex(rng(), 50, 7, 0.1, kind, kind.sampler(rng(), 7), keep=np.array([3, 31]))
    assert torch.equal(whole.weights[[3, 31]], some.weights)
    assert torch.equal(whole.threshold[[3, 31]], some.threshold)


def test_mixtures_are_mixtures():
    plain = {"saturation": False, "normalisation": False, "sigma_concentration": 0, "sigma_affinity": 0}
    kind = odors.Mixture(n_odorants=30, n_components=3, **plain)
    x = kind.sampler(np.random.default_rng(0), 5)(np.random.default_rng(1), 4)
    np.testing.assert_allclose(x, 3.0)  # three molecules of concentration and affinity one
    saturated = odors.Mixture(normalisation=True).sampler(np.random.default_rng(0), 50)(np.random.default_rng(1), 300)
    np.testing.assert_allclose(saturated.mean(0), 1, rtol=1e-5)
    gaussian = odors.Gaussian().sampler(None, 50)(np.random.default_rng(0), 20_000)
    assert odors.effective_dimension(gaussian) == pytest.approx(50, rel=0.01)


def test_what_gaussian_odors_hide():
    """Mixtures whose effective dimension is nearly that of the gaussian odors are aligned much worse."""
    x = odors.Mixture().sampler(np.random.default_rng(0), 50)(np.random.default_rng(1), 5000)
    dimension = odors.effective_dimension(x)
    mixture = align(1000, 50, 0.5, 2000, odors="mixture", sample=200).drive
    assert mixture < 0.7 * theory.drive_alignment(500, dimension, 2000)
    assert dimension > 35


def test_a_neuron_without_inputs_does_not_count():
    a = align(40, 10, 0.01, 200, seed=1)
    assert np.isfinite(a.drive)
    with pytest.raises(ValueError, match="without an input"):
        align(5, 3, 1e-6, 50)


BAD = {
    "n_neurons": ({"n_neurons": -3}, {"n_neurons": 0}, {"n_neurons": 10.5}),
    "n_glomeruli": ({"n_glomeruli": 0},),
    "n_odors": ({"n_odors": 1}, {"n_odors": "many"}),
    "density": ({"density": 0}, {"density": 1.5}, {"density": [0.1, -1]}, {"density": float("nan")}, {"density": []}),
    "activity": ({"activity": 0}, {"activity": 0.9}, {"activity": [0.1, 0.2]}),
    "odors": ({"odors": "flowers"},),
    "rule": ({"rule": "backprop"},),
    "sample": ({"sample": 0}, {"sample": 101}),
    "n_test": ({"n_test": 0}, {"n_test": 4}),
    "fan_in": ({"density": None, "fan_in": 101}, {"density": None, "fan_in": 0}),
    "n_neurons must be at least 1 and at most 6391260, not 10000000000": ({"n_neurons": 10**10},),
    "seed": ({"seed": -1}, {"seed": "x"}),
    "device": ({"device": "gpu"},),
    "memory": ({"memory": -5},),
}


@pytest.mark.parametrize(("name", "change"), [(name, change) for name, changes in BAD.items() for change in changes])
def test_bad_settings_are_named_in_one_sentence(name, change):
    settings = {"n_neurons": 100, "n_glomeruli": 10, "density": 0.1, "n_odors": 100} | change
    with pytest.raises(ValueError, match=f"^{name}") as error:
        align(**settings)
    assert str(error.value).count(". ") == 0


def test_density_and_fan_in_exclude_each_other():
    for settings in ({}, {"density": 0.1, "fan_in": 3}):
        with pytest.raises(ValueError, match="density.*fan_in"):
            align(100, 10, n_odors=50, **settings)


def test_a_million_neurons_stay_within_two_gigabytes():
    code = (
        "import json, resource, lib; a = lib.align(10**6, 100, fan_in=100, n_odors=300, sample=300);"
        "print(json.dumps([a.drive, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))"
    )
    drive, peak = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert peak < 2 * 2**30
    assert drive == pytest.approx(theory.drive_alignment(100, 100, 300), rel=0.06)


def test_public_names():
    assert lib.align is align
    assert callable(lib.alignment.online)
    assert lib.theory.drive_alignment is theory.drive_alignment


@pytest.mark.parametrize("fan_in", [20, 40, 80, 320])
def test_linear_codes_follow_their_closed_forms(fan_in):
    settings = {"fan_in": fan_in, "n_odors": 8000, "codes": "linear", "sample": 60}
    hebbian, least_squares = (align(640, 40, rule=rule, **settings).drive for rule in ("hebbian", "sgd"))
    assert hebbian == pytest.approx(theory.linear_hebbian(fan_in, 40), rel=0.03)
    assert least_squares == pytest.approx(theory.linear_least_squares(fan_in, 40), rel=0.03)


def test_mean_and_error_leave_out_neurons_without_inputs():
    neurons = np.array([[[0.2, np.nan, 0.6]], [[0.1, np.nan, 0.5]]] * 3)
    summary = alignment._summary(neurons, several=False)
    assert summary.drive == pytest.approx(0.4)
    assert summary.response == pytest.approx(0.3)
    assert summary.drive_se == pytest.approx(np.std([0.2, 0.6], ddof=1) / np.sqrt(2))


def test_small_memory_cuts_rows_into_blocks():
    steps = [list(alignment._blocks(1000, 5000, 400, 3, memory, density=0.5)) for memory in (2**30, 2**24)]
    assert [len(blocks) for blocks in steps] == [1, 1000 // (steps[1][0].stop) + (1000 % steps[1][0].stop > 0)]
    assert steps[1][0].stop * (5000 * 15 * 4) < 2**24
    assert steps[1][-1].stop == 1000


def test_a_small_memory_is_kept(tmp_path):
    code = (
        "import resource, lib; rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024;"
        "lib.align(500, 20, 0.5, 50); before = rss();"
        "lib.align({}); print(rss() - before)"
    )
    for call in ("5000, 20, 1.0, 200, memory=2**26", "20000, 20, 0.05, 200, sample=4000, memory=2**27"):
        done = subprocess.run([sys.executable, "-c", code.format(call)], capture_output=True, check=True)
        assert float(done.stdout) < 1.5 * (64 if "2**26" in call else 128), call


def test_saturation_by_hand():
    settings = {"sigma_affinity": 0, "normalisation": False, "n_components": 4, "sigma_concentration": 0}
    x = odors.Mixture(**settings).sampler(np.random.default_rng(0), 3)(np.random.default_rng(1), 5)
    np.testing.assert_allclose(x, 4 / (4 + 4))  # the sum of four unit concentrations over itself and four


def test_nothing_is_called_aligned_when_numbers_overflow():
    x = torch.tensor([[1.0, torch.inf, 2.0]])
    assert torch.isnan(measures.pearson(x, torch.tensor([[1.0, 2.0, 3.0]])))


def test_response_stays_near_its_closed_form():
    """Below it where inputs are many, above it where they are few: the tails are not normal (chapter 1)."""
    found = align(2000, 50, [0.01, 0.05, 1.0], 2000, sample=300, n_test=2000)
    ratio = theory.response_alignment(found.drive) / found.response
    assert np.all((ratio > 0.8) & (ratio < 1.12))
    assert ratio[0] < 1 < ratio[2]
