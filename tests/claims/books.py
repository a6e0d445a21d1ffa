"""Decides how a claim reads the ledger: straight from the index's tables, by its own SQL.

Uses no code of the gateway, so that it can contradict it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.foreign import sql as foreign

INDEXED_S = 20.0
DISPATCH, SETTLE, RELEASE, ADJUST = 2, 3, 4, 7
ENDS = f"kind IN ({SETTLE}, {RELEASE})"
SPENDS = f"kind IN ({SETTLE}, {RELEASE}, {ADJUST})"


class Books:
    """The ledger of a data directory."""

    def __init__(self, data: Path) -> None:
        self._file = data / "ledger.sqlite"

    def rids(self) -> list[str]:
        """Every request that has ended, once the index has it."""
        deadline = time.monotonic() + INDEXED_S
        while not (found := list(self.ends())) and time.monotonic() < deadline:
            time.sleep(0.02)  # polls a foreign thread's file
        return found

    def ends(self) -> dict[str, tuple[int, int]]:
        """By request: how it ended (kind) and what that cost its tenant, in nano-dollars."""
        sql = f"SELECT hex(rid), kind, cost_nano + wasted_nano FROM ledger_rows WHERE {ENDS}"
        return {f"req_{rid.lower()}": (kind, nano) for rid, kind, nano in self._rows(sql)}

    def spent(self) -> Counter[str]:
        """Nano-dollars by tenant, summed over rows."""
        sums = f"SELECT tenant, SUM(cost_nano + wasted_nano) FROM ledger_rows WHERE {SPENDS}"
        return Counter(dict(self._rows(f"{sums} GROUP BY tenant")))

    def counted(self) -> Counter[str]:
        """Nano-dollars by tenant, as the index's running totals have them."""
        sql = "SELECT tenant, SUM(spent_nano) FROM ledger_totals GROUP BY tenant"
        return Counter(dict(self._rows(sql)))

    def above_their_hold(self) -> list[str]:
        """Requests that cost more than was ever held for them."""
        held = "SELECT rid, MAX(held_nano) AS held FROM ledger_rows GROUP BY rid"
        sql = (
            f"SELECT hex(rid), cost_nano + wasted_nano - held FROM ledger_rows JOIN ({held}) "
            f"USING (rid) WHERE {ENDS} AND cost_nano + wasted_nano > held"
        )
        return [f"req_{rid.lower()} by {nano}" for rid, nano in self._rows(sql)]

    def rows(self, rids: Collection[str]) -> list[tuple[str, int, int, int]]:
        """Every row of these requests: request, kind, flags, nano-dollars."""
        wanted = set(rids)
        sql = "SELECT hex(rid), kind, flags, cost_nano + wasted_nano FROM ledger_rows"
        told = ((f"req_{rid.lower()}", *rest) for rid, *rest in self._rows(sql))
        return [row for row in told if row[0] in wanted]

    def by_day(self) -> Counter[int]:
        """Nano-dollars by day since 1970, as the running totals have them."""
        sql = "SELECT day, SUM(spent_nano) FROM ledger_totals GROUP BY day"
        return Counter(dict(self._rows(sql)))

    def open(self) -> int:
        """Requests that have not ended."""
        return int(self._rows("SELECT COUNT(*) FROM ledger_open")[0][0])

    def until_indexed(self, rids: Collection[str]) -> None:
        """Waits until these requests' ends are there, or as long as the index may take."""
        deadline = time.monotonic() + INDEXED_S
        while time.monotonic() < deadline:
            if self.open() == 0 and not set(rids) - self.ends().keys():
                return
            time.sleep(0.05)  # polls a foreign process's file

    def _rows(self, sql: str) -> list[list[Any]]:
        return foreign(self._file, sql)
