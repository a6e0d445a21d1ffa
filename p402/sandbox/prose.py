"""Decides the wording of sandbox texts: a task is guessed and a canned passage is filled in.

Does not count tokens or know a model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

TOPIC_WORDS = 8
WORD = re.compile(r"[^\W_][\w'\u2019-]*")
_STOP = (
    "a an and are as at be but by can could do does for from give how i in is it its me my of on "
    "or please that the their then this to us was we what when which who why with would write "
    "you your make tell explain summarise summarize translate"
)
STOP_WORDS = frozenset(_STOP.split())

TASK_WORDS = {
    "code": ("code", "function", "python", "rust", "sql", "bug", "regex", "script", "refactor"),
    "math": ("calculate", "sum", "equation", "solve", "integral", "prove", "percent", "how many"),
    "summary": ("summarise", "summarize", "summary", "tl;dr", "shorten", "key points"),
    "creative": ("poem", "story", "haiku", "slogan", "joke", "lyrics", "limerick"),
    "extract": ("extract", "classify", "label", "categor", "sentiment", "entities"),
    "translate": ("translate", "in french", "in german", "in spanish", "auf deutsch"),
    "plan": ("plan", "steps", "how do i", "how to", "strategy", "checklist"),
}

PASSAGES = {
    "code": (
        (
            "Here is a sketch for {topic}:\n\n```python\ndef solve(items: list[int]) -> int:\n"
            "    total = 0\n    for item in items:\n        total += item * {number}\n"
            "    return total\n```\n\nIt runs in linear time and needs no extra memory. Add a test "
            "for the empty list before you rely on it."
        ),
        (
            "The shortest safe version for {topic} keeps the state local:\n\n```python\n"
            "seen: set[str] = set()\nfor row in rows:\n    if row.key not in seen:\n"
            "        seen.add(row.key)\n        yield row\n```\n\nThe set bounds the work at "
            "{number} look-ups for the sizes you describe."
        ),
    ),
    "math": (
        (
            "Take {topic} step by step. Write the known quantities down, isolate the unknown, and "
            "check the unit. With the figures given the result is {number}. Substituting it back "
            "satisfies the first equation, so the answer is {number}."
        ),
        (
            "Let x stand for {topic}. Collecting terms gives 2x = {double}, hence x = {number}. "
            "A quick estimate agrees to within a few percent."
        ),
    ),
    "summary": (
        (
            "In short: {topic}.\n\n- The main point is stated early and repeated once.\n- "
            "{number} details support it, two of them with figures.\n- What remains open is the "
            "date and the owner of the next step."
        ),
        (
            "Key points on {topic}: the situation is stable, the cost is known, and one decision "
            "is due. Everything else in the text is background."
        ),
    ),
    "creative": (
        (
            "Morning leans on {topic},\na kettle hums its small refrain;\n{number} sparrows argue "
            "on the wire,\nand someone lets the light in again."
        ),
        (
            "Nobody in the harbour believed in {topic} until the fog lifted. Then {number} lamps "
            "came on at once, and the oldest boat turned its bow towards home."
        ),
    ),
    "extract": (
        (
            "Label: relevant. Confidence: high. The deciding words are {topic}; nothing in the "
            "text contradicts them."
        ),
        "Found {number} matches. The first concerns {topic}; the rest repeat it in other words.",
    ),
    "translate": (
        (
            "A faithful rendering of {topic} keeps the order of the clauses and drops the idiom. "
            "The second half is freer, because a literal version would sound stiff."
        ),
    ),
    "plan": (
        (
            "A workable plan for {topic}:\n\n1. Agree on the one figure that must improve.\n2. "
            "Measure it for {number} days before changing anything.\n3. Change one thing, measure "
            "again, keep or revert.\n4. Write down what was learnt."
        ),
        (
            "Start small with {topic}. Do the riskiest part first, show it to one user, and only "
            "then spend the remaining {number} hours on the rest."
        ),
    ),
    "chat": (
        (
            "On {topic}: there are {number} things worth knowing. The common answer is right in "
            "most cases, the exception is size, and the cost of being wrong is low. Ask for one of "
            "them and this reply would go on."
        ),
        (
            "That is a fair question about {topic}. The short answer is yes, with one condition: "
            "look at the numbers for your own case first. About {number} percent of the difference "
            "usually comes from a single cause."
        ),
        (
            "Think of {topic} as a trade between effort and certainty. Past the first {number} "
            "minutes more effort buys little, so decide early and keep the way back open."
        ),
    ),
}


def compose(user_text: str, dice: random.Random) -> str:
    """A passage that fits the task which the words of the prompt suggest."""
    number = dice.randrange(3, 90)
    passage = dice.choice(PASSAGES[guess_task(user_text)])
    return passage.format(topic=topic(user_text), number=number, double=2 * number)


def guess_task(user_text: str) -> str:
    """The first task one of whose words occurs; `chat` otherwise."""
    lowered = user_text.lower()
    for task, words in TASK_WORDS.items():
        if any(word in lowered for word in words):
            return task
    return "chat"


def topic(user_text: str) -> str:
    """The first words of the prompt that carry meaning."""
    words = (match.group() for match in WORD.finditer(user_text[:2_000]))
    kept = [word for word in words if word.lower() not in STOP_WORDS]
    return " ".join(kept[:TOPIC_WORDS]) or "your request"


def musing(user_text: str) -> str:
    """What a model that shows its reasoning mutters; repeated until the tokens are used up."""
    return (
        f"Let me think about {topic(user_text)}. What is asked, what is given, what follows? "
        "First the simple case, then the edge. That agrees, so go on. "
    )
