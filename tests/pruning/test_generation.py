"""Generation against that of transformers, and sampling against the softmax."""

import copy

import numpy as np
import pytest
import torch

from lib.checks import BadSetting
from lib.pruning import generation
from lib.pruning.generation import continuation, generate

PROMPTS = ["Where was Ada", "Where was Ada Lovelace born?", "In Paris", "Where was Émile", "In London they say"]


@pytest.fixture(scope="module")
def model(llama, tokenizer):
    return llama("grouped", vocab_size=len(tokenizer), eos_token_id=2)


def reference(model, tokenizer, prompt, n_new, **settings):
    """What transformers writes after one prompt: token ids."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    settings = {"max_new_tokens": n_new, "do_sample": False, "pad_token_id": 0} | settings
    return ids[0].tolist(), model.generate(ids, attention_mask=torch.ones_like(ids), **settings)[0, ids.shape[1] :]


def test_greedy_tokens_are_those_of_transformers(model, tokenizer):
    for prompt in PROMPTS:
        ids, expected = reference(model, tokenizer, prompt, 24, eos_token_id=None)
        steps = continuation(model, torch.tensor([ids]))
        assert [next(steps).item() for _ in range(24)] == expected.tolist()


@pytest.mark.parametrize("rows", [1, 2, 512])
def test_greedy_texts_are_those_of_transformers(model, tokenizer, monkeypatch, rows):
    monkeypatch.setattr(generation, "ROWS", rows)
    found = generate(model, tokenizer, PROMPTS, 12, n_samples=2)
    for prompt, texts in zip(PROMPTS, found, strict=True):
        ids, new = reference(model, tokenizer, prompt, 12)
        before, after = (tokenizer.decode(x, skip_special_tokens=True) for x in (ids, [*ids, *new.tolist()]))
        assert texts == [after.removeprefix(before)] * 2
    assert len({texts[0] for texts in found}) > 2


def test_an_answer_ends_before_an_end_token_and_a_stop(model, tokenizer, monkeypatch):
    text = generate(model, tokenizer, PROMPTS[:1], 12)[0][0]
    ids, new = reference(model, tokenizer, PROMPTS[0], 12)
    last = new[5].item()
    cut = new.tolist().index(last)
    monkeypatch.setattr(model.generation_config, "eos_token_id", [last, 2])
    short = generate(model, tokenizer, PROMPTS[:2], 12)[0][0]
    assert short == generation.written(tokenizer, ids, new[:cut].tolist()) != text
    monkeypatch.setattr(model.generation_config, "eos_token_id", 2)
    stop = text[len(text) // 2 :][:3]
    assert generate(model, tokenizer, PROMPTS, 12, stop=stop)[0][0] == text[: text.index(stop)]


def test_an_answer_that_ended_stays_as_it_is(model, tokenizer, monkeypatch):
    """Of two answers written at once, one ends early, and what the model goes on to write is not part of it."""
    here, there = (tokenizer(f"Paris{word}")["input_ids"][-1] for word in (",", "."))
    steps = [[here, here], [2, there], [there, here], [2, 2]]
    monkeypatch.setattr(generation, "continuation", lambda *_: (torch.tensor(step) for step in steps))
    assert generate(model, tokenizer, ["In Paris"] * 2, 4) == [[","], [",.,"]]
    assert generate(model, tokenizer, ["In Paris"] * 2, 3) == [[","], [",.,"]]
    assert generate(model, tokenizer, ["In Paris"] * 2, 4, stop=".") == [[","], [","]]


def test_an_answer_keeps_its_leading_space(tokenizer):
    whole = tokenizer("Ada Lovelace was born in London")["input_ids"]
    head = tokenizer("Ada Lovelace was born")["input_ids"]
    assert whole[: len(head)] == head
    assert generation.written(tokenizer, head, whole[len(head) :]) == " in London"
    assert generation.written(tokenizer, head, [*whole[len(head) :], 2], stop="Lon") == " in "


def test_an_answer_is_not_tidied(tokenizer):
    """Llama-3's tokenizers ask for it; transformers would warn, between the words of a chat, that it does not."""
    ids = tokenizer("In Paris ,", add_special_tokens=False)["input_ids"]
    tidy = copy.deepcopy(tokenizer)
    tidy.clean_up_tokenization_spaces = True
    tidy.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output = True
    prompt = tokenizer("born", add_special_tokens=False)["input_ids"]
    assert generation.written(tidy, prompt, ids) == generation.written(tokenizer, prompt, ids)
    assert generation.written(tidy, prompt, ids).endswith("Paris ,")


def test_samples_follow_the_softmax(model):
    """6000 draws of a first token at two temperatures: largest gap of the cumulated shares below 4 standard errors."""
    ids = torch.tensor([[5, 9, 11]])
    with torch.no_grad():
        logits = model(ids).logits[0, -1].double()
    uniform = np.random.default_rng(4).random((6000, 1))
    for temperature in (0.5, 2.0):
        drawn = next(continuation(model, ids.repeat(6000, 1), temperature, uniform))
        share = torch.bincount(drawn, minlength=len(logits)) / 6000
        expected = (logits / temperature).softmax(0)
        assert (share - expected).cumsum(0).abs().max() < 4 * 0.5 / 6000**0.5
    cold = next(continuation(model, ids.repeat(6000, 1), 1e-3, uniform))
    assert (cold == logits.argmax()).all()


def test_samples_are_fixed_by_seed_and_place(model, tokenizer, monkeypatch):
    settings = {"temperature": 1.5, "n_samples": 3, "n_new": 6}
    one = generate(model, tokenizer, PROMPTS, seed=1, **settings)
    monkeypatch.setattr(generation, "ROWS", 2)
    assert generate(model, tokenizer, PROMPTS, seed=1, **settings) == one
    assert generate(model, tokenizer, PROMPTS, seed=2, **settings) != one
    assert len({*one[0]}) > 1
    first, second = generate(model, tokenizer, PROMPTS[:1] * 2, seed=1, **settings)
    assert first == one[0] != second


@pytest.mark.parametrize(
    ("prompts", "settings", "said"),
    [
        ("In Paris", {}, "a list of texts"),
        (["In Paris"], {"n_new": 0}, "n_new"),
        (["In Paris"], {"n_samples": 0}, "n_samples"),
        (["In Paris"], {"temperature": -1}, "temperature"),
        (["In Paris"], {"n_new": 64}, "do not fit the model's context of 64"),
    ],
)
def test_what_cannot_be_written_is_refused(model, tokenizer, prompts, settings, said):
    with pytest.raises(BadSetting, match=said):
        generate(model, tokenizer, prompts, **({"n_new": 2} | settings))


def test_an_empty_prompt_needs_a_first_token(model, tokenizer):
    assert len(generate(model, tokenizer, [""], 2)[0]) == 1  # these tokenizers put one in front
    with pytest.raises(BadSetting, match="at least one token"):
        generate(model, lambda text: {"input_ids": []}, [""], 2)
    assert generate(model, tokenizer, [], 2) == []
