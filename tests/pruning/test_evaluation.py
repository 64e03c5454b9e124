"""Perplexity against a loop over tokens and against models whose answer is known."""

import math

import pytest
import torch

from lib.checks import BadSetting
from lib.pruning.evaluation import evaluate


@pytest.mark.parametrize(("length", "context", "batch"), [(50, 10, 8), (50, 7, 3), (64, 64, 1), (9, 2, 100)])
def test_perplexity_is_that_of_a_loop_over_tokens(llama, length, context, batch):
    model = llama("grouped")
    tokens = torch.randint(61, (length,), generator=torch.Generator().manual_seed(3))
    surprise = []
    for begin in range(0, length - context + 1, context):
        for seen in range(1, context):  # each token anew, after the window's earlier ones alone
            with torch.no_grad():
                logits = model(tokens[None, begin : begin + seen]).logits[0, -1].double()
            surprise.append(-logits.log_softmax(0)[tokens[begin + seen]].item())
    found = evaluate(model, tokens, context, characters=170, batch=batch)
    assert found.n_tokens == len(surprise) == length // context * (context - 1)
    assert found.nats_per_token == pytest.approx(sum(surprise) / len(surprise), rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(found.nats_per_token), rel=1e-12)
    assert found.bits_per_character == pytest.approx(found.nats_per_token / math.log(2) * length / 170, rel=1e-12)


def test_a_model_of_16_bits_is_judged_in_32(llama):
    model, tokens = llama("plain", torch.bfloat16), torch.arange(60).view(4, 15)
    with torch.no_grad():
        surprise = -model(tokens).logits.double().log_softmax(2)[:, :-1].gather(2, tokens[:, 1:, None]).mean()
    assert evaluate(model, tokens.flatten(), 15).nats_per_token == pytest.approx(surprise.item(), rel=1e-6)


def test_constant_logits_have_the_vocabulary_as_perplexity(llama):
    model = llama("plain")
    model.lm_head.weight.data.zero_()
    found = evaluate(model, list(range(61)) * 2, 20)
    assert found.perplexity == pytest.approx(61, rel=1e-6)
    assert found.bits_per_character is None
    coin = llama("plain", vocab_size=2)
    coin.lm_head.weight.data.zero_()
    assert evaluate(coin, [0, 1] * 8, 4, characters=16).bits_per_character == pytest.approx(1)


def test_an_overflow_is_nan_and_not_a_small_number(llama):
    model = llama("plain")
    model.lm_head.weight.data[0] = torch.nan
    assert math.isnan(evaluate(model, [1, 2, 3], 3).perplexity)
    model.lm_head.weight.data[0] = 1e36 * model.lm_head.weight.data[1].sign()
    surprise = evaluate(model, [1] * 9, 9).nats_per_token
    assert surprise > 1000 and evaluate(model, [1] * 9, 9).perplexity == math.inf


@pytest.mark.parametrize(
    ("tokens", "settings", "said"),
    [
        ([1, 2, 3], {"context": 4}, "tokens must be one row of at least context = 4"),
        ([[1, 2], [3, 4]], {"context": 2}, "one row"),
        ([0.5, 1.0], {"context": 2}, "one row"),
        ([1, 61], {"context": 2}, "vocabulary of 61"),
        ([1, -1], {"context": 2}, "vocabulary"),
        ([1, 2], {"context": 1}, "context"),
        ([1, 2], {"context": 2, "characters": 0}, "characters"),
        ([1, 2], {"context": 2, "batch": 0}, "batch"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(llama, tokens, settings, said):
    with pytest.raises(BadSetting, match=said):
        evaluate(llama("plain"), tokens, **settings)
