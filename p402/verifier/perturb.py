"""Decides which pairs the verifier learns from: our questions, said otherwise or changed a little.

Does not judge a pair; each change keeps the meaning or breaks it by what it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple


class Made(NamedTuple):
    """Two questions, whether they mean the same, which change made them, and what they are of."""

    a: str
    b: str
    same: bool
    kind: str
    topic: int
    written: bool = False


Change = Callable[[str, Random], str | None]

OPPOSITES = [
    *("before after", "with without", "increase reduce", "open close", "start stop", "on off"),
    *("first last", "high low", "big small", "fast slow", "early late", "old new", "long short"),
    *("hot cold", "best worst", "good bad", "more less", "above below", "inside outside"),
    *("buy sell", "import export", "upload download", "enable disable", "lock unlock", "up down"),
    *("cheap expensive", "safe dangerous", "always never", "all no", "raw cooked", "left right"),
    *("win lose", "push pull", "add remove", "show hide", "join leave", "lend borrow", "hard easy"),
]
SYNONYMS = [
    *("fix repair", "buy purchase", "remove delete", "make create", "choose pick", "big large"),
    *("quick fast", "movie film", "car automobile", "picture image", "phone telephone"),
    *("start begin", "error mistake", "benefits advantages", "trip journey", "doctor physician"),
    *("folder directory", "laptop notebook", "find locate", "improve enhance", "shop store"),
]
QUALIFIERS = [
    *("old", "small", "broken", "used", "frozen", "electric", "wooden", "public", "young", "cheap"),
    *("second", "temporary", "digital", "local", "foreign", "wild", "free", "private", "black"),
]
TAILS = [
    *("in winter", "for beginners", "for children", "at night", "without tools", "on a budget"),
    *("in Germany", "for two people", "in 2019", "as a table", "in one sentence", "on Linux"),
    *("during pregnancy", "by hand", "in English", "under water", "from abroad", "for free"),
]
NAMES = [
    *("Paris", "Berlin", "Kenya", "Python", "Java", "Excel", "Toyota", "Mozart", "Chicago"),
    *("Brazil", "Windows", "Android", "Napoleon", "Saturn", "Oslo", "Gmail", "Chopin", "Peru"),
]
GREETINGS = [
    "Hi, ",
    "Hello, ",
    "Please ",
    "Can you tell me ",
    "I want to know ",
    "Quick question: ",
]
SWAPS = {
    "reason": [
        ("Why", "When"),
        ("When", "Where"),
        ("Where", "Why"),
        ("Who", "When"),
        ("How", "Why"),
    ],
    "tense": [(" is ", " was "), (" are ", " were "), (" does ", " did "), (" do ", " did ")],
    "modal": [(" can ", " must "), (" should ", " can "), (" can ", " cannot "), ("Can ", "Must ")],
    "direction": [
        (" to ", " from "),
        (" for ", " against "),
        (" in ", " near "),
        (" from ", " to "),
    ],
    "owner": [(" my ", " my brother's "), (" my ", " someone's "), (" I ", " they ")],
    "quantity": [
        (" the ", " most "),
        (" a ", " every "),
        (" a ", " another "),
        (" the ", " half the "),
    ],
}
KEEPS = [
    [
        ("How do I ", "How can I "),
        ("How do I ", "How to "),
        ("How do I ", "What's the best way to "),
    ],
    [
        ("What is ", "What's "),
        ("What is ", "Tell me "),
        ("What are ", "Tell me "),
        ("Who is ", "Who's "),
    ],
    [
        (" do not ", " don't "),
        (" is not ", " isn't "),
        (" cannot ", " can't "),
        (" it is ", " it's "),
    ],
    [
        ("What is the ", ""),
        ("What are the ", ""),
        ("Give me ", ""),
        ("How do I ", ""),
        ("Explain ", ""),
    ],
    [
        ("Explain ", "Please explain "),
        ("Explain ", "Can you explain "),
        ("Write ", "Can you write "),
    ],
    [("How do I ", "I need to "), ("How do I ", "How would I "), ("How does ", "Explain how ")],
]


def one_of(text: str, swaps: list[tuple[str, str]], draw: Random) -> str | None:
    """The text with one of the swaps that fit it."""
    fitting = [(old, new) for old, new in swaps if old in text]
    if not fitting:
        return None
    old, new = draw.choice(fitting)
    return text.replace(old, new, 1)


def by_table(pairs: list[str]) -> Change:
    """Replaces a word by the other one of its pair."""
    table: dict[str, str] = {}
    for pair in pairs:
        one, other = pair.split()
        table |= {one: other, other: one}

    def change(text: str, draw: Random) -> str | None:
        words = re.findall(r"\w+", text)
        fitting = [word for word in words if word in table]
        if not fitting:
            return None
        word = draw.choice(fitting)
        return re.sub(rf"\b{word}\b", table[word], text, count=1)

    return change


def number(text: str, draw: Random) -> str | None:
    """Another number."""
    found = re.findall(r"\d+", text)
    if not found:
        return None
    old = draw.choice(found)
    return text.replace(old, str(int(old) + draw.choice([1, 2, 5, 10, 90])), 1)


EMPTY = {
    *("does", "what", "when", "where", "which", "with", "without", "that", "than", "have", "there"),
    *("from", "into", "need", "want", "know", "would", "like", "people", "good", "best", "your"),
    *("mean", "this", "they", "them", "then", "some", "please", "thanks", "tell", "give", "here"),
    *("most", "must", "should", "could", "will", "work", "enough", "still", "look"),
}


def places(text: str, least: int = 4) -> list[re.Match[str]]:
    """Words that carry something: long ones, not the first."""
    found = re.finditer(r"\b[a-z]+\b", text)
    return [
        word for word in found if len(word[0]) >= least and word.start() and word[0] not in EMPTY
    ]


def word_swap(text: str, draw: Random, pool: list[str]) -> str | None:
    """A word of another question in the place of one of this."""
    found = places(text, 5)
    if not found:
        return None
    word = draw.choice(found)
    return text[: word.start()] + draw.choice(pool) + text[word.end() :]


def qualifier(text: str, draw: Random) -> str | None:
    """A word more before a thing."""
    found = re.search(r"\b(a|an|the|my|of|for|about) (?=[a-z])", text)
    if not found:
        return None
    return text[: found.end()] + draw.choice(QUALIFIERS) + " " + text[found.end() :]


def tail(text: str, draw: Random) -> str | None:
    """A few words more at the end."""
    return f"{text.rstrip('?.! ')} {draw.choice(TAILS)}{'?' if text.endswith('?') else ''}"


def turned(text: str, draw: Random) -> str | None:
    """Two words of the text in each other's place."""
    found = places(text)
    if len(found) < 2:
        return None
    one, other = sorted(draw.sample(found, 2), key=lambda word: word.start())
    if one[0] == other[0]:
        return None
    middle = text[one.end() : other.start()]
    return text[: one.start()] + other[0] + middle + one[0] + text[other.end() :]


def name(text: str, draw: Random) -> str | None:
    """Another name."""
    found = [word for word in re.finditer(r"\b[A-Z][a-z]{2,}\b", text) if word.start()]
    if not found:
        return None
    word = draw.choice(found)
    return text[: word.start()] + draw.choice(NAMES) + text[word.end() :]


def negated(text: str, _draw: Random) -> str | None:
    """A `not`, or one less."""
    if " not " in text:
        return text.replace(" not ", " ", 1)
    found = re.search(r"\b(do|does|is|are|can|should|to|will)( I| you| we| it)?\b", text)
    return text[: found.end()] + " not" + text[found.end() :] if found else None


def dressed(text: str, draw: Random) -> str | None:
    """A greeting before it, or thanks behind it."""
    lower = text[0].lower() + text[1:]
    return draw.choice([draw.choice(GREETINGS) + lower, f"{text} Thanks!", f"{text} Please."])


def spelled(text: str, draw: Random) -> str | None:
    """The same words as they are typed in haste."""
    bare = text.rstrip("?.!")
    return draw.choice([bare.lower(), bare, f"{bare} ?", text.lower(), bare.upper()])


def genitive(text: str, _draw: Random) -> str | None:
    """`The price of a house` as `a house's price`."""
    found = re.search(r"\bthe ([a-z]+) of (the |a )?([A-Za-z]+)(?=\?|$)", text)
    if not found:
        return None
    return f"{text[: found.start()]}{found[2] or ''}{found[3]}'s {found[1]}{text[found.end() :]}"


def swapper(swaps: list[tuple[str, str]]) -> Change:
    """A change that makes one of these swaps."""
    return lambda text, draw: one_of(text, swaps, draw)


def breaking(pool: list[str]) -> dict[str, Change]:
    """Changes after which another answer is due."""
    changes: dict[str, Change] = {
        "number": number,
        "opposite": by_table(OPPOSITES),
        "word": lambda text, draw: word_swap(text, draw, pool),
        "qualifier": qualifier,
        "tail": tail,
        "order": turned,
        "name": name,
        "negation": negated,
    }
    return changes | {kind: swapper(swaps) for kind, swaps in SWAPS.items()}


def keeping() -> dict[str, Change]:
    """Changes after which the same answer serves."""
    changes: dict[str, Change] = {
        "dress": dressed,
        "spelling": spelled,
        "synonym": by_table(SYNONYMS),
        "genitive": genitive,
    }
    return changes | {f"frame {at}": swapper(swaps) for at, swaps in enumerate(KEEPS)}


def pairs_of(folder: Path, draw: Random) -> list[Made]:
    """Our own pairs, then each of their questions with every change that fits it."""
    files = [path for path in sorted(folder.glob("*.jsonl")) if path.stem != "language"]
    told = [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()]
    made = [
        Made(pair["a"], pair["b"], pair["should_hit"], pair["kind"], topic, written=True)
        for topic, pair in enumerate(told)
    ]
    questions: dict[str, int] = {}
    for topic, pair in enumerate(told):
        questions.setdefault(pair["a"], topic)
        questions.setdefault(pair["b"], topic)
    pool = sorted({word[0] for text in questions for word in places(text, 5)})
    keep, broken = keeping(), breaking(pool)
    for text, topic in questions.items():
        alike: list[str] = [text]
        for kind, change in keep.items():
            other = change(text, draw)
            if other and other != text:
                made.append(Made(text, other, same=True, kind=kind, topic=topic))
                alike.append(other)
        for kind, change in broken.items():
            # The trap may be worded otherwise, too.
            other = change(draw.choice([text, text, *alike]), draw)
            if other and other not in alike:
                made.append(Made(text, other, same=False, kind=kind, topic=topic))
    return made
