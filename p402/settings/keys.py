"""Decides which keys of which provider are at hand, and keeps them out of sight.

Does not send a key anywhere and never prints one: `Secret` shows only that it exists.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEYS_MAX = 64
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_RESOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
# A model that is a deployment stands in its address; the core puts it there.
_PLACE = re.compile(r"\{(?!deployment\})[^}]*\}")

# Variables that people set for other tools: they make a provider live only beside its own section.
AMBIENT_ENV = frozenset(
    {
        "DATABRICKS_TOKEN",
        "DIGITALOCEAN_ACCESS_TOKEN",
        "HETZNER_API_KEY",
        "HF_TOKEN",
        "VULTR_API_KEY",
        "WANDB_API_KEY",
    }
)


class Secret:
    """A key: its text comes out by `reveal()` alone."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The key itself."""
        return self._text

    def digest(self) -> bytes:
        """SHA-256 of the key."""
        return sha256(self._text.encode()).digest()

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


def words(value: str | list[str] | None) -> list[str]:
    """One word or several, as a file may say it."""
    return [] if value is None else [value] if isinstance(value, str) else value


class BadKeyError(ValueError):
    """A key that no header can carry; the text never names it."""


def split_keys(text: str) -> tuple[Secret, ...]:
    """Several keys of one provider stand in one variable, separated by commas."""
    return secrets_of(part.strip() for part in text.split(","))


def secrets_of(words: Iterable[str]) -> tuple[Secret, ...]:
    """Keys in order of preference, each once."""
    found: dict[str, Secret] = {}
    for word in words:
        if not word:
            continue
        if not _TOKEN.fullmatch(word):
            raise BadKeyError("holds blanks, line breaks or characters that no header can carry")
        found[word] = Secret(word)
    if len(found) > KEYS_MAX:
        raise BadKeyError(f"holds more than {KEYS_MAX} keys")
    return tuple(found.values())


def keys_in_env(
    names: list[str], env: Mapping[str, str], *, need_all: bool
) -> tuple[str, tuple[Secret, ...]]:
    """The first variable that holds keys, and the keys; `need_all`: every variable must be set."""
    if need_all and not all(env.get(name, "").strip() for name in names):
        return "", ()
    for name in names[:1] if need_all else names:
        if env.get(name, "").strip():
            return name, split_keys(env[name])
    return "", ()


def has_places(base_url: str) -> bool:
    """Whether an address waits for account or resource names."""
    return _PLACE.search(base_url) is not None


def fill_places(base_url: str, names: list[str], env: Mapping[str, str]) -> str | None:
    """Puts account or resource names from the environment into `{places}`; None if one is missing.

    The variables after the key's own fill the places in order. A value must be a bare name: it
    becomes part of a host or path, and a slash or an @ there would send the key elsewhere.
    """
    values = [env.get(name, "").strip() for name in names]
    for place in _PLACE.findall(base_url):
        value = values.pop(0).removeprefix("https://").rstrip("/") if values else ""
        if not _RESOURCE.fullmatch(value):
            return None
        base_url = base_url.replace(place, value, 1)
    return base_url
