"""Chapter 8's measurements on a model that ships."""

import numpy as np
import pytest

from lib.biographies import UNSEEN
from lib.checks import BadSetting
from lib.protocol import KEPT
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
    of = studies.subject("llama2", 0)
    names = {person.name for person in world(RECIPES["llama2"], 0)}
    others = {person.name for person in of.strangers} | {question.person.name for question in of.never}
    assert not names & others
    assert len(others) == studies.N_HABITS + studies.N_BOUNDS
    assert {question.person.group for question in of.unseen} == {UNSEEN}


def test_a_model_keeps_nothing_about_strangers():
    of = studies.subject("llama2", 0)
    evidence, verdicts, bounds = of.judge(of.bench.model, of.unseen)
    assert (verdicts == KEPT).mean() < 0.05
    assert (evidence.support > bounds.support).mean() < 0.06
    assert bounds.support < np.log(60)  # Markov's bound for a share of 1/60


def test_results_are_those_of_one_model():
    with pytest.raises(BadSetting, match="digest"):
        studies.decline("llama2", "magnitude", 0.0, "00000000")
