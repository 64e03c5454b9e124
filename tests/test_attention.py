"""Measures of a row of attention against counting, closed forms against draws, rows against transformers' own."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lib import attention
from lib.checks import BadSetting

SIZES = dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4)


def draws(n_rows, n_keys, deviation=1.0, seed=0):
    return torch.from_numpy(deviation * np.random.default_rng(seed).standard_normal((n_rows, n_keys)))


def llama(n_kv=4, bias=False, implementation="eager", dtype=torch.float32):
    config = LlamaConfig(**SIZES, num_key_value_heads=n_kv, attention_bias=bias, attn_implementation=implementation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
        for weights in model.parameters():
            torch.nn.init.normal_(weights, std=0.4)
    return model.to(dtype)


def rows(model, tokens, contexts):
    found = {}
    attention.read(model, tokens, contexts, lambda r: found.__setitem__((r.layer, r.context), r))
    return found


TOKENS = torch.from_numpy(np.random.default_rng(1).integers(0, 50, (3, 40)))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_density_counts_the_smallest_set(share):
    logits = draws(20, 8, 1.5)
    found = attention.density(logits, [share])[:, 0]
    for row, value in zip(logits.numpy(), found, strict=True):
        weights = np.exp(row) / np.exp(row).sum()
        smallest = min(
            len(kept) for k in range(1, 9) for kept in itertools.combinations(weights, k) if sum(kept) >= share
        )
        assert value == smallest / 8


def test_uniform_and_single_keys_are_the_extremes():
    same, one = torch.zeros(40), torch.zeros(40).index_fill(0, torch.tensor(7), 50.0)
    np.testing.assert_allclose(attention.density(same, [0.5, 0.9]), [0.5, 0.9])
    np.testing.assert_allclose(attention.density(one, [0.5, 0.999]), [1 / 40, 1 / 40])
    assert attention.entropy(same).item() == pytest.approx(np.log(40))
    assert attention.entropy(one).item() == pytest.approx(0, abs=1e-6)


def test_entropy_by_definition():
    logits = draws(5, 30, 2.0)
    weights = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True)
    np.testing.assert_allclose(attention.entropy(logits), stats.entropy(weights, axis=-1), rtol=1e-12)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_gaussian_closed_forms_meet_many_keys(deviation):
    logits = draws(20, 50_000, deviation)
    shares = [0.5, 0.9, 0.95]
    np.testing.assert_allclose(
        attention.density(logits, shares).mean(0), attention.gaussian_density(shares, deviation), rtol=0.02
    )
    effective = attention.entropy(logits).exp().mean() / 50_000
    np.testing.assert_allclose(effective, np.exp(-(deviation**2) / 2), rtol=0.02)  # `eq-attention-effective`


def test_slope_is_the_derivative_of_the_density():
    growth, step = 1.3, 1e-5  # variance = growth x log n
    for log_n in (4.0, 8.0, 12.0):
        deviations = np.sqrt(growth * (log_n + np.array([-step, step])))
        numeric = np.diff(np.log(attention.gaussian_density(0.9, deviations)))[0] / (2 * step)
        here = np.sqrt(growth * log_n)
        z = stats.norm.ppf(0.9) - here
        slope = -stats.norm.pdf(z) / stats.norm.cdf(z) * growth / (2 * here)  # `eq-attention-slope`
        assert slope == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("growth", [0.0, 0.5, 1.0])
def test_number_of_keys_that_count_grows_with_the_freezing_exponent(growth):
    n = np.array([2**8, 2**11, 2**14])
    found = [attention.entropy(draws(200, k, np.sqrt(growth * np.log(k)), seed=k)).mean().item() for k in n]
    assert np.polyfit(np.log(n), found, 1)[0] == pytest.approx(attention.freezing_exponent(growth), abs=0.02)


def test_frozen_attention_rests_on_few_keys():
    assert attention.freezing_exponent([2, 3, 8]).tolist() == [0, 0, 0]
    few = [attention.entropy(draws(300, k, np.sqrt(6 * np.log(k)))).mean().exp().item() for k in (2**8, 2**14)]
    assert max(few) < 4 and few[1] / few[0] < 1.5  # 64 times the keys


def test_no_row_is_sparser_than_its_reach_allows():
    for deviation in (0.1, 1.0, 4.0):
        logits = draws(50, 60, deviation)
        reach = np.ptp(logits.numpy(), axis=-1)
        for share in (0.5, 0.9):
            found = attention.density(logits, [share])[:, 0].numpy()
            assert np.all(found >= attention.bounded_density(share, reach) - 1e-12)
    n, n_high, reach = 1000, 200, 3.0  # two levels attain it
    two = torch.cat([torch.full((n_high,), reach), torch.zeros(n - n_high)])
    held = n_high * np.exp(reach) / (n_high * np.exp(reach) + n - n_high)
    assert attention.bounded_density(held, reach) == pytest.approx(n_high / n)
    assert attention.density(two, [held - 1e-9])[0] == n_high / n


def test_output_density_by_a_loop():
    rng = np.random.default_rng(3)
    logits, values = 2 * rng.standard_normal((4, 12)), rng.standard_normal((4, 12, 5))
    found = attention.output_density(torch.from_numpy(logits), torch.from_numpy(values), [0.5, 0.9, 1.0])
    for row, value, densities in zip(logits, values, found, strict=True):
        weights = np.exp(row) / np.exp(row).sum()
        order, whole = np.argsort(-weights), weights @ value
        for wanted, density in zip([0.5, 0.9], densities, strict=False):
            for k in range(1, 13):
                part = weights[order[:k]] @ value[order[:k]]
                if part @ whole / np.linalg.norm(part) / np.linalg.norm(whole) >= wanted:
                    break
            assert density == k / 12
        assert densities[2] == 1


def test_gaussian_null_keeps_each_rows_variance():
    logits = torch.stack([draws(1, 30)[0], 5 + draws(1, 30, 3.0, 1)[0]])
    null, same, other = (attention.gaussian_like(np.random.default_rng(seed), logits) for seed in (0, 0, 1))
    np.testing.assert_allclose(null.var(-1), logits.var(-1))
    assert torch.equal(null, same) and not torch.allclose(null, other)


@pytest.mark.parametrize(
    ("n_kv", "bias", "implementation"), [(4, False, "eager"), (2, True, "eager"), (2, False, "sdpa")]
)
def test_rows_are_those_of_transformers(n_kv, bias, implementation):
    with torch.no_grad():
        expected = llama(n_kv, bias)(TOKENS, output_attentions=True).attentions
    found = rows(llama(n_kv, bias, implementation), TOKENS, [3, 17, 40])
    assert len(found) == 9
    for (layer, n), row in found.items():
        np.testing.assert_allclose(row.logits.softmax(-1), expected[layer][:, :, n - 1, :n], atol=2e-6)
        assert row.values.shape == (3, 4, n, 8)


def test_values_make_the_layers_output():
    model, outputs = llama(2), {}
    watch = [
        layer.self_attn.register_forward_hook(lambda m, a, out, i=i: outputs.__setitem__(i, out[0]))
        for i, layer in enumerate(model.model.layers)
    ]
    found = rows(model, TOKENS, [40])
    for i, layer in enumerate(model.model.layers):
        row = found[i, 40]
        heads = (row.logits.softmax(-1)[..., None] * row.values).sum(-2)
        with torch.no_grad():
            np.testing.assert_allclose(layer.self_attn.o_proj(heads.flatten(1)), outputs[i][:, -1], atol=1e-5)
    for hook in watch:
        hook.remove()


def test_foreign_rows_are_asked_by_the_next_text():
    tokens = TOKENS[[0, 1, 0, 2]]
    tokens[2, -1] = tokens[1, -1]  # in the first layer its last query is that of text 1, over the keys of text 0
    found = rows(llama(), tokens, [40])[0, 40]
    np.testing.assert_allclose(found.foreign[0, :, :-1], found.logits[2, :, :-1], atol=1e-5)
    assert rows(llama(), TOKENS[:1], [40])[0, 40].foreign is None


def test_half_precision_rows_are_close():
    exact, half = (rows(llama(dtype=dtype), TOKENS, [40])[0, 40].logits for dtype in (torch.float32, torch.bfloat16))
    assert half.dtype == torch.float32
    assert (exact.softmax(-1) - half.softmax(-1)).abs().max() < 0.05


def test_bad_readings_are_refused_and_leave_no_hook():
    other = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=50))
    with pytest.raises(BadSetting, match="gpt2"):
        attention.read(other, TOKENS, [8], print)
    model = llama()
    with pytest.raises(BadSetting, match="contexts"):
        attention.read(model, TOKENS, [41], print)
    with pytest.raises(ZeroDivisionError):
        attention.read(model, TOKENS, [8], lambda r: 1 / 0)
    assert not any(layer.self_attn._forward_pre_hooks for layer in model.model.layers)
    for share in (0, 1.5):
        with pytest.raises(BadSetting, match="shares"):
            attention.density(draws(1, 8), [share])


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_keys_that_hold_a_share_are_those_that_density_counts(share):
    logits = draws(30, 20, 2.0)
    kept = attention.holding(logits, share)
    assert kept[:, 0].all()
    np.testing.assert_allclose(kept[:, 1:].double().mean(-1), attention.density(logits[:, 1:], [share])[:, 0])
    dropped = logits[:, 1:].masked_fill(kept[:, 1:], -torch.inf).max(-1).values
    assert (logits[:, 1:].masked_fill(~kept[:, 1:], torch.inf).min(-1).values >= dropped).all()


def test_keys_that_hold_a_share_depend_on_differences_alone():
    logits = draws(5, 20, 2.0)
    assert torch.equal(attention.holding(logits + 1000, 0.8), attention.holding(logits, 0.8))


def test_keys_ahead_are_never_kept():
    logits = draws(6, 6).masked_fill(torch.ones(6, 6, dtype=torch.bool).triu(1), -torch.inf)
    assert torch.equal(attention.holding(logits, 1.0), logits > -torch.inf)
    assert not (attention.holding(logits, 0.3) & (logits == -torch.inf)).any()
    two = attention.largest(logits, 2)
    assert two.sum(-1).tolist() == [1, 2, 3, 3, 3, 3] and not (two & (logits == -torch.inf)).any()


def test_largest_keys_by_sorting():
    logits = draws(10, 20)
    expected = np.zeros((10, 20), bool)
    for row, others in zip(expected, logits[:, 1:].numpy(), strict=True):
        row[1 + np.argsort(-others)[:5]] = row[0] = True
    np.testing.assert_array_equal(attention.largest(logits, 5), expected)


def test_truncated_attention_reads_with_the_kept_keys_alone():
    model = llama(2)
    with torch.no_grad():
        dense = model(TOKENS).logits
        for rng in (None, np.random.default_rng(0)):
            with attention.truncated(model, 39, rng):
                np.testing.assert_allclose(model(TOKENS).logits, dense, atol=1e-4)
        with attention.truncated(model, 1):
            first = model.model.layers[0].self_attn
            row = rows(model, TOKENS, [40])[0, 40]
            states = model.model.layers[0].input_layernorm(model.model.embed_tokens(TOKENS))
            positions = model.model.rotary_emb(states, torch.arange(40)[None])
            output = first(hidden_states=states, position_embeddings=positions)[0][:, -1]
        two = row.logits.masked_fill(row.logits < row.logits[..., 1:].max(-1, keepdim=True).values, -torch.inf)
        two[..., 0] = row.logits[..., 0]
        heads = (two.softmax(-1)[..., None] * row.values).sum(-2)
        np.testing.assert_allclose(first.o_proj(heads.flatten(1)), output, atol=1e-5)
        with attention.truncated(model, 2, np.random.default_rng(0)):
            assert not torch.allclose(model(TOKENS).logits, dense, atol=0.1)
        np.testing.assert_array_equal(model(TOKENS).logits, dense)  # as before, afterwards
    with pytest.raises(BadSetting, match="n_kept"), attention.truncated(model, 0):
        pass
    with pytest.raises(BadSetting, match="share"):
        attention.holding(row.logits, 0.0)
