"""How weights fluctuate: closed forms against direct sums and against runs."""

import numpy as np
import pytest
import torch

from lib import fluctuation, landscape


def test_settled_variance_of_independent_noise():
    """A scalar recursion d <- (1 - eta l) d + eta n, summed term by term."""
    curvature, rate, noise = np.array([0.5, 2.0]), 0.1, 0.3
    terms = (1 - rate * curvature) ** (2 * np.arange(5000)[:, None])
    found = fluctuation.settled_variance(curvature, noise, rate)
    np.testing.assert_allclose(found, rate**2 * noise * terms.sum(0))
    proportional = fluctuation.settled_variance(curvature, 0.7 * curvature, 1e-4)
    np.testing.assert_allclose(proportional, 1e-4 * 0.7 / 2, rtol=2e-4)


def test_settled_variance_of_epochs_by_its_covariance():
    """The stationary variance from the whole covariance of three epochs' noise, none of the closed form's algebra."""
    n, curvature, rate, noise = 6, 0.8, 0.15, 1.3
    epochs = 40
    inside = noise * (np.eye(n) - np.full((n, n), 1 / n)) * n / (n - 1)
    covariance = np.kron(np.eye(epochs), inside)
    kept = 1 - rate * curvature
    variances = []
    for end in range((epochs - 1) * n + 1, epochs * n + 1):
        weight = np.zeros(epochs * n)
        weight[:end] = rate * kept ** np.arange(end - 1, -1, -1)
        variances.append(weight @ covariance @ weight)
    assert fluctuation.settled_variance(curvature, noise, rate, n) == pytest.approx(np.mean(variances), rel=1e-4)


def test_epochs_quieten_flat_directions_only():
    curvature, rate, n = np.array([1e-4, 1e2]), 0.005, 100
    ratio = fluctuation.settled_variance(curvature, 1.0, rate, n) / fluctuation.settled_variance(curvature, 1.0, rate)
    assert ratio[0] < 1e-3 and ratio[1] == pytest.approx(1, abs=0.05)
    assert fluctuation.settled_variance(curvature, curvature, rate, n)[0] == pytest.approx(
        rate**2 * 1e-4 * (n + 1) / 6, rel=0.01
    )  # a random bridge of n steps, averaged along it


@pytest.mark.parametrize("sampling", fluctuation.SAMPLINGS)
def test_streams_show_what_they_say(sampling):
    rng = np.random.default_rng(0)
    circuit = landscape.draw_circuit(rng, 2, 60, 20, 5, codes="linear")
    familiar = circuit.encode(landscape.draw_odors(rng, 20, 300))
    blocks = list(fluctuation.stream(rng, circuit, familiar, sampling, 900))
    sent, target, answer = (torch.cat(part) for part in zip(*blocks, strict=True))
    assert sent.shape == (900, 2, 5) and target.shape == answer.shape == (900, 2)
    known = {tuple(row) for row in familiar.target.T.tolist()}
    seen = [tuple(row) for row in target.tolist()]
    if sampling == "fresh":
        assert not known & set(seen) and len(set(seen)) == 900
    else:
        assert set(seen) <= known
        assert (len(set(seen[:300])) == len(set(seen[300:600])) == 300) == (sampling == "epochs")
        assert seen[:300] != seen[300:600]


def test_descent_takes_the_rules_steps():
    """A loop of plain outer products, for the squared loss and the readout's."""
    rng = np.random.default_rng(1)
    circuit = landscape.draw_circuit(rng, 2, 60, 20, 5)
    codes = circuit.encode(landscape.draw_odors(rng, 20, 40))
    start, rate = landscape.random_start(rng, codes, 1)[0], torch.tensor([0.3, 0.5], dtype=torch.float64)
    blocks = [tuple(part.movedim(-1, 0) for part in (codes.sent, codes.target, codes.answer))]
    for threshold, loss in ((None, landscape.squared_loss), (codes.threshold[:, 0], landscape.readout_loss)):
        weights = start.clone()
        for i in range(40):
            odor = landscape.Codes(*(part[..., i : i + 1] for part in (codes.sent, codes.target, codes.answer)),
                                   codes.threshold)  # fmt: skip
            step = torch.func.grad(lambda w, odor=odor, loss=loss: loss(w, odor).sum())(weights)
            weights = weights - rate[:, None] * step
        course = fluctuation.descend(start, blocks, rate, threshold, every=20)
        assert course.shape == (2, 2, 5)
        torch.testing.assert_close(course[-1], weights)


def test_online_least_squares_fluctuates_alike_in_every_direction():
    """Linear codes, 4 inputs of 16 glomeruli, 20 neurons, 30,000 fresh odors: the exact form within 4 % on average."""
    rng = np.random.default_rng(2)
    circuit = landscape.draw_circuit(rng, 20, 200, 16, 4, codes="linear")
    block, cross, variance = circuit.covariance()
    best = np.linalg.solve(block, cross[..., None])[..., 0]
    familiar = circuit.encode(landscape.draw_odors(rng, 16, 10))
    rate = torch.full((20,), 0.03, dtype=torch.float64)
    blocks = fluctuation.stream(rng, circuit, familiar, "fresh", 30_000)
    course = fluctuation.descend(torch.from_numpy(best), blocks, rate)[300:] - torch.from_numpy(best)
    values, vectors = np.linalg.eigh(block)
    measured = ((course.numpy().transpose(1, 0, 2) @ vectors) ** 2).mean(1)
    residual = variance - (cross * best).sum(1)
    exact = np.array([fluctuation.gaussian_variance(v, r, 0.03) for v, r in zip(values, residual, strict=True)])
    assert (measured / exact).mean() == pytest.approx(1, abs=0.04)
    assert abs(np.polyfit(np.log(values / values.mean(1, keepdims=True)).ravel(),
                          np.log(measured / exact.mean(1, keepdims=True)).ravel(), 1)[0]) < 0.1  # fmt: skip
    small = fluctuation.gaussian_variance(values[0], residual[0], 1e-6)
    np.testing.assert_allclose(small, 1e-6 * residual[0] / 2, rtol=1e-4)


def test_noise_is_the_variance_of_single_gradients():
    rng = np.random.default_rng(3)
    codes = landscape.draw_circuit(rng, 2, 60, 20, 5).encode(landscape.draw_odors(rng, 20, 60))
    errors = torch.from_numpy(rng.standard_normal((2, 60)))
    vectors = torch.linalg.eigh(landscape.sender_covariance(codes))[1]
    found = fluctuation.noise(errors, codes, vectors)
    direct = [[np.mean([(float(errors[i, p]) * float(vectors[i, :, m] @ codes.sent[i, :, p])) ** 2 for p in range(60)])
               for m in range(5)] for i in range(2)]  # fmt: skip
    np.testing.assert_allclose(found, direct)


def test_width_of_a_parabola():
    """floor + l d^2 / 2 reaches e times the floor at sqrt(2 (e - 1) floor / l) on either side."""
    floor, curved = torch.tensor([[0.2], [0.5]]), torch.tensor([[1.0, 4.0], [2.0, 0.5]])
    found = fluctuation.widths(lambda d: floor + curved * d**2 / 2, floor, torch.full((2, 2), 10.0))
    torch.testing.assert_close(found, 2 * (2 * (torch.e - 1) * floor / curved).sqrt())
