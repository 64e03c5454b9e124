"""The Titans memory against itself, against known rules, and against what it must do exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.memory import titans
from lib.memory.titans import Gates, State


def stream(seed, *lead, n=40, n_keys=7, n_values=5):
    rng = np.random.default_rng(seed)
    keys, queries, values = (torch.from_numpy(rng.standard_normal((*lead, n, d))) for d in (n_keys, n_keys, n_values))
    return keys / keys.norm(dim=-1, keepdim=True), values, queries, rng


def gates(rng, *shape, predict=True):
    theta, eta, alpha = (torch.from_numpy(top * rng.random(shape)) for top in (0.5, 0.9, 0.2))
    return Gates(theta, eta, alpha, predict)


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 40), st.booleans(), st.booleans(), st.booleans())
def test_any_chunk_gives_what_the_loop_gives(seed, n, chunk, predict, begun, extreme):
    keys, values, queries, rng = stream(seed, 2, n=n)
    chosen = gates(rng, 2, n, predict=predict)
    if extreme:  # gates that are shut or wide open
        for gate in (chosen.eta, chosen.alpha):
            gate[torch.from_numpy(rng.random((2, n)) < 0.3)] = 0
            gate[torch.from_numpy(rng.random((2, n)) < 0.2)] = 1
    state = State(*torch.from_numpy(rng.standard_normal((2, 2, 5, 7)))) if begun else None
    reads, left = titans.loop(keys, values, chosen, queries, state)
    found, end = titans.chunked(keys, values, chosen, queries, state, chunk)
    for one, other in ((reads, found), (left.memory, end.memory), (left.surprise, end.surprise)):
        close(one, other)


def test_the_chunked_form_has_the_gradients_of_the_loop():
    keys, values, queries, rng = stream(3, n=12)
    chosen = gates(rng, 12)
    taken = [keys, values, queries, chosen.theta, chosen.eta, chosen.alpha]
    found = []
    for form in (titans.loop, lambda *a: titans.chunked(*a, chunk=5)):
        leaves = [x.clone().requires_grad_() for x in taken]
        form(leaves[0], leaves[1], Gates(*leaves[3:]), leaves[2])[0].square().sum().backward()
        found.append([leaf.grad for leaf in leaves])
    for one, other in zip(*found, strict=True):
        close(one, other, 1e-9)


def test_gradients_at_the_chunks_start_are_another_rule():
    """What the exact form must not be: errors against the memory before the chunk equal the loop at chunk 1 alone."""
    keys, values, _, rng = stream(5, n=12)
    chosen = gates(rng, 12)
    exact = titans.loop(keys, values, chosen)[1].memory
    for chunk, same in ((1, True), (4, False)):
        state = titans.start(keys, values)
        for t in range(0, 12, chunk):
            part = slice(t, t + chunk)
            errors = values[part] - keys[part] @ state.memory.mT
            rates = Gates(chosen.theta[part], chosen.eta[part], chosen.alpha[part], predict=False)
            _, state = titans.loop(keys[part], errors, rates, state=state)
        assert bool((state.memory - exact).abs().max() < 1e-10) == same


def test_surprise_is_minus_the_gradient_of_the_squared_error():
    keys, values, _, rng = stream(7, n=1)
    memory = torch.from_numpy(rng.standard_normal((5, 7))).requires_grad_()
    ((memory @ keys[0] - values[0]) ** 2).sum().backward()
    _, state = titans.loop(keys, values, Gates(0.3), state=State(memory.detach(), torch.zeros(5, 7).double()))
    close(state.surprise, -0.3 * memory.grad)


def test_without_prediction_it_is_linear_attention():
    keys, values, queries, _ = stream(11)
    reads, state = titans.chunked(keys, values, Gates(0.5, predict=False), queries, chunk=16)
    close(state.memory, values.T @ keys)
    close(reads, torch.tril(queries @ keys.T) @ values)


def test_without_momentum_it_is_the_gated_delta_rule():
    """M <- a M (I - b k k^T) + b v k^T (`yang2024gated`) with a = 1 - alpha, b = 2 theta / a and values times a."""
    keys, values, _, rng = stream(13)
    chosen = gates(rng, 40)
    chosen = Gates(chosen.theta, 0.0, chosen.alpha)
    memory, bare = np.zeros((2, 5, 7))
    for k, v, theta, alpha in zip(*(x.numpy() for x in (keys, values, chosen.theta, chosen.alpha)), strict=True):
        kept, b = 1 - alpha, 2 * theta / (1 - alpha)
        memory = kept * memory @ (np.eye(7) - b * np.outer(k, k)) + b * np.outer(kept * v, k)
        bare = kept * bare @ (np.eye(7) - 2 * theta * np.outer(k, k)) + 2 * theta * np.outer(v, k)
    found = titans.chunked(keys, values, chosen)[1].memory.numpy()
    np.testing.assert_allclose(found, memory, atol=1e-14)
    assert np.abs(found - bare).max() > 0.01  # without the mapping it is another rule


@pytest.mark.parametrize("name", titans.RULES)
def test_rules_are_the_gates_they_say(name):
    chosen = titans.rule(name, step=0.2, forgetting=0.1, momentum=0.5)
    assert chosen.theta / (1 - chosen.eta) == pytest.approx(0.1)
    assert (chosen.predict, chosen.alpha > 0, chosen.eta > 0) == titans.RULES[name]


def test_momentum_adds_the_same_in_the_long_run():
    """One pair, then empty ones: what stays is the step times the pair, whatever the momentum."""
    keys, values = torch.zeros(200, 3).double(), torch.zeros(200, 2).double()
    keys[0, 0], values[0] = 1, torch.tensor([1.0, -2.0])
    memory = titans.chunked(keys, values, titans.rule("Titans", 0.2, 0.0, 0.8))[1].memory
    close(memory[:, 0], 0.2 * values[0])


def test_orthonormal_keys_are_recalled_exactly():
    rng = np.random.default_rng(17)
    keys = torch.from_numpy(np.linalg.qr(rng.standard_normal((8, 8)))[0])
    values = torch.from_numpy(rng.standard_normal((8, 3)))
    _, state = titans.chunked(keys, values, Gates(0.5), chunk=3)
    close(keys @ state.memory.mT, values, 1e-14)


def test_alpha_one_leaves_nothing_of_the_old_keys():
    keys, values, _, rng = stream(19, n=5)
    new = torch.linalg.svd(keys)[2][-1:]  # orthogonal to the five
    _, old = titans.chunked(keys, values, Gates(0.5))
    _, state = titans.chunked(new, values[:1], Gates(0.5, 0.0, 1.0), state=old)
    close(keys @ state.memory.mT, torch.zeros(5, 5).double(), 1e-14)
    close(new @ state.memory.mT, values[:1], 1e-14)


def test_products_of_what_survives():
    factors = torch.tensor([0.5, 0.0, 3.0])
    expected = [[1, 0, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0], [0, 0, 3, 1]]
    assert titans.surviving(factors).tolist() == expected
