"""Decides where in the file a rule of the cache is wrong; whether it is, the core says.

Does not know a bound or a default: `cache_rules` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from p402._core import cache_rules

if TYPE_CHECKING:
    from p402.settings.lines import Path
    from p402.settings.parse import Document
    from p402.settings.schema import Cache, File

_MENDS = {
    "threshold": "a cosine between 0.92 and 1; higher is nearer",
    "ttl_s": "lower it, or raise ttl_max_s",
    "share": "accepted: tenant, user, session",
    "delta": "0.01 promises at most one wrong hit in a hundred",
    "shadow_rate": "0.05 has five hits of a hundred checked",
    "shadow_daily_usd": 'write an amount such as "1.00"',
    "timing": "accepted: quick, original",
}


class CacheCheck:
    """The cache's rules of a document, judged by the core."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def file(self, file: File) -> None:
        """Raises the first mistake, with its line."""
        self._judge(("cache",), file.cache, None)
        for at, tenant in enumerate(file.tenant):
            self._judge(("tenant", at, "cache"), file.cache, tenant.cache)

    def _judge(self, path: Path, gateways: Cache, tenants: Cache | None) -> None:
        try:
            cache_rules(_json(gateways), None if tenants is None else _json(tenants))
        except ValueError as error:
            key, why = error.args
            self._document.fail((*path, key), why, _MENDS.get(key))


def _json(table: Cache) -> str:
    return msgspec.json.encode(table).decode()
