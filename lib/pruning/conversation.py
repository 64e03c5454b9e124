"""Talking to a model: in a notebook cell with `Chat`, in the terminal with `python -m lib.pruning chat DIR`."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import torch

from lib import checks
from lib.pruning.generation import continuation, ends, written

_BYTE = re.compile("<0x[0-9A-F]{2}>")  # a token for a single byte, in tokenizers of Llama-2's kind


class Chat:
    """A conversation: `say` gives the answer to a text, with all that was said before it where the model can take it.

    A tokenizer with a chat template gets the conversation in the form that its model was trained on, the oldest turns
    left out where less than half the context is free. Without one, each text stands alone, as the beginning of a
    document that the model goes on writing.

    n_new : most tokens of an answer; it also ends with the context, before an end-of-text token, and before `stop`.
    temperature : 0 for the likeliest token at each step; above it, tokens are drawn, as `seed` fixes.
    """

    def __init__(self, model, tokenizer, *, n_new: int = 256, temperature: float = 0.0, seed: int = 0, stop=None):
        checks.whole("n_new", n_new, 1)
        checks.scalar("temperature", temperature, 0)
        checks.whole("seed", seed, 0)
        self.model, self.tokenizer, self.n_new, self.temperature, self.stop = model, tokenizer, n_new, temperature, stop
        self.rng = np.random.default_rng(seed)
        self.turns: list[dict[str, str]] = []  # of a model with a template: who said what

    @property
    def has_template(self) -> bool:
        """Whether the model was trained on conversations, as far as its tokenizer says."""
        return bool(self.tokenizer.chat_template)

    def say(self, text: str, show: Callable[[str], None] | None = None) -> str:
        """The answer to `text`; `show` is given each piece of it as it comes.

        Ctrl-C, or interrupting the kernel, ends the answer where it is. BadSetting for a text that leaves the answer
        no room in the context.
        """
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # how Python keeps bytes that are no text
            raise checks.BadSetting("text must be in UTF-8, and some of it is not.")
        turns = [*self.turns, {"role": "user", "content": text}]
        prompt = self._prompt(turns)
        room = self.model.config.max_position_embeddings
        answer = min(self.n_new, room // 2)  # tokens for which turns are left out
        while len(prompt) + answer > room and len(turns) > 2:
            turns = turns[2:]
            prompt = self._prompt(turns)
        if not text.strip():
            raise checks.BadSetting("text must not be empty.")
        if len(prompt) >= room:
            raise checks.BadSetting(f"text has {len(prompt)} tokens, which leave no room in the context of {room}.")
        pieces = []
        try:
            for piece in self._pieces(prompt, min(self.n_new, room - len(prompt))):
                pieces.append(piece)
                if show:
                    show(piece)
        except KeyboardInterrupt:
            pass
        if self.has_template:
            self.turns = [*turns, {"role": "assistant", "content": "".join(pieces)}]
        return "".join(pieces)

    def _prompt(self, turns: list[dict[str, str]]) -> list[int]:
        if self.has_template:
            told = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
            return list(told["input_ids"])
        ids, first = list(self.tokenizer(turns[-1]["content"])["input_ids"]), self.tokenizer.bos_token_id
        return ids if first is None or ids[:1] == [first] else [first, *ids]

    def _pieces(self, prompt: list[int], n_new: int) -> Iterator[str]:
        """The answer piece by piece, each as soon as later tokens cannot change it."""
        last, new, shown = ends(self.model, self.tokenizer), [], 0
        uniform = self.rng.random((1, n_new))
        steps = continuation(self.model, torch.tensor([prompt]), self.temperature, uniform)
        for step in range(n_new):
            token = next(steps).item()
            ended = token in last
            if not ended:
                new.append(token)
            text = written(self.tokenizer, prompt, new, self.stop)
            ended = ended or step + 1 == n_new or self._stopped(prompt, new, text)
            if not ended and _BYTE.fullmatch(self.tokenizer.convert_ids_to_tokens(token)):
                continue  # one of several bytes of a letter
            safe = len(text) if ended else len(text) - self._open(text)
            if safe > shown:
                yield text[shown:safe]
                shown = safe
            if ended:
                return

    def _stopped(self, prompt: list[int], new: list[int], text: str) -> bool:
        return self.stop is not None and len(written(self.tokenizer, prompt, new)) > len(text)

    def _open(self, text: str) -> int:
        """How many characters at the end may still change: half a letter, or the beginning of a stop."""
        half = len(text) - len(text.rstrip("\N{REPLACEMENT CHARACTER}"))
        begun = [n for n in range(1, len(self.stop or "")) if text.endswith(self.stop[:n])]
        return max([half, *begun])


def talk(chat: Chat) -> None:
    """A conversation in the terminal until the input ends (Ctrl-D); Ctrl-C ends an answer."""
    kind = "a conversation" if chat.has_template else "no chat template: the model goes on writing your text"
    print(f"({kind}; Ctrl-C ends an answer, Ctrl-D ends)")
    while True:
        try:
            text = input("> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print("\n(Ctrl-D ends)")
            continue
        if not text.strip():
            continue
        try:
            chat.say(text, lambda piece: print(piece, end="", flush=True))
            print()
        except checks.BadSetting as error:
            print(error)
