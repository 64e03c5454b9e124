"""Teaching facts: what is learned, what is held, what is counted."""

import numpy as np
import pytest
import torch

from lib.biographies import Question, people
from lib.checks import BadSetting
from lib.pruning import prune, report
from lib.relearning import _padded, _text, teach
from lib.tiny_llama import facts, recipes
from lib.tiny_llama.recipes import Recipe

ASKED = [Question(person, "profession") for person in people(np.random.default_rng(5), 4, 1, 1)[:4]]


@pytest.fixture
def llama():
    tokens = recipes.tokenizer("llama3")
    return recipes.untrained(Recipe("llama3", width=32), 0, len(tokens)).eval(), tokens


def test_facts_are_learned_and_zeros_stay_zero(llama):
    model, tokens = llama
    prune(model, method="magnitude", sparsity=0.5)
    sparse, seen = report(model).block_sparsity, []
    teach(model, tokens, ASKED, 150, learning_rate=3e-3, after=seen.append)
    assert seen == list(range(1, 151))
    said = facts.answers(model, tokens, facts.prompts(tokens, ASKED))
    assert facts.right(said, ASKED).all()
    assert report(model).block_sparsity == sparse == 0.5


def test_the_same_seed_teaches_the_same(llama):
    model, tokens = llama
    start = {name: p.clone() for name, p in model.state_dict().items()}
    found = []
    for seed in (1, 1, 2):
        model.load_state_dict(start)
        teach(model, tokens, ASKED * 5, 1, seed=seed)  # more than one batch, so that the order matters
        found.append(model.lm_head.weight.detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_only_answers_are_learned(llama):
    _, tokens = llama
    shown, learned = _padded([_text(tokens, question) for question in ASKED])
    for row, mask, question in zip(shown, learned, ASKED, strict=True):
        assert tokens.decode(mask[mask >= 0]) == f" {question.answer}.{tokens.eos_token}"
        assert torch.equal(row[mask >= 0], mask[mask >= 0])
        assert tokens.decode(row[: int((mask >= 0).nonzero()[0])]) == tokens.bos_token + question.prompt


def test_nothing_is_taught_in_no_exposures(llama):
    with pytest.raises(BadSetting, match="n_exposures"):
        teach(*llama, ASKED, 0)
