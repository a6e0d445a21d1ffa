"""Decides what is remembered of the requests received, and for how long.

Does not print anything: the log stays in memory, bounded, for tests that ask what arrived.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

BASES_MAX = 64
SECRET_HEADERS = frozenset(("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"))


@dataclass(slots=True)
class Record:
    """One request as it arrived, and what became of its reply."""

    number: int
    connection: int
    method: str
    path: str
    base: str
    headers: list[tuple[str, str]]
    raw_body: bytes
    model: str | None = None
    fault: str | None = None
    status: int | None = None
    events_sent: int = 0
    prompt_tokens: int = 0
    billed_prompt_tokens: int = 0
    billed_completion_tokens: int = 0
    finished: bool = False
    aborted: bool = False

    @property
    def body(self) -> Any:
        """The body as JSON; raises ValueError where it is none."""
        return json.loads(self.raw_body)

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key == name), None)

    def public(self) -> dict[str, Any]:
        """The record as JSON for the log's own path: secrets become digests."""
        return {
            "number": self.number,
            "connection": self.connection,
            "method": self.method,
            "path": self.path,
            "base": self.base,
            "headers": [[name, _masked(name, value)] for name, value in self.headers],
            "body": self.raw_body.decode("utf-8", "replace"),
            "model": self.model,
            "fault": self.fault,
            "status": self.status,
            "events_sent": self.events_sent,
            "prompt_tokens": self.prompt_tokens,
            "billed_prompt_tokens": self.billed_prompt_tokens,
            "billed_completion_tokens": self.billed_completion_tokens,
            "finished": self.finished,
            "aborted": self.aborted,
        }


@dataclass(slots=True)
class Journal:
    """The newest `limit` records of each base path; a limit of 0 remembers nothing."""

    limit: int
    received: int = 0
    _rows: dict[str, deque[Record]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Remember a record, forgetting the oldest of its base beyond the limit."""
        self.received += 1
        if self.limit == 0:
            return
        rows = self._rows.get(record.base)
        if rows is None:
            if len(self._rows) >= BASES_MAX:
                return
            rows = self._rows[record.base] = deque(maxlen=self.limit)
        rows.append(record)

    def of(self, base: str) -> list[Record]:
        """What one provider path received, oldest first."""
        return list(self._rows.get(base, ()))

    def all(self) -> list[Record]:
        """What every path received, oldest first."""
        rows: Iterable[Record] = (row for base in list(self._rows.values()) for row in list(base))
        return sorted(rows, key=lambda row: row.number)

    def clear(self) -> None:
        """Forget everything but the running number."""
        self._rows.clear()


def _masked(name: str, value: str) -> str:
    if name not in SECRET_HEADERS:
        return value
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()[:12]
