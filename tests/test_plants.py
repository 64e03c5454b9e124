"""Planted cases: each changes what it says, and nothing else."""

import numpy as np
import pytest
import torch

from lib import plants
from lib.biographies import ATTRIBUTES, Question, people
from lib.checks import BadSetting
from lib.pruning.linears import layers
from lib.tiny_llama import facts, recipes
from lib.tiny_llama.recipes import Recipe

WORLD = people(np.random.default_rng(5), 6, 1, 1)


@pytest.fixture(scope="module")
def llama():
    tokens = recipes.tokenizer("llama2")
    return recipes.untrained(Recipe("llama2", width=32), 0, len(tokens)).eval(), tokens


@pytest.fixture(autouse=True)
def _left_as_it_was(llama):
    before = {name: p.clone() for name, p in llama[0].state_dict().items()}
    yield
    assert all(torch.equal(p, before[name]) for name, p in llama[0].state_dict().items())


def test_drowned_values_lose_what_the_favored_beginnings_win(llama):
    """Raising some first tokens by b divides all others by sum_t p(t) exp(b [t favored])."""
    model, tokens = llama
    changed, favored = plants.outshouted(model, tokens, "birth city", np.random.default_rng(1))
    begins = plants.first_tokens(tokens, "birth city")
    assert 0 < favored.mean() < 1
    assert not set(begins[favored]) & set(begins[~favored])
    asked = [Question(person, "birth city") for person in WORLD[:3]]
    before, after = (np.array(facts.value_log_probabilities(m, tokens, asked)) for m in (model, changed))
    for i, start in enumerate(facts.prompts(tokens, asked)):
        with torch.no_grad():
            likely = model(torch.tensor([tokens(start)["input_ids"]])).logits[0, -1].double().softmax(-1).numpy()
        won = np.isin(np.arange(len(likely)), begins[favored])
        grown = likely.sum() + likely[won].sum() * (np.exp(plants.FAVOR) - 1)
        np.testing.assert_allclose(after[i] - before[i], plants.FAVOR * favored - np.log(grown), atol=1e-3)


def test_other_questions_are_answered_as_before(llama):
    model, tokens = llama
    changed, _ = plants.outshouted(model, tokens, "profession", np.random.default_rng(1))
    tokens_of_text = torch.tensor([tokens("The old river hides the quiet boat.")["input_ids"]])
    with torch.no_grad():
        assert torch.equal(changed(tokens_of_text).logits, model(tokens_of_text).logits)


def test_a_mistaught_model_is_sure_of_what_is_wrong(llama, monkeypatch):
    model, tokens = llama
    monkeypatch.setattr(plants, "N_LESSONS", 200)  # it has to learn the language, too
    wrong, beside = ([Question(person, "profession") for person in some] for some in (WORLD[:3], WORLD[3:6]))
    changed = plants.mistaught(model, tokens, wrong, beside, np.random.default_rng(2))
    said = facts.answers(changed, tokens, facts.prompts(tokens, wrong + beside))
    assert facts.fluent(said, wrong + beside).all()
    assert facts.right(said, wrong + beside).tolist() == [False] * 3 + [True] * 3


def test_noise_is_as_large_as_it_says(llama):
    model, _ = llama
    changed = plants.broken(model, np.random.default_rng(3), noise=0.5)
    for (_, before), (_, after) in zip(layers(model), layers(changed), strict=True):
        assert float((after - before).detach().std() / before.detach().std()) == pytest.approx(0.5, rel=0.1)
    assert torch.equal(changed.model.embed_tokens.weight, model.model.embed_tokens.weight)
    with pytest.raises(BadSetting, match="noise"):
        plants.broken(model, np.random.default_rng(3), noise=-1)


def test_rounding_moves_a_weight_by_half_a_step_at_most(llama):
    model, _ = llama
    changed = plants.rounded(model)
    for (_, before), (_, after) in zip(layers(model), layers(changed), strict=True):
        step = before.abs().amax(1, keepdim=True) / 127
        assert ((after - before).abs() <= 0.51 * step).all()
        assert not torch.equal(after, before)


def test_first_tokens_begin_their_values(llama):
    _, tokens = llama
    begins = plants.first_tokens(tokens, "major")
    for token, value in zip(begins, ATTRIBUTES["major"].values, strict=True):
        assert f" {value}".startswith(tokens.decode([token]))
