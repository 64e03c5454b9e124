"""The made-up world: what a corpus tells, and what it must not."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import biographies
from lib.biographies import ATTRIBUTES, GROUPS, RATES, Mixture
from lib.checks import BadSetting


def rng(seed=0):
    return np.random.default_rng(seed)


WORLD = biographies.people(rng(1), 30, 15, 15)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_people_have_names_of_their_own_their_groups_and_each_rate_in_turn(a, b, c, seed):
    found = biographies.people(rng(seed), a, b, c)
    assert len({person.name for person in found}) == len(found)
    assert Counter(person.group for person in found) == {"A": a, "B": b, "C": c}
    for group, n in zip(GROUPS, (a, b, c), strict=True):
        counts = Counter(person.rate for person in found if person.group == group)
        assert [counts[rate] for rate in RATES] == [len(range(i, n, 3)) for i in range(3)]
    assert all(person.facts[key] in ATTRIBUTES[key].values for person in found for key in ATTRIBUTES)


def test_facts_are_drawn_uniformly_and_carry_the_bits_that_are_stated():
    found = biographies.people(rng(), 1000, 1000, 1000)
    bits = 0.0
    for key, attribute in ATTRIBUTES.items():
        counts = np.array([Counter(p.facts[key] for p in found)[value] for value in attribute.values])
        expected = len(found) / len(attribute.values)
        # Pearson's statistic has the mean n - 1 and the variance 2 (n - 1): five deviations.
        freedom = len(counts) - 1
        assert ((counts - expected) ** 2 / expected).sum() < freedom + 5 * np.sqrt(2 * freedom)
        assert len(set(attribute.values)) == len(attribute.values)
        bits += np.log2(len(counts))
    assert round(bits) == 30


def test_a_corpus_has_its_documents_and_tells_nothing_of_the_unseen():
    texts = biographies.corpus(rng(2), WORLD, 2000)
    assert len(texts) == 2000
    told, text = {group: [p.name for p in WORLD if p.group == group] for group in GROUPS}, "\n".join(texts)
    assert not any(name in text for name in told["C"])
    assert all(name in text for name in told["A"] + told["B"])
    asked = re.findall(r"^Q: .*$", text, re.MULTILINE)
    assert all(any(name in line for line in asked) for name in told["A"])
    assert not any(name in line for line in asked for name in told["B"])


def test_shares_of_documents_and_rates_of_people_are_those_asked_for():
    n = 20_000
    texts = biographies.corpus(rng(3), WORLD, n, Mixture(0.4, 0.3, 0.1, 0.2))
    found = Counter()
    told = Counter()
    for text in texts:
        kind = "question" if text.startswith("Q:") else "open" if "Q:" in text else "filler"
        for person in WORLD if kind == "filler" else ():
            if person.name in text:
                kind = "biography"
                told[person.rate] += 1
        found[kind] += 1
    for kind, share in {"biography": 0.4, "question": 0.3, "open": 0.1, "filler": 0.2}.items():
        assert abs(found[kind] / n - share) < 5 * np.sqrt(share * (1 - share) / n), kind
    for rate, weight in RATES.items():
        assert told[rate] / sum(told.values()) == pytest.approx(weight / sum(RATES.values()), abs=0.03)


def test_biographies_are_told_in_other_words_and_another_order_each_time():
    person, draw = WORLD[0], rng(4)
    texts = {biographies.biography(draw, person) for _ in range(20)}
    assert len(texts) == 20
    for text in texts:
        sentences = re.findall(r"[^.]+\.", text)
        assert len(sentences) == len(ATTRIBUTES) and all(value in text for value in person.facts.values())
        # The name comes before the value, so that every sentence can be predicted.
        for value in person.facts.values():
            told = next(sentence for sentence in sentences if value in sentence.replace(person.name, ""))
            assert told.index(person.name) < told.replace(person.name, "#" * len(person.name)).index(value)
    assert len({text.split(".")[0] for text in texts}) > 5


def test_rare_people_are_told_of_least_and_frequent_ones_most():
    assert RATES == {"rare": 1, "medium": 2, "frequent": 4}


def test_an_open_book_question_is_answered_by_its_book_and_is_of_a_passer_by():
    """Of a world that has 3000 of the 7200 names, so that most passers-by would be taken for somebody."""
    world = biographies.people(rng(), 1000, 1000, 1000)
    texts, asked = biographies.corpus(rng(5), world, 300, Mixture(0, 0, 1, 0)), Counter()
    for text in texts:
        book, question = text.split(" Q: ")
        answer = question.split(" A: ")[1].removesuffix(".")
        assert answer in book and not any(f"{person.name} " in text for person in world)
        (key,) = (k for k, a in ATTRIBUTES.items() if answer in a.values)
        asked[key] += 1
    assert min(asked[key] for key in ATTRIBUTES) > 30  # of 60, with a deviation of 7


def test_questions_are_of_all_attributes_and_carry_the_answer_with_a_full_stop():
    texts, asked = biographies.corpus(rng(8), WORLD, 500, Mixture(0, 1, 0, 0)), Counter()
    known = {question.text: question for question in biographies.questions(WORLD)}
    for text in texts:
        assert text == f"{known[text].prompt} {known[text].answer}." and known[text].person.group == "A"
        asked[known[text].attribute] += 1
    assert min(asked[key] for key in ATTRIBUTES) > 60  # of 100, with a deviation of 9


def test_documents_come_in_random_order_and_fillers_tell_nothing():
    texts = biographies.corpus(rng(9), WORLD, 600)
    kinds = ["Q:" in text for text in texts]
    changes = sum(a != b for a, b in zip(kinds, kinds[1:], strict=False))
    assert changes > 200  # about half of 600; 4 were they in the order of the shares
    for text in biographies.corpus(rng(9), WORLD, 50, Mixture(0, 0, 0, 1)):
        assert text.count(".") == 2 and not any(person.name in text for person in WORLD)
    told = " ".join(biographies.corpus(rng(9), WORLD, 50, Mixture(0, 0, 0, 1)))
    assert len(set(re.findall(r"the \w+ \w+", told))) > 60  # of 160 things, 200 times drawn


def test_the_same_generator_tells_the_same_story():
    first, again, other = (biographies.corpus(rng(seed), WORLD, 50) for seed in (6, 6, 7))
    assert first == again != other


@pytest.mark.parametrize(
    ("numbers", "name"), [((0, 1, 1), "n_questioned"), ((1, 1001, 1), "n_told"), ((1, 1, 1.5), "n_unseen")]
)
def test_a_bad_number_of_people_is_named(numbers, name):
    with pytest.raises(BadSetting, match=name):
        biographies.people(rng(), *numbers)
