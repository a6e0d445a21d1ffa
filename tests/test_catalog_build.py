"""Decides whether the shipped catalogue is what its sources and the design say it is.
Does not test the Rust loader: prices are computed here by hand, in integers, a second time.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from genai_prices.types import Usage as GenaiUsage

from p402 import _core, cli
from p402.catalog import build as builder
from p402.catalog import compiled, exceptions, genai, homes, quality, quirks, rates, sources
from p402.catalog.check import CatalogError, check
from p402.catalog.merge import Evidence, GenaiPrice, Tiers, add_tiers, choose
from p402.catalog.schema import line, sort_key
from p402.catalog.sources import Quote

Json = dict[str, Any]
FACTS = Path(builder.__file__).with_name("facts")
PAGE_NAMES = {
    "deepseek-chat": "deepseek/deepseek-flash",
    "claude-haiku-4-6": "anthropic/claude-haiku-4-5",
    "gemini-3.1-flash": "google/gemini-3.1-flash-lite",
    "claude-opus-4-6": "anthropic/claude-opus-4-6",
    "gpt-5.4": "openai/gpt-5.4",
    "gemini-3.1-ultra": "google/gemini-3.1-pro-preview",
    "llama-3.3-70b-versatile": "groq/llama-3.3-70b-versatile",
    "claude-sonnet-4-6": "anthropic/claude-sonnet-4-6",
    "gemini-3.1-pro": "google/gemini-3.1-pro-preview",
}
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PEAK = datetime(2026, 11, 20, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def records() -> list[Json]:
    return [json.loads(raw) for raw in compiled().splitlines()]


@pytest.fixture(scope="module")
def offers(records: list[Json]) -> dict[str, Json]:
    """What chats; `passing` is the rest."""
    rows = [record for record in records if record["t"] == "offer" and "kind" not in record]
    return {f"{row['provider']}/{row['model']}": row for row in rows}


@pytest.fixture(scope="module")
def passing(records: list[Json]) -> dict[str, Json]:
    rows = [record for record in records if "kind" in record and record["t"] == "offer"]
    return {f"{row['provider']}/{row['model']}": row for row in rows}


@pytest.fixture(scope="module")
def windows(records: list[Json]) -> dict[str, Json]:
    return {record["id"]: record for record in records if record["t"] == "window"}


# The pricing function of the design, written a second time: usage is
# (fresh, cache_read, cache_write, cache_write_1h, output), money is nano-dollars.


def instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_peak(window: Json, at: datetime) -> bool:
    for period in window["periods"]:
        if not period["from"] <= instant(at) < period.get("until", "9999"):
            continue
        local = at.astimezone(timezone(timedelta(minutes=period["offset_min"])))
        if local.isoweekday() not in period["days"]:
            return False
        if local.date().isoformat() in period.get("holidays", ()):
            return False
        utc = at.astimezone(UTC)
        minute = utc.hour * 60 + utc.minute
        return any(start <= minute < end for start, end in period["peak"])
    return True  # before the first period the list price is the price


def price_nano(offer: Json, usage: tuple[int, ...], at: datetime, window: Json | None) -> int:
    row = [row for row in offer["prices"] if row.get("from", "") <= instant(at)][-1]
    bands = row["bands"] if window is None or is_peak(window, at) else row["off"]
    fresh, read, write, write_1h, output = usage
    total = fresh + read + write + write_1h
    band = [band for band in bands if band["above"] < total or band["above"] == 0][-1]
    write_rate = band.get("cache_write", band["in"])
    pico = (
        fresh * band["in"]
        + read * band.get("cache_read", band["in"])
        + write * write_rate
        + write_1h * band.get("cache_write_1h", write_rate)
        + output * band["out"]
    )
    return -(-pico // 1_000) + int(row.get("per_request", 0))


def test_two_builds_are_the_shipped_file_to_the_byte(tmp_path: Path) -> None:
    header = json.loads(compiled().splitlines()[0])
    built = date.fromisoformat(header["date"])
    for name in ("one.jsonl", "two.jsonl"):
        builder.build(FACTS, tmp_path / name, built)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert (tmp_path / "one.jsonl").read_bytes() == compiled()


def test_the_digest_beside_the_file_is_the_files() -> None:
    said = files("p402.catalog").joinpath("catalog.jsonl.sha256").read_text()
    assert said == f"{hashlib.sha256(compiled()).hexdigest()}  catalog.jsonl\n"


def test_the_header_names_the_digest_of_every_input(records: list[Json]) -> None:
    inputs = records[0]["inputs"]
    for name in sources.TABLES:
        assert inputs[name] == hashlib.sha256((FACTS / name).read_bytes()).hexdigest()
    assert inputs["exceptions.toml"] == hashlib.sha256(exceptions.FILE.read_bytes()).hexdigest()
    assert any("Arena" in text and "CC BY 4.0" in text for text in records[0]["attributions"])


@pytest.mark.parametrize("with_stale", [True, False])
def test_the_file_is_wide_enough(offers: dict[str, Json], with_stale: bool) -> None:
    rows = [row for row in offers.values() if with_stale or row["confidence"] != "stale"]
    assert len(rows) >= 600
    assert len({row["provider"] for row in rows}) >= 60
    assert len({row.get("canonical", row["model"]) for row in rows}) >= 300


def test_the_file_is_small_enough_and_sound() -> None:
    assert len(compiled()) <= 1_500_000
    counts = check(compiled())
    assert counts["provider"] == len(sources.read_table(FACTS / "providers.tsv"))


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_the_page_names_resolve_are_priced_and_scored(
    records: list[Json], offers: dict[str, Json], name: str
) -> None:
    aliases = {record["name"]: record for record in records if record["t"] == "alias"}
    canonical = [
        where
        for where, row in offers.items()
        if row.get("home") and row.get("canonical", row["model"]) == name
    ]
    target = aliases[name]["to"] if name in aliases else canonical[0]
    assert target == PAGE_NAMES[name]
    row = offers[target]
    assert row["confidence"] != "stale"
    assert row["capability"]["match"] in {"exact", "variant"}
    assert all(band["in"] > 0 and band["out"] > 0 for band in row["prices"][-1]["bands"])
    provider = next(r for r in records if r["t"] == "provider" and r["id"] == row["provider"])
    assert provider["routable"]
    assert provider["dialect"] in {"openai", "anthropic", "gemini"}


def test_a_fading_name_has_a_successor(records: list[Json]) -> None:
    alias = next(r for r in records if r.get("name") == "llama-3.3-70b-versatile")
    assert alias["next"] == ["groq/openai/gpt-oss-120b"]


def test_no_float_stands_near_money(records: list[Json]) -> None:
    def refuse(text: str) -> float:
        raise AssertionError(f"a float in an offer: {text}")

    for raw in compiled().decode().splitlines():
        if json.loads(raw)["t"] != "capability":
            json.loads(raw, parse_float=refuse)
        else:
            # One decimal for scores, at most two for confidences, never a float's own noise.
            numbers = json.dumps([json.loads(raw)["scores"], json.loads(raw)["conf"]])
            assert not re.search(r"\.\d{3}|e-?\d", numbers)


def test_lines_are_canonical_and_sorted(records: list[Json]) -> None:
    assert [line(record) for record in records] == compiled().decode().splitlines()
    assert records == sorted(records, key=sort_key)


# § 13 of the design: list prices of November 2026, dollars written as nano-dollars.

VECTORS = [
    ("A direct", "openai/gpt-5.4", (1_200, 0, 0, 0, 400), NOON, 9_000_000),
    ("A", "anthropic/claude-haiku-4-5", (1_200, 0, 0, 0, 400), NOON, 3_200_000),
    ("A2 peak", "deepseek/deepseek-flash", (1_200, 0, 0, 0, 400), PEAK, 840_000),
    ("A2 off", "deepseek/deepseek-flash", (1_200, 0, 0, 0, 400), NOON, 420_000),
    ("A3", "groq/llama-3.3-70b-versatile", (1_200, 0, 0, 0, 400), NOON, 1_024_000),
    ("B", "anthropic/claude-sonnet-4-6", (1_200, 0, 0, 0, 400), NOON, 9_600_000),
    ("D", "anthropic/claude-sonnet-4-6", (10, 9_000, 1_000, 0, 50), NOON, 7_230_000),
    ("D all fresh", "anthropic/claude-sonnet-4-6", (10_010, 0, 0, 0, 50), NOON, 30_780_000),
    ("E", "anthropic/claude-haiku-4-5", (500, 0, 100_000, 0, 800), NOON, 129_500_000),
    ("E direct", "anthropic/claude-opus-4-6", (500, 100_000, 0, 0, 800), NOON, 72_500_000),
    ("F", "openai/gpt-5.4", (272_000, 0, 0, 0, 1_000), NOON, 695_000_000),
    ("F above", "openai/gpt-5.4", (272_001, 0, 0, 0, 1_000), NOON, 1_382_505_000),
    ("F1", "openai/gpt-5.4", (0, 272_001, 0, 0, 0), NOON, 136_000_500),
    ("G direct", "openai/gpt-5.4-nano", (1_200, 0, 0, 0, 400), NOON, 740_000),
    ("I", "xai/grok-4.5", (199_999, 0, 0, 0, 1_000), NOON, 405_998_000),
    ("I above", "xai/grok-4.5", (200_000, 0, 0, 0, 1_000), NOON, 812_000_000),
    ("J", "anthropic/claude-haiku-5-5", (100_000, 0, 0, 0, 1_000), NOON, 10_500_000),
    ("J above", "anthropic/claude-haiku-5-5", (100_001, 0, 0, 0, 1_000), NOON, 52_500_500),
    ("K", "google/gemini-3.1-pro-preview", (200_000, 0, 0, 0, 1_000), NOON, 412_000_000),
    ("K above", "google/gemini-3.1-pro-preview", (200_001, 0, 0, 0, 1_000), NOON, 818_004_000),
    (
        "L before",
        "anthropic/claude-opus-4-6",
        (200_001, 0, 0, 0, 0),
        datetime(2026, 3, 12, 12, tzinfo=UTC),
        2_000_010_000,
    ),
    (
        "L after",
        "anthropic/claude-opus-4-6",
        (200_001, 0, 0, 0, 0),
        datetime(2026, 3, 13, 12, tzinfo=UTC),
        1_000_005_000,
    ),
]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector[0] for vector in VECTORS])
def test_vectors_of_the_design(
    offers: dict[str, Json],
    windows: dict[str, Json],
    vector: tuple[str, str, tuple[int, ...], datetime, int],
) -> None:
    _, where, usage, at, nano = vector
    offer = offers[where]
    assert price_nano(offer, usage, at, windows.get(offer.get("window", ""))) == nano


BANDS = {
    "openai/gpt-5.4": [
        {"above": 0, "in": 2_500_000, "out": 15_000_000, "cache_read": 250_000},
        {"above": 272_000, "in": 5_000_000, "out": 22_500_000, "cache_read": 500_000},
    ],
    "xai/grok-4.5": [
        {"above": 0, "in": 2_000_000, "out": 6_000_000, "cache_read": 300_000},
        {"above": 199_999, "in": 4_000_000, "out": 12_000_000, "cache_read": 600_000},
    ],
    "google/gemini-3.1-pro-preview": [
        {"above": 0, "in": 2_000_000, "out": 12_000_000, "cache_read": 200_000},
        {"above": 200_000, "in": 4_000_000, "out": 18_000_000, "cache_read": 400_000},
    ],
    "deepseek/deepseek-flash": [
        {"above": 0, "in": 300_000, "out": 1_200_000, "cache_read": 6_000},
    ],
}


@pytest.mark.parametrize("where", BANDS)
def test_bands_are_exactly_these(offers: dict[str, Json], where: str) -> None:
    assert offers[where]["prices"][-1]["bands"] == BANDS[where]


def test_claude_opus_lost_its_surcharge_on_a_date(offers: dict[str, Json]) -> None:
    before, after = offers["anthropic/claude-opus-4-6"]["prices"]
    assert "from" not in before
    assert [band["above"] for band in before["bands"]] == [0, 200_000]
    assert after["from"] == "2026-03-13T00:00:00Z"
    assert [band["above"] for band in after["bands"]] == [0]


def test_off_peak_is_multiplied_out(offers: dict[str, Json]) -> None:
    row = offers["deepseek/deepseek-flash"]["prices"][-1]
    assert row["off"] == [{"above": 0, "in": 150_000, "out": 600_000, "cache_read": 3_000}]


@pytest.mark.parametrize(
    ("at", "peak"),
    [
        ("2026-11-20T00:59:00", False),
        ("2026-11-20T01:00:00", True),
        ("2026-11-20T03:59:00", True),
        ("2026-11-20T04:00:00", False),
        ("2026-11-20T06:00:00", True),
        ("2026-11-20T10:00:00", False),
        ("2026-11-21T02:00:00", False),
        ("2026-11-22T02:00:00", False),
        ("2026-10-01T02:00:00", False),
        ("2026-08-22T01:30:00", True),
    ],
)
def test_deepseek_calendar(windows: dict[str, Json], at: str, peak: bool) -> None:
    assert is_peak(windows["deepseek"], datetime.fromisoformat(f"{at}+00:00")) is peak


def test_every_anthropic_offer_prices_both_cache_writes(offers: dict[str, Json]) -> None:
    rows = [row for row in offers.values() if row["provider"] == "anthropic"]
    assert rows
    for band in (band for row in rows for price in row["prices"] for band in price["bands"]):
        assert band["cache_write"] * 4 == band["in"] * 5
        assert band["cache_write_1h"] == 2 * band["in"]


# Bar 4: to the nano-dollar what genai-prices itself answers.

# Where we knowingly say something else, and why.
DIFFERENT = {
    "mistral/mistral-large-latest": "exceptions.toml: its clause ties -latest to a 2024 model",
    "openai/gpt-5.6-cyber": "LiteLLM states the long-prompt tier that all of gpt-5.6 has",
}
INSTANTS = [
    NOON,  # off-peak on a working day: genai-prices knows the hours, though not the calendar
    datetime(2026, 3, 12, 12, tzinfo=UTC),
    datetime(2026, 10, 13, 7, tzinfo=UTC),
    datetime(2026, 11, 20, 7, tzinfo=UTC),
]


def shapes(total: int) -> list[tuple[int, ...]]:
    """Six usages of the same total input: fresh, read, mixed, written, written for an hour."""
    return [
        (total, 0, 0, 0, 400),
        (0, total, 0, 0, 50),
        (total // 2, total - total // 2, 0, 0, 7),
        (total - 3, 1, 2, 0, 0),
        (total - 3, 1, 1, 1, 9),
        (total, 0, 0, 0, 0),
    ]


def genai_nano(info: Any, usage: tuple[int, ...], at: datetime) -> int:
    fresh, read, write, write_1h, output = usage
    counts = {
        "input_tokens": fresh + read + write + write_1h,
        "output_tokens": output,
        "cache_read_tokens": read,
        "cache_write_tokens": write + write_1h,
    }
    if write_1h:
        counts["cache_write_1h_tokens"] = write_1h
    dollars = info.get_prices(at).calc_price(GenaiUsage(**counts))["total_price"]
    nano = Fraction(dollars) * 10**9
    return -(-nano.numerator // nano.denominator)


def test_prices_equal_genai_prices_to_the_nano(
    offers: dict[str, Json], windows: dict[str, Json]
) -> None:
    known = genai.providers()
    compared = 0
    wrong: dict[str, tuple[object, ...]] = {}
    for where, offer in offers.items():
        info = genai.match(known, offer["provider"], offer["model"])
        if info is None or offer["confidence"] == "disputed":
            continue
        window = windows.get(offer.get("window", ""))
        edges = {band["above"] for price in offer["prices"] for band in price["bands"]} - {0}
        for at in INSTANTS:
            if window is not None and instant(at) < window["periods"][0]["from"]:
                continue  # genai-prices applies the hours before they came into force
            for total in {1_200, *(edge + step for edge in edges for step in (-1, 0, 1))}:
                for usage in shapes(total):
                    ours, theirs = price_nano(offer, usage, at, window), genai_nano(info, usage, at)
                    compared += 1
                    if ours != theirs:
                        wrong[where] = (instant(at), usage, ours, theirs)
    assert compared > 20_000
    assert set(wrong) == set(DIFFERENT), wrong


def test_the_core_prices_every_offer_to_the_same_nano(
    offers: dict[str, Json], windows: dict[str, Json]
) -> None:
    """The one pricing function of the product against the design's, written a second time here."""
    core = _core.Gateway(b"{}", catalog=[compiled()])
    wrong: dict[str, tuple[object, ...]] = {}
    compared = 0
    for where, offer in offers.items():
        window = windows.get(offer.get("window", ""))
        edges = {band["above"] for price in offer["prices"] for band in price["bands"]} - {0}
        for at in INSTANTS:
            micros = int(at.timestamp()) * 1_000_000
            for total in {1_200, *(edge + step for edge in edges for step in (-1, 0, 1))}:
                for usage in shapes(total):
                    ours = price_nano(offer, usage, at, window)
                    fresh, read, write, write_1h, output = usage
                    told = core.price(where, (fresh, read, write, write_1h, output), micros)
                    compared += 1
                    if told != ours:
                        wrong[where] = (instant(at), usage, ours, told)
    assert compared > 60_000
    assert not wrong, dict(list(wrong.items())[:5])


# Sources against one another.


def quote(source: str, price_in: int, price_out: int, dated: date = date(2026, 11, 1)) -> Quote:
    return Quote(source, dated, {"in": price_in, "out": price_out})


def answered(price_in: int, price_out: int) -> GenaiPrice:
    return GenaiPrice([{"bands": [{"above": 0, "in": price_in, "out": price_out}]}], exact=True)


OLD = date(2026, 8, 18)
BUILT = date(2026, 11, 22)


@pytest.mark.parametrize(
    ("answer", "quotes", "source", "confidence", "n_agree"),
    [
        (answered(2, 6), [quote("litellm", 2, 6)], "genai-prices", "agree", 2),
        (answered(2, 6), [], "genai-prices", "single", 1),
        (answered(2, 6), [quote("litellm", 1, 3)], "genai-prices", "single", 1),
        (
            answered(2, 6),
            [quote("litellm", 1, 3), quote("pi-ai", 1, 3)],
            "genai-prices",
            "disputed",
            1,
        ),
        (answered(1, 3), [quote("litellm", 2, 6), quote("pi-ai", 2, 6)], "litellm", "disputed", 2),
        (None, [quote("litellm", 1, 3), quote("pi-ai", 1, 3)], "litellm", "agree", 2),
        (None, [quote("litellm", 1, 3), quote("pi-ai", 2, 6)], "pi-ai", "disputed", 1),
        (None, [quote("litellm", 1, 3), quote("models.dev", 1, 3, OLD)], "litellm", "agree", 2),
        (None, [quote("litellm", 1, 3), quote("models.dev", 2, 6, OLD)], "litellm", "single", 1),
        (None, [quote("models.dev", 2, 6, OLD)], "models.dev", "stale", 1),
    ],
)
def test_price_authority(
    answer: GenaiPrice | None, quotes: list[Quote], source: str, confidence: str, n_agree: int
) -> None:
    chosen = choose(Evidence(answer, quotes, BUILT))
    assert chosen is not None
    assert (chosen.source, chosen.confidence, chosen.n_agree) == (source, confidence, n_agree)


def test_an_exception_names_the_source_that_is_right() -> None:
    chosen = choose(Evidence(answered(2, 6), [quote("litellm", 1, 3)], BUILT, trusted="litellm"))
    assert chosen is not None
    assert (chosen.source, chosen.rows[0]["bands"][0]["in"]) == ("litellm", 1)
    with pytest.raises(ValueError, match="states no price"):
        choose(Evidence(None, [quote("litellm", 1, 3)], BUILT, trusted="pi-ai"))


def test_everything_is_stale_sixty_one_days_later() -> None:
    late = BUILT + timedelta(days=61)
    chosen = choose(Evidence(answered(2, 6), [quote("litellm", 2, 6)], late))
    assert chosen is not None
    assert chosen.confidence == "stale"


def test_tiers_need_a_source_that_still_states_their_base() -> None:
    rounding = rates.Rounding()

    def laid(quotes: list[Quote], *stating: str) -> list[int]:
        evidence = Evidence(None, quotes, BUILT)
        chosen = choose(evidence)
        assert chosen is not None
        tiers = Tiers(">200:0.000004/0.000012/", frozenset(stating), "test", rounding)
        return [band["above"] for band in add_tiers(chosen, evidence, tiers)[0]["bands"]]

    assert laid([quote("litellm", 2, 6)], "litellm") == [0, 200]
    # The only one who states the tier is old: the surcharge may have ended.
    assert laid([quote("litellm", 2, 6), quote("models.dev", 2, 6, OLD)], "models.dev") == [0]
    # The one who states the tier has another base price.
    assert laid([quote("litellm", 1, 3), quote("pi-ai", 2, 6)], "litellm") == [0]


def test_an_inclusive_threshold_is_stored_one_lower(offers: dict[str, Json]) -> None:
    rows = [row for row in offers.values() if row["provider"] == "xai"]
    edges = {band["above"] for row in rows for band in row["prices"][-1]["bands"]}
    assert edges == {0, 199_999}


@pytest.mark.parametrize(
    ("text", "pico"),
    [
        ("1", 1_000_000),
        ("0.001", 1_000),
        ("0.0024499999999999995", 2_450),
        ("0.0833333333333333", 83_334),
        ("2.50", 2_500_000),
        ("60", 60_000_000),
    ],
)
def test_a_price_text_is_a_whole_rate_and_never_less(text: str, pico: int) -> None:
    assert rates.pico(text) == pico


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "1,5", ""])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        rates.pico(text)


# Flags.


def test_every_flag_of_the_tables_is_typed_or_explained() -> None:
    for row in sources.read_table(FACTS / "providers.tsv"):
        for flag in quirks.provider_flags(row["provider_id"], row["flags"]):
            quirks.check_flag(flag, row["provider_id"])


def test_an_unknown_flag_fails_the_build() -> None:
    with pytest.raises(ValueError, match="no quirk of ours"):
        quirks.provider_flags("acme", "no_store;rejects_everything")
    with pytest.raises(ValueError, match="reasoning_control"):
        quirks.offer_flags("acme/m", "reasoning_control=telepathy", [])


def test_an_unverified_flag_never_cuts_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(quirks.UNVERIFIED, "acme", frozenset({"no_store"}))
    with pytest.raises(ValueError, match="must not drop"):
        quirks.provider_flags("acme", "no_store")


def test_flags_of_known_providers(records: list[Json]) -> None:
    flags = {r["id"]: r["flags"] for r in records if r["t"] == "provider"}
    assert flags["groq"] == ["drop=logit_bias|logprobs"]
    assert "tool_id=alnum9" in flags["mistral"]
    assert "seed_field=random_seed" in flags["mistral"]
    assert "max_tokens_field=max_completion_tokens" in flags["openai"]
    assert "usage_shape=anthropic_excl_cache" in flags["anthropic"]
    assert flags["google"] == ["usage_shape=gemini_excl_thoughts"]
    assert "usage_shape=openrouter_cost" in flags["openrouter"]


def test_first_parties_are_spoken_to_in_their_own_language(records: list[Json]) -> None:
    rows = {r["id"]: r for r in records if r["t"] == "provider"}
    assert rows["anthropic"]["base_url"] == "https://api.anthropic.com/v1"
    assert rows["google"]["base_url"] == "https://generativelanguage.googleapis.com/v1beta"
    told = {name: (row["dialect"], row["auth"]) for name, row in rows.items()}
    assert told["anthropic"] == ("anthropic", "x-api-key")
    assert told["google"] == ("gemini", "x-goog-api-key")
    assert told["amazon-bedrock"] == ("bedrock", "sigv4")
    assert rows["amazon-bedrock"]["env"] == ["AWS_BEARER_TOKEN_BEDROCK"]


def test_a_placeholder_waits_for_the_operator(records: list[Json]) -> None:
    rows = [r for r in records if r["t"] == "provider" and "{" in r["base_url"]]
    assert rows
    assert not any(row["routable"] for row in rows)


def test_one_key_brings_one_provider_to_life(records: list[Json]) -> None:
    rows = [r for r in records if r["t"] == "provider" and r["routable"]]
    shared = {name: n for name, n in Counter(v for r in rows for v in r["env"]).items() if n > 1}
    assert shared == {}
    assert "GITHUB_TOKEN" not in {name for row in rows for name in row["env"]}


# Quality.


def test_every_measured_row_is_kept(records: list[Json]) -> None:
    table = sources.read_table(FACTS / "capability.tsv")
    kept = {(r["model"], r["effort"]): r for r in records if r["t"] == "capability"}
    for row in table:
        scores = kept[row["model"], row["effort"]]["scores"]
        for task, score in zip(quality.TASKS, scores, strict=True):
            assert row[task] == "" or float(row[task]) == score
    guesses = {model for model, _ in kept if model.startswith("~")}
    assert len(kept) == len(table) + len(guesses)


def test_guesses_say_that_they_are_guesses(records: list[Json], offers: dict[str, Json]) -> None:
    rows = {r["model"]: r for r in records if r["t"] == "capability" and r["effort"] == "best"}
    for offer in offers.values():
        link = offer.get("capability")
        if link is None:
            assert offer["confidence"] == "stale"
            continue
        conf = {"family": 0.2, "price_band": 0.1}.get(link["match"])
        assert link["model"].startswith("~") is (conf is not None)
        if conf is not None:
            assert set(rows[link["model"]]["conf"]) == {conf}


@pytest.mark.parametrize(
    ("name", "key", "version"),
    [
        ("gpt-5.4-mini", ("gpt", "#", "mini"), (5, 4)),
        ("claude-opus-4-6", ("claude", "opus", "#"), (4, 6)),
        ("claude-opus-4-6-20260205", ("claude", "opus", "#"), (4, 6)),
        ("qwen3.6-27b", ("qwen", "#", "27b"), (3, 6)),
        ("gemini-3.1-pro-preview", ("gemini", "#", "pro"), (3, 1)),
        ("llama-3.3-70b-instruct", ("llama", "#", "70b"), (3, 3)),
    ],
)
def test_families(name: str, key: tuple[str, ...], version: tuple[int, ...]) -> None:
    assert quality.family(name) == (key, version)


def test_a_successor_stands_five_below_its_predecessor(records: list[Json]) -> None:
    rows = {r["model"]: r for r in records if r["t"] == "capability" and r["effort"] == "best"}
    before, guess = rows["claude-haiku-4-5"], rows["~family:claude-haiku-5-5"]
    for old, new in zip(before["scores"], guess["scores"], strict=True):
        assert new == pytest.approx(max(old - 5, 0), abs=0.05)


# Homes.


def test_a_canonical_model_has_at_most_one_home_and_it_is_fresh(offers: dict[str, Json]) -> None:
    fresh = {o.get("canonical", o["model"]) for o in offers.values() if o["confidence"] != "stale"}
    marked = [o.get("canonical", o["model"]) for o in offers.values() if o.get("home")]
    assert sorted(marked) == sorted(fresh)


def test_the_home_is_the_makers_or_the_cheapest() -> None:
    def row(provider: str, price: int) -> Json:
        band = {"above": 0, "in": price, "out": price}
        return {
            "provider": provider,
            "model": "m",
            "canonical": "llama-9-8b",
            "confidence": "agree",
            "prices": [{"bands": [band]}],
        }

    kinds = {"meta": "first_party", "dear": "inference_host", "cheap": "inference_host"}
    kinds["broker"] = "aggregator"
    without = [row("dear", 9), row("broker", 1), row("cheap", 5)]
    homes.mark(without, kinds)
    assert [o["provider"] for o in without if o.get("home")] == ["cheap"]
    with_maker = [row("cheap", 5), row("meta", 9)]
    homes.mark(with_maker, kinds)
    assert [o["provider"] for o in with_maker if o.get("home")] == ["meta"]


# The checker, the exceptions, the command.


def edited(kind: str, change: Any) -> bytes:
    """The shipped file with one record of a kind changed."""
    out, done = [], False
    for raw in compiled().decode().splitlines():
        record = json.loads(raw)
        if record["t"] == kind and not done:
            change(record)
            done = True
        out.append(line(record))
    return "".join(f"{text}\n" for text in out).encode()


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("offer", lambda r: r["prices"][0]["bands"][0].update({"in": 1.5}), "no integer"),
        ("offer", lambda r: r["prices"][0]["bands"][0].update({"in": 0}), "zero price"),
        ("offer", lambda r: r["prices"][0]["bands"][0].update({"above": 7}), "starts at 0"),
        ("offer", lambda r: r.update(provider="a-nobody"), "unknown provider"),
        ("offer", lambda r: r.update(context=0), "no context"),
        ("offer", lambda r: r.update(confidence="sure"), "sure"),
        ("offer", lambda r: r.update(surprise=1), "key order"),
        ("provider", lambda r: r["flags"].append("drop=everything"), "drop takes"),
        ("capability", lambda r: r["scores"].pop(), "nine scores"),
        ("alias", lambda r: r.update(to="nobody/nothing"), "unknown offer"),
        ("header", lambda r: r.update(t="provider"), "header must come first"),
    ],
)
def test_the_checker_refuses_a_bad_line(kind: str, change: Any, says: str) -> None:
    with pytest.raises(CatalogError, match=says):
        check(edited(kind, change))


def test_every_exception_has_reason_source_and_date(tmp_path: Path) -> None:
    models = sources.read_table(FACTS / "models.tsv")
    assert exceptions.read(models).alias
    bad = tmp_path / "exceptions.toml"
    bad.write_text('[[drop]]\nprovider = "openai"\nmodels = ["gpt-5.4"]\nreason = "because"\n')
    with pytest.raises(ValueError, match="needs"):
        exceptions.read(models, bad)
    bad.write_text(
        '[[drop]]\nprovider = "openai"\nmodels = ["gpt-0"]\n'
        'reason = "r"\nsource = "s"\ndate = "2026-11-22"\n'
    )
    with pytest.raises(ValueError, match="no rows"):
        exceptions.read(models, bad)


def test_no_new_first_party_dispute(tmp_path: Path) -> None:
    report = builder.build(FACTS, tmp_path / "catalog.jsonl", BUILT)
    assert report.disputed_new == []
    assert report.disputed_gone == []


def test_the_builder_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the builder opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    out = tmp_path / "catalog.jsonl"
    assert builder.main(["--date", "2026-11-22", "--out", str(out), "--strict"]) == 0
    assert out.read_bytes() == compiled()


def test_the_command_teaches_and_fails_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        builder.main(["--help"])
    assert stopped.value.code == 0
    assert "p402[catalog]" in capsys.readouterr().out
    out = tmp_path / "c.jsonl"
    assert builder.main(["--date", "2026-11-22", "--data", str(tmp_path), "--out", str(out)]) == 1
    assert "missing capability.tsv" in capsys.readouterr().err
    assert not out.exists()


def test_the_p402_command_hands_every_option_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "catalog.jsonl"
    assert cli.main(["catalog", "build", "--date", "2026-11-22", "--out", str(out)]) == 0
    assert out.read_bytes() == compiled()
    with pytest.raises(SystemExit):
        cli.main(["catalog", "build", "--help"])
    assert "--strict" in capsys.readouterr().out


# Pico-dollars: an input token, a character, a second; at the price of 22 November 2026.
PASSING = {
    "openai/text-embedding-3-small": ("embedding", 20_000, 0),
    "openai/text-embedding-3-large": ("embedding", 130_000, 0),
    "openai/text-embedding-ada-002": ("embedding", 100_000, 0),
    "azure/text-embedding-3-small": ("embedding", 20_000, 0),
    "azure/text-embedding-3-large": ("embedding", 130_000, 0),
    "mistral/mistral-embed": ("embedding", 100_000, 0),
    "mistral/codestral-embed-2505": ("embedding", 150_000, 0),
    "openai/tts-1": ("speech", 0, 15_000_000),
    "openai/tts-1-hd": ("speech", 0, 30_000_000),
    "openai/whisper-1": ("transcription", 0, 100_000_000),
    "openai/omni-moderation-latest": ("moderation", 0, 0),
}


def test_what_does_not_chat_is_priced_in_its_own_unit(passing: dict[str, Json]) -> None:
    def told(row: Json) -> tuple[str, int, int]:
        [price] = row["prices"]
        [band] = price["bands"]
        return row["kind"], band["in"], band["out"]

    assert {where: told(row) for where, row in passing.items()} == PASSING
    free = [where for where, row in passing.items() if row.get("free")]
    assert free == ["openai/omni-moderation-latest"]
    assert not passing["azure/text-embedding-3-small"].get("home")
    assert passing["openai/text-embedding-3-small"]["home"] is True
