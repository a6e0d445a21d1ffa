"""Decides where in the file a limit is wrong; whether it is, the core says.

Does not know a bound or a default: `guard_limits` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from p402._core import guard_limits

if TYPE_CHECKING:
    from p402.settings.lines import Path
    from p402.settings.parse import Document
    from p402.settings.schema import File, Guard

_MENDS = {
    "rate.burst": "lower burst, or per_s",
    "renew_every_s": "renew at least twice within slot_lease_s and hold_lease_s",
}


class GuardCheck:
    """The limits of a document, judged by the core."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def file(self, file: File) -> None:
        """Raises the first mistake, with its line."""
        everybody = _json(file.guard)
        self._judge(("guard",), [everybody])
        for at, tenant in enumerate(file.tenant):
            self._judge(("tenant", at, "guard"), [everybody, _json(tenant.guard)])

    def _judge(self, path: Path, written: list[str]) -> None:
        try:
            guard_limits(written)
        except ValueError as error:
            key, why = error.args
            self._document.fail((*path, *key.split(".")), why, _mend(key))


def limits(*written: Guard) -> dict[str, Any]:
    """What these tables come to, later ones over earlier ones."""
    found: dict[str, Any] = orjson.loads(guard_limits([_json(each) for each in written]))
    return found


def _json(guard: Guard) -> str:
    return msgspec.json.encode(guard).decode()


def _mend(key: str) -> str | None:
    name = key.rpartition(".")[2]
    if name.endswith("_usd"):
        return f'write dollars as decimal digits, for example {name} = "250"'
    return _MENDS.get(key)
