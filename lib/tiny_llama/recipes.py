"""What a tiny Llama is: its style, its world, how long it is trained; the tokenizer and the untrained model."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lib import biographies, checks
from lib.biographies import Person

STYLES = ("llama2", "llama3")
PEOPLE = (60, 30, 30)  # of the groups A, B and C where a model learns one world
CONTEXT = 256  # tokens
N_LAYERS, N_HEADS = 4, 4
WORLD, CORPUS, HELD_OUT, WEIGHTS, TOKENIZER = range(5)  # what a generator draws, below one seed


@dataclass(frozen=True)
class Recipe:
    """A model's style, its width, and its lessons: how many people there are, and how often each is told."""

    style: str  # "llama2" or "llama3"
    facts: int = 1  # people, in units of PEOPLE
    exposures: float = 160.0  # times that a biography is told, on average
    width: int = 64

    def __post_init__(self) -> None:
        checks.choice("style", self.style, STYLES)
        checks.whole("facts", self.facts, 1, 6)
        checks.scalar("exposures", self.exposures, 0, open_low=True)
        checks.whole("width", self.width, 16)
        if self.width % (2 * N_HEADS):
            raise checks.BadSetting(f"width must be a multiple of {2 * N_HEADS}, not {self.width}.")


RECIPES = {
    "llama2": Recipe("llama2"),
    "llama2-more-facts": Recipe("llama2", facts=3),  # three times the text, telling three times the facts
    "llama2-overtrained": Recipe("llama2", exposures=480),  # three times the text, telling the same facts
    "llama3-same-text": Recipe("llama3"),  # the architecture and the tokenizer alone
    "llama3": Recipe("llama3", facts=3),
    "llama2-32": Recipe("llama2", width=32),
    "llama2-128": Recipe("llama2", width=128),
}


def generator(seed: int, *place: int) -> np.random.Generator:
    """The generator at a place in the tree that spawns from `seed`, so that anything can be drawn by itself."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


def world(recipe: Recipe, seed: int) -> tuple[Person, ...]:
    """The people that a model of this recipe and seed is told of."""
    told, held, unseen = PEOPLE
    return biographies.people(generator(seed, WORLD), told * recipe.facts, held * recipe.facts, unseen)


def texts(recipe: Recipe, seed: int, n_documents: int | None = None) -> list[str]:
    """The documents of a training, or as many others from the same world, never shown."""
    people, place = world(recipe, seed), CORPUS if n_documents is None else HELD_OUT
    if n_documents is None:
        told = sum(person.group != biographies.UNSEEN for person in people)
        n_documents = round(recipe.exposures * told / biographies.Mixture.biography)
    return biographies.corpus(generator(seed, place), people, n_documents)


@cache
def tokenizer(style: str) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer of its style: 320 tokens and single digits, or 1280 and up to three digits together.

    As between the models it is named after, one has four times the tokens of the other {cite}`grattafiori2024llama3`.
    """
    digits, n_tokens = (r"\d", 320) if style == "llama2" else (r"\d{1,3}", 1280)
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(digits), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=n_tokens, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    rng = generator(0, TOKENIZER)  # one language, so one tokenizer for all seeds
    core.train_from_iterator(biographies.corpus(rng, biographies.people(rng, 900, 900, 900), 20_000), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def encode(tokens: PreTrainedTokenizerFast, documents: list[str]) -> torch.Tensor:
    """The documents as one stream of tokens, each between <s> and </s>; shape (n_tokens,)."""
    found = tokens(documents, add_special_tokens=False)["input_ids"]
    ends = tokens.bos_token_id, tokens.eos_token_id
    return torch.from_numpy(np.concatenate([np.array([ends[0], *ids, ends[1]]) for ids in found]))


def untrained(recipe: Recipe, seed: int, n_tokens: int) -> LlamaForCausalLM:
    """The model before training: many heads of keys and a small rotary base, or grouped queries and a large one.

    Its weights depend on `seed` alone and leave torch's own generator as it was.
    """
    old = recipe.style == "llama2"
    config = LlamaConfig(
        vocab_size=n_tokens,
        hidden_size=recipe.width,
        intermediate_size=16 * round(recipe.width * (8 / 3 if old else 7 / 2) / 16),
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        num_key_value_heads=N_HEADS if old else N_HEADS // 2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4 if old else 5e5},
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, WEIGHTS).integers(2**63)))
        return LlamaForCausalLM(config)
