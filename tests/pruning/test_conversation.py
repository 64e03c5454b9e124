"""The chat: the answer of `generate`, in pieces as it comes, in conversations that fit the context."""

import builtins

import pytest
import torch
from tokenizers import processors

from lib.checks import BadSetting
from lib.pruning import conversation
from lib.pruning.conversation import Chat, talk
from lib.pruning.generation import generate

TEMPLATE = (
    "{% for turn in messages %}<{{ turn.role[0] }}>{{ turn.content }}{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)


@pytest.fixture(scope="module")
def model(llama, tokenizer):
    return llama("grouped", vocab_size=len(tokenizer), eos_token_id=2)


@pytest.fixture
def talker(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", TEMPLATE)
    return tokenizer


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_the_pieces_make_the_answer_that_generate_gives(model, tokenizer, temperature):
    settings = {"temperature": temperature, "seed": 3}
    for prompt in ("Where was Ada", "In Paris", "Émile"):
        expected = generate(model, tokenizer, [prompt], 20, **settings)[0][0]
        pieces = []
        chat = Chat(model, tokenizer, n_new=20, **settings)
        assert chat.say(prompt, pieces.append) == "".join(pieces) == expected
        assert len(pieces) > 1 and not chat.turns
        for stop in (expected[9:11], expected[15]):
            pieces = []
            chat = Chat(model, tokenizer, n_new=20, stop=stop, **settings)
            assert chat.say(prompt, pieces.append) == "".join(pieces) == expected.split(stop)[0]


def script(tokenizer, text, monkeypatch):
    """Let the model write exactly this text."""
    ids = tokenizer(f"London{text}", add_special_tokens=False)["input_ids"]
    head = tokenizer("London", add_special_tokens=False)["input_ids"]
    assert ids[: len(head)] == head
    seen = []

    def steps(model, tokens, temperature, uniform):
        seen.append(tokens[0].tolist())
        for token in [*ids[len(head) :], 2]:
            yield torch.tensor([token])

    monkeypatch.setattr(conversation, "continuation", steps)
    return seen


def test_half_a_letter_is_held_back(model, tokenizer, monkeypatch):
    script(tokenizer, ": été, 雪.", monkeypatch)
    pieces = []
    assert Chat(model, tokenizer).say("London", pieces.append) == ": été, 雪."
    assert "".join(pieces) == ": été, 雪." and "雪" in "".join(pieces[-2:])
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_an_interrupt_keeps_what_was_written(model, talker):
    whole = Chat(model, talker, n_new=20).say("Ada")
    seen = []

    def show(piece):
        seen.append(piece)
        if len(seen) == 4:
            raise KeyboardInterrupt

    chat = Chat(model, talker, n_new=20)
    answer = chat.say("Ada", show)
    assert whole.startswith(answer) and 0 < len(answer) < len(whole)
    assert chat.turns[-1] == {"role": "assistant", "content": answer}


def test_a_conversation_is_told_in_the_template_and_forgets_its_oldest_turns(model, talker, monkeypatch):
    seen = script(talker, " they say.", monkeypatch)
    chat = Chat(model, talker)
    for text in ["Ada?", "Zola?", *["Born?"] * 9, "Paris?"]:
        assert chat.say(text) == " they say."
    told = [talker.decode(ids, skip_special_tokens=True) for ids in seen]
    assert told[0] == "<u>Ada?<a>" and told[1] == "<u>Ada?<a> they say.<u>Zola?<a>"
    assert all(len(ids) <= 32 for ids in seen[1:])
    assert told[-1].endswith("<u>Paris?<a>") and "Ada" not in told[-1] and told[-1].startswith("<u>")
    with pytest.raises(BadSetting, match="leave no room in the context of 64"):
        chat.say("Ada " * 70)
    assert len(chat.turns) % 2 == 0


def test_an_answer_ends_with_the_context(model, tokenizer):
    prompt, n = "", 0
    while n < 55:
        prompt += "Ada, "
        n = len(tokenizer(prompt)["input_ids"])
    assert n < 64
    assert Chat(model, tokenizer).say(prompt) == generate(model, tokenizer, [prompt], 64 - n)[0][0]


def test_settings_that_will_not_do_are_refused(model, tokenizer):
    for bad in ({"n_new": 0}, {"temperature": -1}, {"seed": -1}):
        with pytest.raises(BadSetting, match=next(iter(bad))):
            Chat(model, tokenizer, **bad)
    with pytest.raises(BadSetting, match="text must be in UTF-8"):
        Chat(model, tokenizer).say(b"w1 \xe9".decode("utf-8", "surrogateescape"))
    with pytest.raises(BadSetting, match="empty"):
        Chat(model, tokenizer).say(" ")


def test_a_text_is_the_beginning_of_a_document(model, tokenizer, monkeypatch):
    expected = Chat(model, tokenizer, n_new=9).say("In Paris")
    backend = tokenizer.backend_tokenizer
    before = backend.post_processor
    monkeypatch.setattr(backend, "post_processor", processors.TemplateProcessing(single="$A"))
    assert tokenizer("In Paris")["input_ids"][0] != 1
    assert Chat(model, tokenizer, n_new=9).say("In Paris") == expected
    monkeypatch.setattr(backend, "post_processor", before)


def test_the_terminal_goes_on_until_the_input_ends(model, tokenizer, monkeypatch, capsys):
    said = iter(["In Paris", "", KeyboardInterrupt, "Ada " * 70, "Where was Ada", EOFError])

    def ask(prompt):
        text = next(said)
        if not isinstance(text, str):
            raise text
        return text

    monkeypatch.setattr(builtins, "input", ask)
    talk(Chat(model, tokenizer, n_new=8))
    told = capsys.readouterr().out
    for prompt in ("In Paris", "Where was Ada"):
        assert generate(model, tokenizer, [prompt], 8)[0][0] + "\n" in told
    assert "no chat template" in told and "(Ctrl-D ends)" in told and "leave no room" in told
    assert next(said, None) is None
