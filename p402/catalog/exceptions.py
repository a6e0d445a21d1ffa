"""Decides what exceptions.toml may say and which rows each of its rules names.
Does not judge whether a rule is right: a human reviewed each, with reason, source and date.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sources import Row

FILE = Path(__file__).with_name("exceptions.toml")
_EVIDENCE = frozenset({"reason", "source", "date"})
_KEYS: dict[str, frozenset[str]] = {
    "alias": frozenset({"name", "to", "next", "capability"}),
    "drop": frozenset({"provider", "models", "prefix", "suffix"}),
    "price": frozenset({"provider", "models", "trust"}),
    "env": frozenset({"provider", "env"}),
    "passing": frozenset({"provider", "kind", "models", "context", "free"}),
}

Rule = dict[str, Any]


@dataclass(frozen=True)
class Exceptions:
    """The reviewed corrections, by what they correct."""

    alias: list[Rule]
    drop: list[Rule]
    price: list[Rule]
    env: dict[str, list[str]]
    disputed: frozenset[str]
    passing: list[Rule]

    def trusted(self, provider: str, model: str) -> str | None:
        """The source that is right about this offer's price, if one was found to be."""
        for rule in self.price:
            if rule["provider"] == provider and model in rule["models"]:
                return str(rule["trust"])
        return None

    def dropped(self, row: Row) -> str | None:
        """Why this row is no offer, if a rule says so."""
        for rule in self.drop:
            if _names(rule, row):
                return str(rule["reason"])
        return None


def read(models: list[Row], file: Path = FILE) -> Exceptions:
    """Reads and checks the file; a rule that names nothing in `models` is an error."""
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    if unknown := raw.keys() - {*_KEYS, "disputed"}:
        raise ValueError(f"{file.name}: unknown tables {sorted(unknown)}")
    for table, keys in _KEYS.items():
        for rule in raw.get(table, []):
            _check(f"{file.name} [[{table}]]", rule, keys)
    known = {(row["provider"], row["model"]) for row in models}
    for rule in [*raw.get("drop", []), *raw.get("price", [])]:
        gone = [m for m in rule.get("models", ()) if (rule["provider"], m) not in known]
        if gone:
            raise ValueError(f"{file.name}: {rule['provider']} has no rows {gone}: drop the rule")
    return Exceptions(
        alias=raw.get("alias", []),
        drop=raw.get("drop", []),
        price=raw.get("price", []),
        env={rule["provider"]: rule["env"] for rule in raw.get("env", [])},
        disputed=frozenset(raw.get("disputed", {}).get("known", [])),
        passing=raw.get("passing", []),
    )


def _check(where: str, rule: Rule, keys: frozenset[str]) -> None:
    if missing := _EVIDENCE - rule.keys():
        raise ValueError(f"{where}: a rule needs {sorted(missing)}: {rule}")
    if unknown := rule.keys() - keys - _EVIDENCE:
        raise ValueError(f"{where}: unknown keys {sorted(unknown)}")
    if not all(isinstance(rule[key], str) and rule[key].strip() for key in _EVIDENCE):
        raise ValueError(f"{where}: reason, source and date are words: {rule}")
    date.fromisoformat(rule["date"])


def _names(rule: Rule, row: Row) -> bool:
    if rule.get("provider", row["provider"]) != row["provider"]:
        return False
    name = row["model"]
    if "models" in rule:
        return name in rule["models"]
    return name.startswith(rule.get("prefix", "")) and name.endswith(rule.get("suffix", ""))
