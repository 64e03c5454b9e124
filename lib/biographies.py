"""A synthetic world of people and facts, and the texts that tell of them.

After the biographies of {cite}`allenzhu2024storage`: a person has a name and five attributes drawn independently, told
by biographies whose sentences and order are drawn anew at every exposure. All names and places are made up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib import checks

GROUPS = {"A": "biography and questions seen", "B": "biography seen, questions held out", "C": "never seen"}
RATES = {"rare": 1, "medium": 2, "frequent": 4}  # how often training tells of a person, relative
BOTH_SEEN, TOLD, UNSEEN = GROUPS
_ONSETS = "b d f g h k l m n p r s t v z br dr gr kl st tr".split()
_WORDS = 1  # the seed of the made-up words: one language for all worlds


@dataclass(frozen=True)
class Attribute:
    """What can be asked of a person: the values it may take, five ways of telling it, and the question."""

    values: tuple[str, ...]
    templates: tuple[str, ...]
    question: str


@dataclass(frozen=True)
class Person:
    """A name, one value an attribute, the group (`GROUPS`) and the rate (`RATES`)."""

    name: str
    facts: dict[str, str]
    group: str
    rate: str


@dataclass(frozen=True)
class Question:
    """What is asked of a fact: the prompt that an answer completes, and the right answer."""

    person: Person
    attribute: str

    @property
    def prompt(self) -> str:
        """The question, up to the place where the answer begins (with a space)."""
        return f"Q: {ATTRIBUTES[self.attribute].question.format(name=self.person.name)} A:"

    @property
    def answer(self) -> str:
        """The right value."""
        return self.person.facts[self.attribute]

    @property
    def text(self) -> str:
        """Question and answer as training tells them."""
        return f"{self.prompt} {self.answer}."


@dataclass(frozen=True)
class Mixture:
    """Shares of a corpus's documents."""

    biography: float = 0.35
    question: float = 0.5
    open_book: float = 0.05  # a biography of a passer-by, told once, and a question that it answers
    filler: float = 0.1  # two sentences that tell no fact


def _invented(rng: np.random.Generator, n: int, n_syllables: int, ending: str = "") -> tuple[str, ...]:
    """`n` different made-up words."""
    words: dict[str, None] = {}
    while len(words) < n:
        syllables = (rng.choice(_ONSETS) + rng.choice(list("aeiou")) for _ in range(n_syllables))
        words[("".join(syllables) + rng.choice(list("nrlsmx")) + ending).capitalize()] = None
    return tuple(words)


def _language() -> tuple[tuple[str, ...], tuple[str, ...], dict[str, Attribute]]:
    """First names, family names and attributes; 6.6 + 6.6 + 6.6 + 5.3 + 4.6 = 30 bits a person."""
    rng = np.random.default_rng(_WORDS)
    first, family, cities, employers = (_invented(rng, n, k) for n, k in ((60, 1), (120, 2), (100, 2), (100, 2)))
    majors = tuple(
        "Accounting Acoustics Algebra Anatomy Archaeology Architecture Astronomy Biology Botany Ceramics "
        "Chemistry Dance Dentistry Design Drama Ecology Economics Engineering Ethics Finance Forestry "
        "Genetics Geography Geology Grammar History Journalism Law Linguistics Logic Management Marketing "
        "Medicine Metallurgy Music Navigation Nursing Nutrition Optics Painting".split()
    )
    professions = tuple(
        "baker banker barber builder butcher carpenter chemist cook dancer dentist doctor driver farmer "
        "gardener judge lawyer miner painter pilot porter sailor singer tailor teacher".split()
    )
    return first, family, {
        "birth city": Attribute(cities, (
            "{name} was born in {value}.", "{name} came into the world in {value}.",
            "The birth city of {name} is {value}.", "{name} hails from {value}.",
            "{name} is a native of {value}.",
        ), "Where was {name} born?"),
        "birth year": Attribute(tuple(map(str, range(1900, 2000))), (
            "{name} was born in the year {value}.", "The birth year of {name} is {value}.",
            "{name} saw the light in {value}.", "{name} was a child of {value}.",
            "The life of {name} began in {value}.",
        ), "When was {name} born?"),
        "employer": Attribute(employers, (
            "{name} works for {value}.", "{name} is employed by {value}.", "The employer of {name} is {value}.",
            "{name} gets wages from {value}.", "{name} has a job at {value}.",
        ), "Who employs {name}?"),
        "major": Attribute(majors, (
            "{name} studied {value}.", "The major of {name} was {value}.", "{name} has a degree in {value}.",
            "The field of {name} was {value}.", "At college {name} chose {value}.",
        ), "What did {name} study?"),
        "profession": Attribute(professions, (
            "{name} is a {value}.", "The profession of {name} is {value}.", "{name} became a {value}.",
            "By trade {name} is a {value}.", "{name} earns a living as a {value}.",
        ), "What is the trade of {name}?"),
    }  # fmt: skip


FIRST, FAMILY, ATTRIBUTES = _language()
_NOUNS = "river bridge garden window market hill boat lamp road tower tree horse letter door stone cloud".split()
_DEEDS = "stands near|leads to|lies behind|looks like|hides|is older than|is not far from|belongs to".split("|")
_KINDS = "old red quiet small bright heavy green long white narrow".split()
_TIMES = "In the morning|At noon|In the evening|Every spring|In winter|On Sundays|After the rain|Today".split("|")


def _draw(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[rng.integers(len(options))]


def _person(rng: np.random.Generator, name: str, group: str, rate: str) -> Person:
    return Person(name, {key: _draw(rng, attribute.values) for key, attribute in ATTRIBUTES.items()}, group, rate)


def people(rng: np.random.Generator, n_questioned: int, n_told: int, n_unseen: int) -> tuple[Person, ...]:
    """The people of a world, group after group; in each the rates take turns. BadSetting for more than 3000."""
    numbers = (n_questioned, n_told, n_unseen)
    for name, n in zip(("n_questioned", "n_told", "n_unseen"), numbers, strict=True):
        checks.whole(name, n, 1, 1000)
    names = _names(rng, sum(numbers))
    groups = [group for group, n in zip(GROUPS, numbers, strict=True) for _ in range(n)]
    rates = [list(RATES)[i % len(RATES)] for n in numbers for i in range(n)]
    return tuple(_person(rng, *place) for place in zip(names, groups, rates, strict=True))


def _names(rng: np.random.Generator, n: int) -> list[str]:
    places = rng.choice(len(FIRST) * len(FAMILY), n, replace=False)
    return [f"{FIRST[place % len(FIRST)]} {FAMILY[place // len(FIRST)]}" for place in places]


def questions(of: Sequence[Person]) -> list[Question]:
    """Every question about these people."""
    return [Question(person, attribute) for person in of for attribute in ATTRIBUTES]


def biography(rng: np.random.Generator, person: Person) -> str:
    """All facts of a person, in an order and in words drawn by `rng`."""
    keys = rng.permutation(list(ATTRIBUTES))
    return " ".join(
        _draw(rng, ATTRIBUTES[key].templates).format(name=person.name, value=person.facts[key]) for key in keys
    )


def filler(rng: np.random.Generator) -> str:
    """A sentence that tells no fact."""
    subject, thing = (f"the {_draw(rng, _KINDS)} {_draw(rng, _NOUNS)}" for _ in range(2))
    return f"{_draw(rng, _TIMES)} {subject} {_draw(rng, _DEEDS)} {thing}."


def corpus(rng: np.random.Generator, of: Sequence[Person], n_documents: int, mixture: Mixture = Mixture()) -> list[str]:
    """Documents in random order: those of group C are never told, those of group B never asked for.

    A person is drawn in proportion to the rate; shape (n_documents,).
    """
    seen = [person for person in of if person.group != UNSEEN]
    asked = [person for person in seen if person.group == BOTH_SEEN]
    known, shares = {person.name for person in of}, np.array(list(vars(mixture).values()))

    def drawn(group: list[Person], n: int) -> list[Person]:
        rates = np.array([RATES[person.rate] for person in group], float)
        return [group[i] for i in rng.choice(len(group), n, p=rates / rates.sum())]

    n_told, n_asked, n_open, n_filler = rng.multinomial(n_documents, shares / shares.sum())
    texts = [biography(rng, person) for person in drawn(seen, n_told)]
    texts += [Question(person, _draw(rng, list(ATTRIBUTES))).text for person in drawn(asked, n_asked)]
    while n_open:
        (name,) = _names(rng, 1)
        if name not in known:
            texts.append(open_book(rng, _person(rng, name, UNSEEN, "rare"), _draw(rng, list(ATTRIBUTES)), answer=True))
            n_open -= 1
    texts += [f"{filler(rng)} {filler(rng)}" for _ in range(n_filler)]
    return [texts[i] for i in rng.permutation(len(texts))]


def open_book(rng: np.random.Generator, person: Person, attribute: str, *, answer: bool = False) -> str:
    """A biography followed by a question that it answers, with the answer or up to its place."""
    question = Question(person, attribute)
    return f"{biography(rng, person)} {question.text if answer else question.prompt}"
