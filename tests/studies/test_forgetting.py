"""Chapter 8's measurements on a model that ships."""

import numpy as np
import pytest

from lib import plants, protocol
from lib.biographies import ATTRIBUTES, UNSEEN
from lib.checks import BadSetting
from lib.protocol import FORGOTTEN, KEPT, MADE_UP, MISLAID
from lib.studies import forgetting as studies
from lib.studies.limits import digests
from lib.tiny_llama.recipes import RECIPES, world


@pytest.fixture(scope="module")
def dense():
    return studies.decline("llama2", "magnitude", 0.0, digests(["llama2"], [0]))


def test_nothing_is_lost_where_nothing_is_pruned(dense):
    known = dense.known.sum()
    assert float(dense.verdicts.sel(verdict=KEPT).sum()) == float(known) > 300
    assert (dense.known <= dense.right).all() and (dense.right <= dense.fluent).all()
    assert dense.told.values.tolist() == [[100] * 3, [50] * 3]  # 60 and 30 people of three rates, five facts each


def test_strangers_are_nobody_that_the_model_was_told_of():
    of = studies.subject("llama2", 0, "cpu")
    names = {person.name for person in world(RECIPES["llama2"], 0)}
    others = {person.name for person in of.strangers} | {question.person.name for question in of.never}
    assert not names & others
    assert len(others) == studies.N_HABITS + studies.N_BOUNDS
    assert {question.person.group for question in of.unseen} == {UNSEEN}


def test_a_model_keeps_nothing_about_strangers():
    of = studies.subject("llama2", 0, "cpu")
    evidence, verdicts, bounds = of.judge(of.bench.model, of.unseen)
    assert (verdicts == KEPT).mean() < 0.05
    assert (evidence.support > bounds.support).mean() < 0.06
    assert bounds.support < np.log(60)  # Markov's bound for a share of 1/60


def test_results_are_those_of_one_model():
    with pytest.raises(BadSetting, match="digest"):
        studies.decline("llama2", "magnitude", 0.0, "00000000")


def named(asked):
    return {(question.person.name, question.attribute) for question in asked}


def evidence(asked):
    """Of wrong, fluent answers without support, but for every second one, which is right."""
    n = len(asked)
    right, ones = np.arange(n) % 2 == 0, np.ones(n)
    return protocol.Evidence(np.full(n, "x"), right, right | True, np.where(right, np.nan, 1), 0 * ones, ones, -ones)


def test_planted_cases_set_no_bound_and_are_judged_by_their_own_model(monkeypatch):
    of, usual, judged, fitted, taught = studies.subject("llama2", 0, "cpu"), [], [], [], []

    def ask(model, tokenizer, asked, baseline, seed):
        assert baseline is usual[-1][1] and usual[-1][0] == model  # habits of the very model that is asked
        judged.append((model, asked))
        return evidence(asked)

    def habits(model, *_):
        usual.append((model, {}))
        return usual[-1][1]

    def bounds(known, unseen, support):
        fitted.append(len(known.right))
        return protocol.Bounds(0.5, 0.5, 0.0)

    def mistaught(model, tokenizer, asked, beside, rng):
        taught.extend([asked, beside])
        return "mistaught"

    def outshouted(model, tokenizer, attribute, rng):
        return f"drowned {attribute}", np.arange(len(ATTRIBUTES[attribute].values)) % 2 == 0

    for name, stub in {"ask": ask, "habits": habits, "bounds": bounds}.items():
        monkeypatch.setattr(protocol, name, stub)
    monkeypatch.setattr(protocol, "supports", lambda model, tokenizer, asked, usual: (None, np.zeros(len(asked))))
    for name in ("rounded", "broken"):
        monkeypatch.setattr(plants, name, lambda *_, name=name: name)
    monkeypatch.setattr(plants, "mistaught", mistaught)
    monkeypatch.setattr(plants, "outshouted", outshouted)
    found = studies.named("llama2", digests(["llama2"], [0]))
    by_model = dict(judged[:3])  # the last is the dense model, and those before it drown an attribute each
    cases, (wrong, beside) = by_model["rounded"], taught
    assert by_model["broken"] == cases and by_model["mistaught"] == wrong and named(wrong) < named(cases)
    assert not {q.person.name for q in cases} & {q.person.name for q in beside}
    assert set(fitted) == {int(of.known.sum()) - len(cases)}  # the other half of the people, and no case
    assert judged[-1][0] is of.bench.model and judged[-1][1] == of.unseen
    drowned = [asked for _, asked in judged[3:-1]]
    for asked, about in zip(drowned, ATTRIBUTES.values(), strict=True):
        assert asked and {about.values.index(q.answer) % 2 for q in asked} == {1} and named(asked) < named(cases)
    counts = found.cases.sel(planted=MISLAID)
    assert float(counts.sel(named=KEPT)) == 0  # answers that are still right are no cases
    assert float(counts.sum()) == sum(len(asked) // 2 for asked in drowned)


def test_what_is_relearned_is_drawn_from_all_of_a_kind(monkeypatch):
    of, taught = studies.subject("llama2", 0, "cpu"), []

    def judge(self, model, asked):
        return None, np.resize([MISLAID, FORGOTTEN, KEPT], len(asked)), None

    monkeypatch.setattr(studies.Subject, "judge", judge)
    monkeypatch.setattr(studies, "teach", lambda model, tokens, asked, n, seed, after: (taught.extend(asked), after(1)))
    found = studies.relearned("llama2", "magnitude", 0.3, digests(["llama2"], [0]))
    n = studies.N_TAUGHT
    assert dict(zip(found.kind.values, found.facts.values, strict=True)) == {
        MISLAID: n, FORGOTTEN: n, MADE_UP: 0, studies.NEW: n}  # fmt: skip
    known = [q for q, yes in zip(of.told, of.known, strict=True) if yes]
    for i, pool in enumerate((known[::3], known[1::3], of.unseen)):
        some = taught[i * n : (i + 1) * n]
        assert named(some) < named(pool) and len(named(some)) == n
        assert max(pool.index(q) for q in some) > 2 * n  # not the first ones alone
