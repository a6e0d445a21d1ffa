"""Decides how a test writes a ledger without the core: 256 bytes a row, by the published layout.

Does not read one: what it wrote must be understood by the core.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path

KINDS = ("", "intent", "dispatch", "settle", "release", "extend", "suspense", "adjust", "deny")
MODES = ("cost", "quality", "speed", "balanced")
NO_MODE = 255
DAY = 20_785  # 2026-11-28
DAY_US = 86_400_000_000


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclass(frozen=True)
class Row:
    kind: str
    number: int
    tenant: str = "acme"
    provider: str = "anthropic"
    model: str = "claude-haiku-4-5"
    attempt: int = 0
    mode: str | None = "cost"
    flags: int = 0
    day: int = DAY
    at_us: int = DAY * DAY_US
    held: int = 0
    cost: int = 0
    wasted: int = 0
    direct: int = 0
    tokens: tuple[int, int, int, int] = (0, 0, 0, 0)
    session: int = 0

    @property
    def rid(self) -> str:
        return f"req_{self.number:032x}"

    def encode(self, segment: int, place: int) -> bytes:
        mode = NO_MODE if self.mode is None else MODES.index(self.mode)
        head = struct.pack(
            "<BBBBHHi", 1, KINDS.index(self.kind), self.attempt, mode, self.flags, 200, self.day
        )
        body = head + self.number.to_bytes(16, "big")
        body += struct.pack("<Qq", segment << 32 | place, self.at_us)
        body += struct.pack("<4q", self.held, self.cost, self.wasted, self.direct)
        body += b"".join(count.to_bytes(5, "little") for count in self.tokens)
        body += struct.pack("<QQIII", self.session, 0, 0, 1_500, 1_000)
        names = [name.encode() for name in (self.tenant, self.provider, self.model, "r-1")]
        body += bytes(len(name) for name in names) + b"".join(names)
        body = body.ljust(252, b"\0")
        return struct.pack("<I", crc32c(body)) + body


def write(folder: Path, rows: list[Row], segment: int = 1) -> None:
    """A journal as a process leaves it that was killed: rows, and nobody's lock."""
    journal = folder / "journal"
    journal.mkdir(parents=True, exist_ok=True)
    (journal / "id").write_bytes(b"a test's journal"[:16])
    data = b"".join(row.encode(segment, place) for place, row in enumerate(rows))
    (journal / f"{segment:08x}-00.rows").write_bytes(data)


def request(row: Row, held: int = 0) -> list[Row]:
    """The two rows of a request that was sent and ended."""
    sent = replace(row, kind="dispatch", attempt=1, held=held, cost=0, wasted=0, direct=0)
    return [replace(sent, tokens=(0, 0, 0, 0)), row]
