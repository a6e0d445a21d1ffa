"""Decides how providers and price windows stand in the file: address, key, quirks, calendar.
Does not decide which offers they carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from .quirks import provider_flags

if TYPE_CHECKING:
    from .sources import Json, Row

DIALECTS_WITH_CODEC = frozenset({"openai", "anthropic", "gemini", "bedrock"})
AUTH_ROUTED_NOT = frozenset({"oauth2", "exchange"})


@dataclass(frozen=True)
class Windowed:
    """The window an offer follows and what its off-peak hours cost."""

    id: str
    multiplier: Decimal


def spoken(row: Row) -> bool:
    """Whether this release can talk to the provider at all."""
    return row["dialect"] in DIALECTS_WITH_CODEC and row["auth"] not in AUTH_ROUTED_NOT


def provider_records(rows: list[Row], env: dict[str, list[str]]) -> list[Json]:
    """One record a provider; `env` replaces key variables that name somebody else's account."""
    if unknown := env.keys() - {row["provider_id"] for row in rows}:
        raise ValueError(f"exceptions.toml: [[env]] for unknown providers: {sorted(unknown)}")
    return [_provider(row, env) for row in rows]


def _provider(row: Row, env: dict[str, list[str]]) -> Json:
    name = row["provider_id"]
    base = row["base_url"].rstrip("/")
    record: Json = {
        "t": "provider",
        "id": name,
        "kind": row["kind"],
        "dialect": row["dialect"],
        "base_url": base,
        "auth": row["auth"],
        "env": env.get(name) or _env(row["env_var"]),
    }
    if "+" in row["env_var"]:
        record["env_all"] = True
    if row["hardware"]:
        record["hardware"] = row["hardware"]
    # An address with a placeholder waits for the operator's own base_url.
    record["routable"] = row["routable"] == "yes" and spoken(row) and "{" not in base
    record["flags"] = provider_flags(name, row["flags"])
    return record


def _env(text: str) -> list[str]:
    """Key variables in order of preference; a bundle keeps its key first."""
    for separator in ("|", "+", "/"):
        text = text.replace(separator, " ")
    return text.split()


def window_records(rows: list[Row]) -> tuple[list[Json], dict[tuple[str, str], Windowed]]:
    """The windows, and which offers follow which."""
    periods: dict[str, list[Json]] = {}
    follows: dict[tuple[str, str], Windowed] = {}
    for row in rows:
        name = row["provider"]
        if row["state"] == "off-peak":
            for model in row["models"].split(","):
                follows[name, model] = Windowed(name, Decimal(row["multiplier_vs_list"]))
        else:
            if Decimal(row["multiplier_vs_list"]) != 1:
                raise ValueError(f"window {name}: the peak must be the list price")
            periods.setdefault(name, []).append(_period(row))
    made: list[Json] = [
        {"t": "window", "id": name, "periods": sorted(found, key=lambda p: str(p["from"]))}
        for name, found in periods.items()
    ]
    return made, follows


def _period(row: Row) -> Json:
    first, last = (int(day) for day in row["days"].split("-"))
    period: Json = {"from": row["valid_from"]}
    if row["valid_until"]:
        period["until"] = row["valid_until"]
    period["peak"] = [
        [_minute(part) for part in span.split("-")] for span in row["utc_hours"].split(";")
    ]
    period["days"] = list(range(first, last + 1))
    period["offset_min"] = _minute(row["day_calendar_utc_offset"].lstrip("+"))
    if row["holidays"]:
        holidays = row["holidays"].split(",")
        period["holidays"] = holidays
        # A notice covers its calendar year, whatever its last holiday.
        year = date.fromisoformat(holidays[-1]).year
        period["covers_to"] = (date(year + 1, 1, 1) - timedelta(days=1)).isoformat()
    return period


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    sign = -1 if hours.startswith("-") else 1
    return int(hours) * 60 + sign * int(minutes)
