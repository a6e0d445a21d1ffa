"""Decides the home of a canonical model: the offer whose list price stands for "going direct".
Does not resolve names a client sends; an alias or a pin names its own provider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sources import Json

# First token of a canonical name → who makes the model.
MAKERS: dict[str, tuple[str, ...]] = {
    "ai21": ("jamba",),
    "alibaba": ("qwen", "qwq", "qvq"),
    "anthropic": ("claude",),
    "arcee": ("trinity", "arcee", "afm", "maestro", "virtuoso", "spotlight", "coder"),
    "cohere": ("command", "c4ai", "aya"),
    "deepseek": ("deepseek",),
    "google": ("gemini", "gemma"),
    "inception": ("mercury",),
    "longcat": ("longcat",),
    "meta": ("llama", "muse"),
    "minimax": ("minimax",),
    "mistral": (
        "mistral",
        "ministral",
        "magistral",
        "codestral",
        "devstral",
        "pixtral",
        "mixtral",
        "voxtral",
    ),
    "moonshotai": ("kimi", "moonshot"),
    "morph": ("morph",),
    "nova": ("nova", "amazon"),
    "openai": ("gpt", "chatgpt", "o1", "o3", "o4", "codex"),
    "perplexity": ("sonar",),
    "stepfun": ("step",),
    "upstage": ("solar",),
    "volcengine": ("doubao", "seed"),
    "xai": ("grok",),
    "xiaomi": ("mimo",),
    "zai": ("glm",),
}
_MAKER = {stem: maker for maker, stems in MAKERS.items() for stem in stems}


def maker(canonical: str) -> str | None:
    """Who makes the model, told from its name; None where the name does not tell."""
    stem = canonical.lower().split("-")[0].split(".")[0]
    return _MAKER.get(stem) or _MAKER.get(stem.rstrip("0123456789"))


def dearness(offer: Json) -> int:
    """List price of three input tokens and one output token on the newest row."""
    band = offer["prices"][-1]["bands"][0]
    return int(3 * band["in"] + band["out"])


def mark(offers: list[Json], kinds: dict[str, str]) -> None:
    """Sets `home` on one offer of each canonical model that has a fresh price."""
    by_canonical: dict[str, list[Json]] = {}
    for offer in offers:
        if offer["confidence"] != "stale":
            by_canonical.setdefault(offer["canonical"], []).append(offer)
    for canonical, group in by_canonical.items():
        _home(canonical, group, kinds)["home"] = True


def _home(canonical: str, group: list[Json], kinds: dict[str, str]) -> Json:
    first_party = [offer for offer in group if offer["provider"] == maker(canonical)]
    if first_party:
        return min(first_party, key=lambda offer: _plainness(canonical, offer["model"]))
    direct = [offer for offer in group if kinds[offer["provider"]] != "aggregator"]
    # The cheapest: a doubt about who sells it never inflates a saving.
    return min(
        direct or group,
        key=lambda offer: (dearness(offer), offer["provider"], offer["model"]),
    )


def _plainness(canonical: str, model: str) -> tuple[bool, int, str]:
    """The undated id that is the canonical name itself, else the shortest."""
    return model != canonical, len(model), model


def dearness_by_canonical(offers: list[Json]) -> dict[str, int]:
    """The home's price, else the cheapest, of every canonical model."""
    return _cheapest(offers, lambda offer: str(offer["canonical"]))


def dearness_by_capability(offers: list[Json]) -> dict[str, int]:
    """The same for every measured model, by the name of its capability row."""
    rows = [offer for offer in offers if "capability" in offer]
    return _cheapest(rows, lambda offer: str(offer["capability"]["model"]))


def _cheapest(offers: list[Json], name_of: Callable[[Json], str]) -> dict[str, int]:
    homes: dict[str, int] = {}
    others: dict[str, int] = {}
    for offer in offers:
        name, price = name_of(offer), dearness(offer)
        table = homes if offer.get("home") else others
        table[name] = min(price, table.get(name, price))
    return {**others, **homes}
