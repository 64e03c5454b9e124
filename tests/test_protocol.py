"""The protocol against plain readings of a small model, and its verdicts against evidence made by hand."""

import numpy as np
import pytest
import torch

from lib import protocol
from lib.biographies import ATTRIBUTES, Question, people, questions
from lib.protocol import DAMAGED, FORGOTTEN, KEPT, MADE_UP, MISLAID, Bounds, Evidence
from lib.tiny_llama import facts, recipes
from lib.tiny_llama.recipes import Recipe

WORLD = people(np.random.default_rng(3), 3, 2, 2)


@pytest.fixture(scope="module")
def llama():
    tokens = recipes.tokenizer("llama3")
    model = recipes.untrained(Recipe("llama3", width=32), 0, len(tokens)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)  # so that some values are clearly likelier than others
    return model, tokens


def evidence(n=1, **fields):
    """Evidence of a fluent, wrong, unsure answer without support, n times, but for `fields`."""
    plain = {"answer": "x", "right": False, "fluent": True, "spoken": 1.0, "confidence": 0.1,
             "chance": 0.01, "support": 0.0}  # fmt: skip
    return Evidence(**{name: np.broadcast_to(fields.get(name, value), n).copy() for name, value in plain.items()})


@torch.no_grad()
def probability(model, tokens, question, value):
    """Of " value." after the question, one token at a time."""
    ids, found = tokens(tokens.bos_token + question.prompt)["input_ids"], 1.0
    for token in tokens(f" {value}.", add_special_tokens=False)["input_ids"]:
        found *= float(model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)[token])
        ids = [*ids, token]
    return found


def test_habits_are_mean_probabilities_over_strangers(llama):
    asked, places = WORLD[:3], [0, 7, 23]
    usual = protocol.habits(*llama, asked, ["profession", "birth year"])
    assert set(usual) == {"profession", "birth year"}
    for attribute, found in usual.items():
        values = ATTRIBUTES[attribute].values
        assert found.shape == (len(values),)
        for i in places:
            each = [probability(*llama, Question(person, attribute), values[i]) for person in asked]
            assert np.exp(found[i]) == pytest.approx(np.mean(each), rel=1e-4)


def test_support_of_strangers_has_mean_one_and_obeys_its_bound(llama):
    """Over the strangers themselves the mean of exp(s) is 1 for each value, and P(s > b) <= exp(-b)."""
    asked = people(np.random.default_rng(8), 1, 1, 40)
    usual = protocol.habits(*llama, asked, ["major"])["major"]
    each = np.array(facts.value_log_probabilities(*llama, [Question(person, "major") for person in asked]))
    support = each - usual
    np.testing.assert_allclose(np.exp(support).mean(0), 1, rtol=1e-6)
    for bound in (0.2, 0.5, 1.0):
        assert (support > bound).mean() <= np.exp(-bound)


def test_evidence_is_what_a_plain_reading_gives(llama):
    model, tokens = llama
    asked = questions(WORLD)[:6]
    usual = protocol.habits(model, tokens, WORLD[3:])
    found = protocol.ask(model, tokens, asked, usual, seed=1)
    for i, question in enumerate(asked):
        chance = probability(model, tokens, question, question.answer)
        assert found.chance[i] == pytest.approx(chance, rel=1e-3)
        place = ATTRIBUTES[question.attribute].values.index(question.answer)
        assert found.support[i] == pytest.approx(np.log(chance) - usual[question.attribute][place], abs=1e-3)
    assert not found.right.any() and (found.confidence[~found.fluent] == 0).all()
    assert found[found.chance > 0].answer.tolist() == found.answer.tolist()


def test_a_fluent_answer_has_the_probability_of_its_value(llama, monkeypatch):
    model, tokens = llama
    asked = questions(WORLD)[:5]
    said = [ATTRIBUTES[q.attribute].values[3] for q in asked]
    monkeypatch.setattr(facts, "answers", lambda *_: [f" {value}. And so on." for value in said])
    found = protocol.ask(model, tokens, asked, protocol.habits(model, tokens, WORLD[5:]))
    expected = [probability(model, tokens, q, value) for q, value in zip(asked, said, strict=True)]
    np.testing.assert_allclose(found.confidence, expected, rtol=1e-3)
    assert found.fluent.all() and found.answer[0] == f" {said[0]}."


def test_sampled_answers_are_values_as_often_as_these_are_likely(llama, monkeypatch):
    _, tokens = llama
    model = recipes.untrained(Recipe("llama3", width=32), 1, len(tokens)).eval()
    asked = [Question(person, "profession") for person in WORLD[:2]]
    usual = {"profession": np.zeros(len(ATTRIBUTES["profession"].values))}
    monkeypatch.setattr(protocol, "N_SAMPLES", 400)
    bias = torch.zeros(model.config.vocab_size)
    bias[tokens(" teacher. judge", add_special_tokens=False)["input_ids"]] = 8  # likely enough to be drawn
    with_bias = model.lm_head.register_forward_hook(lambda _, inputs, logits: logits + bias)
    found = protocol.ask(model, tokens, asked, usual, seed=2)
    likely = np.exp(facts.value_log_probabilities(model, tokens, asked)).sum(1)
    with_bias.remove()
    assert (likely > 0.05).all() and not found.right.any()
    sigma = np.sqrt(likely * (1 - likely) / 400)
    assert (abs(found.spoken - likely) < 4 * sigma).all()


def test_right_answers_are_not_sampled(llama, monkeypatch):
    model, tokens = llama
    asked = questions(WORLD)[:4]
    said = [asked[0].answer, "nothing", asked[2].answer, "nothing"]
    monkeypatch.setattr(facts, "answers", lambda *_: [f" {value}." for value in said])
    found = protocol.ask(model, tokens, asked, protocol.habits(model, tokens, WORLD[5:]))
    assert np.isnan(found.spoken).tolist() == found.right.tolist() == [True, False, True, False]


def test_strangers_are_new():
    made = protocol.strangers(np.random.default_rng(0), 500, WORLD)
    assert len(made) == len({person.name for person in made}) == 500
    assert not {person.name for person in made} & {person.name for person in WORLD}
    same = protocol.strangers(np.random.default_rng(0), 2, [])
    assert protocol.strangers(np.random.default_rng(0), 1, [same[0]]) == [same[1]]


def test_knowing_asks_for_more_than_a_lucky_greedy_answer():
    found = evidence(4, right=[True, True, False, True], chance=[0.9, 0.4, 0.9, 0.51])
    assert protocol.knows(found).tolist() == [True, False, False, True]


def test_bounds_leave_their_share_beyond():
    rng = np.random.default_rng(0)
    unseen = evidence(600, confidence=rng.random(600) * 0.5, spoken=rng.integers(0, 11, 600) / 10)
    changed = rng.standard_normal(600)
    known = evidence(600, confidence=0.8 + 0.2 * rng.random(600))
    found = protocol.bounds(known, unseen, changed)
    assert sum(changed > found.support) == 10  # of 600, a sixtieth
    assert (unseen.spoken < found.spoken).mean() <= 1 / 60
    assert sorted(known.confidence)[9] <= found.confidence <= sorted(known.confidence)[11]
    unsure = protocol.bounds(evidence(600, confidence=rng.random(600) * 0.3), unseen, changed)
    assert sum(unseen.confidence > unsure.confidence) == 10


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        (FORGOTTEN, {}),
        (KEPT, {"right": True, "spoken": np.nan, "confidence": 0.95, "support": 5.0}),
        (DAMAGED, {"spoken": 0.3, "confidence": 0.95, "support": 5.0}),
        (MADE_UP, {"confidence": 0.95, "support": 5.0}),
        (MISLAID, {"support": 5.0}),
        (FORGOTTEN, {"spoken": 0.5, "confidence": 0.9, "support": 2.0}),  # at the bounds, not beyond
    ],
)
def test_the_first_verdict_that_applies(verdict, fields):
    bounds = Bounds(spoken=0.5, confidence=0.9, support=2.0)
    assert protocol.verdicts(evidence(3, **fields), bounds).tolist() == [verdict] * 3


def test_joined_evidence_stands_in_order():
    joined = Evidence.join([evidence(2, support=1.0), evidence(1, support=2.0)])
    assert joined.support.tolist() == [1, 1, 2]
    assert joined[joined.support > 1].answer.tolist() == ["x"]
