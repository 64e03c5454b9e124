"""What a single layer loses, against integration, against least squares by numpy, and on inputs that are all alike."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from lib.checks import BadSetting
from lib.pruning import criteria, surgeon
from lib.pruning.criteria import Settings
from lib.studies import layers, limits
from lib.studies.limits import Bench
from lib.tiny_llama import recipes
from lib.tiny_llama.recipes import CONTEXT, RECIPES


def test_lost_energy_is_the_integral_over_the_small_weights():
    for s in (0.05, 0.5, 0.9):
        t = stats.norm.ppf((1 + s) / 2)
        lost, _ = integrate.quad(lambda z: z**2 * stats.norm.pdf(z), -t, t)
        assert layers.lost_energy(s) == pytest.approx(lost, rel=1e-9)
    np.testing.assert_array_equal(layers.lost_energy([0, 1]), [0, 1])
    assert layers.lost_energy(0.01) == pytest.approx(np.pi / 6 * 1e-6, rel=1e-3)
    with pytest.raises(BadSetting):
        layers.lost_energy(1.1)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((300, 24)) @ rng.standard_normal((24, 24))
    return torch.from_numpy(rng.standard_normal((10, 24))).float(), x, torch.from_numpy(x.T @ x)


def test_refitted_weights_are_the_least_squares_of_each_row(problem):
    weight, x, hessian = problem
    gone = criteria.choose(criteria.magnitude(weight), Settings(sparsity=0.5))
    found = layers.least_squares(weight, gone, hessian)
    assert torch.equal(found == 0, gone)
    for row, kept, fitted in zip(weight.numpy(), ~gone.numpy(), found.numpy(), strict=True):
        expected = np.linalg.lstsq(x[:, kept], x @ row, rcond=None)[0]
        np.testing.assert_allclose(fitted[kept], expected, rtol=2e-4, atol=1e-5)


def test_refitting_is_at_least_as_good_as_sparsegpt(problem):
    weight, _, hessian = problem
    found = layers._pruned(weight, hessian, Settings(sparsity=0.5), (0, 0))
    share = {method: layers._share(weight - pruned, weight, hessian) for method, pruned in found.items()}
    assert list(share) == list(layers.METHODS)
    assert share["least squares"] < share["sparsegpt"] < share["wanda"] < share["random"]
    assert torch.equal(found["least squares"] == 0, found["sparsegpt"] == 0)
    norms = torch.from_numpy(np.linalg.norm(problem[1], axis=0))
    assert torch.equal(found["wanda"] == 0, criteria.choose(criteria.wanda(weight, norms), Settings(sparsity=0.5)))
    exact = (weight.double() - found["wanda"].double()) @ torch.linalg.cholesky(hessian)
    whole = weight.double() @ torch.linalg.cholesky(hessian)
    assert share["wanda"] == pytest.approx(float(exact.square().sum() / whole.square().sum()), rel=1e-9)
    assert surgeon.DAMPING < 0.1


def test_normal_weights_and_even_inputs_follow_the_closed_form():
    weight = torch.from_numpy(np.random.default_rng(2).standard_normal((200, 400))).float()
    even = 3 * torch.eye(400, dtype=torch.float64)
    for s in (0.3, 0.6):
        found = layers._pruned(weight, even, Settings(sparsity=s), (0, 0))
        for method, expected in (("magnitude", layers.lost_energy(s)), ("random", s), ("wanda", layers.lost_energy(s))):
            share = layers._share(weight - found[method], weight, even)
            assert share == pytest.approx(expected, rel=0.04)  # 80,000 weights


def test_errors_of_a_model(monkeypatch):
    tokens = recipes.tokenizer("llama2")
    model = recipes.untrained(RECIPES["llama2"], 0, len(tokens)).eval()
    bench = Bench("llama2", 0, model, tokens, torch.arange(CONTEXT), torch.arange(CONTEXT), 1, ())
    monkeypatch.setattr(limits, "bench", lambda *place, **settings: bench)
    monkeypatch.setattr(layers, "fingerprint", lambda: "these")
    monkeypatch.setattr(limits, "N_CALIBRATION", 4)
    found = layers.layer_errors("llama2", [0.5], "these")
    at = found.sel(sparsity=0.5)
    np.testing.assert_allclose(at.energy, layers.lost_energy(0.5), atol=0.01)  # its weights are normal
    np.testing.assert_allclose(at.error.sel({"method": "random"}), 0.5, atol=0.1)
    shares, seen = [], []
    for block in model.model.layers:
        block.self_attn.q_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(bench.calibration())
        for block, x in zip(model.model.layers, seen, strict=True):
            weight = block.self_attn.q_proj.weight
            gone = criteria.choose(criteria.magnitude(weight), Settings(sparsity=0.5))
            shares.append(float((x @ (weight * gone).T).square().sum() / (x @ weight.T).square().sum()))
    assert float(at.error.sel({"method": "magnitude", "kind": "q"})) == pytest.approx(np.mean(shares), rel=1e-4)
    assert (at.error.sel({"method": "least squares"}) < at.error.sel({"method": "magnitude"})).all()
    curves = layers.layer_curves(found.expand_dims(seed=[0]))
    assert float(curves.half) == pytest.approx(0.0713, abs=1e-4)
    assert float(curves.error_least_squares.sel(kind="q")[0]) == float(at.error.sel({"method": "least squares"})[0])
    with pytest.raises(BadSetting, match="models"):
        layers.layer_errors("llama2", [0.5], "others")
