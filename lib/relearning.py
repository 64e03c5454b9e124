"""Teaching a model facts a few at a time: to plant errors in it, and to see how fast it relearns what it lost."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from lib import checks
from lib.biographies import Question
from lib.tiny_llama import facts

BATCH = 16  # questions of one step
RATE = 3e-4  # of Adam, small against that of the training


def teach(
    model,
    tokenizer,
    questions: Sequence[Question],
    n_exposures: int,
    *,
    seed: int = 0,
    learning_rate: float = RATE,
    after: Callable[[int], None] = lambda exposure: None,
) -> None:
    """Show each question with its answer `n_exposures` times, in a new order each time; changes the model in place.

    Only the answer's tokens are learned. Weights that are zero stay zero, so a pruned model stays as sparse as it was.
    `after(exposure)` is called when all have been shown 1, 2, ... times.
    """
    checks.whole("n_exposures", n_exposures, 1)
    rng = np.random.default_rng(seed)
    held = [(p, p != 0) for p in model.parameters() if p.dim() == 2]
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    texts = [_text(tokenizer, question) for question in questions]
    for exposure in range(1, n_exposures + 1):
        order = rng.permutation(len(texts))
        for begin in range(0, len(order), BATCH):
            shown, labels = _padded([texts[i] for i in order[begin : begin + BATCH]])
            logits = model(shown.to(model.device), use_cache=False).logits[:, :-1].float()
            wanted = labels[:, 1:].to(logits.device)
            loss = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for parameter, mask in held:
                    parameter.mul_(mask)
        after(exposure)


def _text(tokenizer, question: Question) -> tuple[list[int], list[int]]:
    (start,) = tokenizer(facts.prompts(tokenizer, [question]))["input_ids"]
    told = tokenizer(f" {question.answer}.", add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    return start, told


def _padded(texts: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and what is to be learned of them (-100: nothing), filled up behind; both (n, longest)."""
    longest = max(len(start) + len(told) for start, told in texts)
    shown = [start + told + [0] * (longest - len(start) - len(told)) for start, told in texts]
    learned = [[-100] * len(s) + told + [-100] * (longest - len(s) - len(told)) for s, told in texts]
    return torch.tensor(shown), torch.tensor(learned)
