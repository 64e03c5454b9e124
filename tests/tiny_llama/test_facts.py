"""What a model answers and how likely it finds each value, against the plain reading of one text at a time."""

import numpy as np
import pytest
import torch

from lib import biographies
from lib.biographies import ATTRIBUTES, Question
from lib.checks import BadSetting
from lib.tiny_llama import facts, recipes
from lib.tiny_llama.recipes import Recipe

PEOPLE = biographies.people(np.random.default_rng(3), 4, 3, 2)


@pytest.fixture(scope="module", params=recipes.STYLES)
def model(request):
    tokens = recipes.tokenizer(request.param)
    model = recipes.untrained(Recipe(request.param, width=32), 0, len(tokens)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)  # so that some values are clearly likelier than others
    return model, tokens


@torch.no_grad()
def greedy(model, ids, n):
    for _ in range(n):
        ids = [*ids, int(model(torch.tensor([ids])).logits[0, -1].argmax())]
    return ids


def test_an_answer_is_right_when_its_first_sentence_is_the_value():
    question = Question(PEOPLE[0], "major")
    value = question.answer
    other = next(v for v in ATTRIBUTES["major"].values if v != value)
    said = [f" {value}.", f" {value}. And more.", f" {value}", f"{value}.", f" {other}.", f" {value} {value}.", "", "."]
    assert facts.right(said, [question] * 8).tolist() == [True, True] + [False] * 6
    assert facts.fluent(said, [question] * 8).tolist() == [True, True, False, False, True, False, False, False]
    year = f" {ATTRIBUTES['birth year'].values[0]}."
    assert not facts.fluent([year], [question])[0]  # of another attribute
    with pytest.raises(ValueError):
        facts.right(said, [question])


def test_answers_are_the_greedy_ones(model):
    llama, tokens = model
    questions = biographies.questions(PEOPLE)[:8]
    starts = facts.prompts(tokens, questions)
    for start, answer in zip(starts, facts.answers(llama, tokens, starts, 4), strict=True):
        ids = tokens(start)["input_ids"]
        assert ids[0] == tokens.bos_token_id != ids[1]
        new = greedy(llama, ids, 4)[len(ids) :]
        cut = new.index(tokens.eos_token_id) if tokens.eos_token_id in new else len(new)
        assert answer == tokens.decode(new[:cut], skip_special_tokens=True)


def test_the_longest_answer_fits(model):
    _, tokens = model
    lengths = [len(tokens(f" {v}.")["input_ids"]) for a in ATTRIBUTES.values() for v in a.values]
    assert facts.longest(tokens) == max(lengths)


@torch.no_grad()
def test_values_are_as_likely_as_their_texts(model, monkeypatch):
    llama, tokens = model
    questions = biographies.questions(PEOPLE)[3:15]
    for rows in (facts.ROWS, 130):  # all at once, or one question at a time
        monkeypatch.setattr(facts, "ROWS", rows)
        found = facts.value_log_probabilities(llama, tokens, questions)
        assert [len(row) for row in found] == [len(ATTRIBUTES[q.attribute].values) for q in questions]
        for question, row in zip(questions, found, strict=True):
            ids = tokens(f"<s>{question.prompt}")["input_ids"]
            for place in (0, 7, len(row) - 1):
                value = tokens(f" {ATTRIBUTES[question.attribute].values[place]}.")["input_ids"]
                likely = llama(torch.tensor([ids + value])).logits[0].log_softmax(-1)
                each = [float(likely[len(ids) - 1 + i, token]) for i, token in enumerate(value)]
                assert row[place] == pytest.approx(sum(each), abs=2e-4)
            assert np.exp(row).sum() < 1 + 1e-6  # no sentence begins another


def test_a_text_is_as_likely_among_others_as_by_itself(model, monkeypatch):
    llama, tokens = model
    questions = biographies.questions(PEOPLE)[:8]
    starts, ends = facts.prompts(tokens, questions), [f" {question.answer}." for question in questions]
    values = facts.value_log_probabilities(llama, tokens, questions)
    right = [ATTRIBUTES[question.attribute].values.index(question.answer) for question in questions]
    expected = [row[place] for row, place in zip(values, right, strict=True)]
    for rows in (facts.ROWS, 12):
        monkeypatch.setattr(facts, "ROWS", rows)
        np.testing.assert_allclose(facts.log_probabilities(llama, tokens, starts, ends), expected, atol=3e-4)


def test_values_after_other_prompts(model):
    llama, tokens = model
    questions = biographies.questions(PEOPLE)[:2]
    same = facts.value_log_probabilities(llama, tokens, questions, facts.prompts(tokens, questions))
    np.testing.assert_array_equal(same[1], facts.value_log_probabilities(llama, tokens, questions)[1])
    swapped = facts.value_log_probabilities(llama, tokens, questions, facts.prompts(tokens, questions[::-1]))
    assert abs(swapped[0] - same[0]).max() > 1e-3
    other, starts = [questions[0]] * 2, ["<s>Q", "<s>A"]  # of one attribute and length, with different ends
    both = facts.value_log_probabilities(llama, tokens, other, starts)
    for start, row in zip(starts, both, strict=True):
        np.testing.assert_allclose(row, facts.value_log_probabilities(llama, tokens, other[:1], [start])[0], atol=1e-4)
    alone = facts.value_log_probabilities(llama, tokens, questions[:1], ["<s>"])[0]
    assert alone.shape == same[0].shape and np.isfinite(alone).all()


def test_recall_says_of_whom_it_was_asked(model, monkeypatch):
    llama, tokens = model
    questions = biographies.questions(PEOPLE)
    truth = {f"<s>{q.prompt}": q for q in questions}

    def knows_group_a(_, tokenizer, prompts, n_new):
        known = [truth[prompt].person.group == "A" for prompt in prompts]
        return [[f" {truth[p].answer}. Q" if k else " nobody knows."] for p, k in zip(prompts, known, strict=True)]

    monkeypatch.setattr(facts, "generate", knows_group_a)
    found = facts.recall(llama, tokens, questions)
    assert found.right.groupby("group").mean().values.tolist() == [1, 0, 0]
    assert found.fluent.values.tolist() == found.right.values.tolist()
    assert found.rate.values.tolist() == [q.person.rate for q in questions]
    assert found.attribute.values.tolist() == [q.attribute for q in questions]
    assert found.name.values.tolist() == [q.person.name for q in questions]
    with pytest.raises(BadSetting, match="number of questions"):
        facts.recall(llama, tokens, [])
