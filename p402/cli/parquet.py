"""Decides how the ledger's rows are laid out in files: by UTC day and hour, sorted by tenant.

Does not read a row itself: the core writes CSV, and pyarrow (`p402[parquet]`) only recasts it.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from p402 import _core

HOUR_US = 3_600_000_000
_SPENT = ("settle", "release", "adjust")
_TEXTS = (
    "day",
    "request_id",
    "kind",
    "tenant",
    "key",
    "provider",
    "model",
    "provider_request_id",
    "session",
    "mode",
    "flags",
    "price_version",
)
_INTEGERS = ("at_us", "seq", "attempt", "status", "latency_us", "provider_latency_us")
_FIGURES = (
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("held_nano", "cost_nano", "wasted_nano", "direct_nano"),
)


def export(books: _core.Books, folder: Path, form: str, days: tuple[str, str] | None = None) -> int:
    """Writes one file per hour that has rows, whole or not at all; returns the rows."""
    write = _write_parquet if form == "parquet" else _write_csv
    count = 0
    for start in _hours(books, days):
        text = books.csv(start, start + HOUR_US)
        lines = text.count(b"\n") - 1
        if lines:
            path = _path(folder, start, form)
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".new")
            write(text, beside)
            beside.replace(path)
            count += lines
    return count


def differences(books: _core.Books, folder: Path) -> list[str]:
    """Where the folder's Parquet files and the ledger differ, by a nano-dollar or a row."""
    found = []
    parquet = _arrow("parquet")
    files = sorted(folder.glob("day=*/hour=*/rows.parquet"))
    if not files:
        return [f"{folder} holds no Parquet file of rows"]
    for path in files:
        start = _start(path)
        columns = ["tenant", "day", "kind", "cost_nano", "wasted_nano"]
        exported = _sums(parquet.read_table(path, columns=columns).to_pylist())
        written = _sums(_table(books.csv(start, start + HOUR_US)).select(columns).to_pylist())
        found += [
            f"{path}: {tenant or 'rows'} {day}: the ledger says {written[tenant, day]}, "
            f"the file {exported[tenant, day]}"
            for tenant, day in sorted(written.keys() | exported.keys())
            if written[tenant, day] != exported[tenant, day]
        ]
    return found


def _sums(rows: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """Nano-dollars by tenant and day of admission; the rows themselves under no tenant."""
    sums: Counter[tuple[str, str]] = Counter()
    sums["", ""] = len(rows)
    for row in rows:
        if row["kind"] in _SPENT:
            sums[row["tenant"], row["day"]] += row["cost_nano"] + row["wasted_nano"]
    return sums


def _hours(books: _core.Books, days: tuple[str, str] | None) -> Iterator[int]:
    if days is None:
        first, last = books.span() or (0, -1)
    else:
        since, until = map(_midnight, days)
        first, last = _micros(since), _micros(until + timedelta(days=1)) - 1
        span = books.span() or (0, -1)
        first, last = max(first, span[0]), min(last, span[1])
    yield from range(first // HOUR_US * HOUR_US, last + 1, HOUR_US)


def _path(folder: Path, start: int, form: str) -> Path:
    at = datetime.fromtimestamp(start // 1_000_000, UTC)
    return folder / f"day={at:%Y-%m-%d}" / f"hour={at:%H}" / f"rows.{form}"


def _start(path: Path) -> int:
    day, hour = (part.partition("=")[2] for part in path.parts[-3:-1])
    return _micros(datetime.fromisoformat(f"{day}T{hour}:00").replace(tzinfo=UTC))


def _midnight(day: str) -> datetime:
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"`{day}` is no day YYYY-MM-DD") from None


def _micros(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


def _write_csv(text: bytes, path: Path) -> None:
    path.write_bytes(text)


def _write_parquet(text: bytes, path: Path) -> None:
    _arrow("parquet").write_table(_table(text), path, compression="zstd")


def _table(text: bytes) -> Any:
    """Names as text, figures as whole numbers, whatever they look like."""
    arrow, csv = _arrow(), _arrow("csv")
    types = dict.fromkeys(_TEXTS, arrow.string())
    types |= dict.fromkeys((*_INTEGERS, *_FIGURES), arrow.int64())
    options = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return csv.read_csv(arrow.BufferReader(text), convert_options=options)


def _arrow(part: str | None = None) -> Any:
    from importlib import import_module

    try:
        return import_module("pyarrow" if part is None else f"pyarrow.{part}")
    except ImportError:
        raise OSError("Parquet needs pyarrow: pip install 'p402[parquet]'") from None
