"""Single questions and stored variants."""

import copy

import numpy as np
import pytest
import torch

from lib.biographies import ATTRIBUTES, UNSEEN, Question, people, questions
from lib.pruning.linears import layers
from lib.studies import assistant
from lib.studies.assistant import ANSWERS

WORLD = people(np.random.default_rng(3), 12, 12, 12)


def test_twelve_questions_over_all_groups_and_rates():
    chosen = assistant.picked(questions(WORLD))
    assert len(chosen) == len({question.person.name for question in chosen.values()}) == 12
    places = {(q.person.group, q.person.rate) for q in chosen.values()}
    assert len(places) == 9
    assert {q.attribute for q in chosen.values()} == set(ATTRIBUTES)
    for label, question in chosen.items():
        assert question.attribute in label and ("never told" in label) == (question.person.group == UNSEEN)


def test_shares_add_up_to_one():
    question = Question(WORLD[0], "profession")
    values = ATTRIBUTES["profession"].values
    right = values.index(question.answer)
    probabilities = np.full(len(values), 0.01)
    probabilities[[right, (right + 3) % len(values), (right + 1) % len(values)]] = 0.1, 0.4, 0.2
    shares, names = assistant._shares(question, probabilities)
    assert sum(shares) == pytest.approx(1)
    assert shares[:4] == pytest.approx([0.1, 0.4, 0.2, 0.01])
    assert shares[4] == pytest.approx(0.01 * (len(values) - 4))
    assert names.split(", ")[:2] == [values[(right + 3) % len(values)], values[(right + 1) % len(values)]]
    assert len(shares) == len(ANSWERS)


def test_samples_are_counted_as_sentences():
    said = [" Dulam. And more", " Dulam.", "", " Roke", " Dulam."]
    assert assistant._counted(said) == "Dulam 3, (nothing) 1, Roke 1"
    assert assistant._counted(["a", "b", "c", "d", "e", "f"]).endswith("; …")


@pytest.fixture(scope="module")
def stored():
    found = assistant.variants("llama2", 0.6, assistant.digests(["llama2"], [0]))
    return found, assistant.bench("llama2", 0)


def test_bytes_follow_from_the_format(stored):
    """A bitmap and the weights that stay take (1 - s) + 1/16 of 16-bit weights at sparsity s; so with fewer bits."""
    found, given = stored
    n = sum(w.numel() for _, w in layers(given.model))
    share = found.block_bytes.values / (2 * n)
    assert share[0] == pytest.approx(0.4 + 1 / 16, abs=0.006)
    scales = 1 / assistant.GROUP
    assert share[1] == pytest.approx(0.4 / 2 + 1 / 16 + scales, abs=0.006)
    assert share[2] == pytest.approx(0.4 / 4 + 1 / 16 + scales, abs=0.006)
    assert (np.diff(found.bytes) < 0).all()
    assert (found.bytes > found.block_bytes).all()
    assert (found.memory == 4 * sum(p.numel() for p in given.model.parameters())).all()


def test_eight_bits_cost_nothing_that_can_be_seen(stored):
    found, _ = stored
    assert float(abs(np.log(found.perplexity[1] / found.perplexity[0]))) < 0.02
    assert float(abs(found.recall[1] - found.recall[0])) < 0.05


def test_a_token_is_there_before_the_next_is_asked_for(monkeypatch):
    """As in an answer; a GPU would otherwise be timed while it is still at work."""
    told, model = [], torch.nn.Linear(2, 2)

    class Token:
        def item(self):
            told.append("there")

    def steps(*_):
        while True:
            told.append("asked for")
            yield Token()

    monkeypatch.setattr(assistant, "continuation", steps)
    assistant.running(model, 2)
    assert told == ["asked for", "there"] * 3


def test_zeros_are_neither_faster_nor_smaller_while_they_run(stored):
    _, given = stored
    dense, pruned = (assistant.running(m, 30) for m in (given.model, given.pruned("magnitude", 0.6)))
    assert dense[1] == pruned[1] == pytest.approx(4e-6 * sum(p.numel() for p in given.model.parameters()))
    assert 0.2 < pruned[0] / dense[0] < 5


def test_a_model_twice_as_deep_is_slower(stored):
    _, given = stored
    double = copy.deepcopy(given.model)
    double.model.layers.extend(copy.deepcopy(double.model.layers))
    double.config.num_hidden_layers *= 2
    for i, layer in enumerate(double.model.layers):
        layer.self_attn.layer_idx = i
    assert 0.2 < assistant.pace(double, given.model, 3) < 0.85
