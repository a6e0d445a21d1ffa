"""Fault 26: the ledger's disk is full: what is new is refused unsent, what was told is kept.

First there is room for one segment and none in reserve; then all that is left is taken away.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from pathlib import Path

from tests.claims.books import SETTLE, Books
from tests.claims.crowd import Caller
from tests.claims.provider import read_bill
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.storm import Storm
from tests.claims.verdict import Scale, Verdict
from tests.faults.small_disk import SmallDisk

TITLE = "ledger's disk full: acknowledged rows lost; requests sent although there is no room"
TARGET = "0; 0, refused with ledger_unavailable"
NAME = "full"
# A segment takes 64 MiB: one fits, two do not.
TIGHT_MIB, ROOMY_MIB = 100, 200
ROOM_S = 10.0
TRIES = 20


async def ask(stage: Stage, requests: int) -> Counter[str]:
    """So many requests, one after the other; what they were told."""
    caller, told = Caller(stage.gate.port, key_of(NAME)), Counter[str]()
    for number in range(requests):
        chat = [{"role": "user", "content": "hi"}]
        body = {"model": "claims", "messages": chat, "max_tokens": 4, "user": f"{NAME}/{number}"}
        reply = await caller.ask(body)
        told[reply.code or str(reply.status)] += 1
    caller.hang_up()
    return told


def until_served(stage: Stage) -> float:
    """Seconds until a request is answered again."""
    began = time.monotonic()
    while asyncio.run(ask(stage, 1))["200"] == 0:
        if time.monotonic() - began > ROOM_S:
            return float("inf")
        time.sleep(0.05)  # polls a foreign process
    return time.monotonic() - began


async def fill_up(stage: Stage, disk: SmallDisk, scale: Scale) -> Storm:
    """The last bytes go while requests are under way; then the gateway is killed."""
    storm = Storm(stage, [NAME], each=8, seed=scale.seed, leaving=0.0, max_tokens=(4, 32))
    over = False
    async with asyncio.TaskGroup() as group:
        group.create_task(storm.blow(lambda: over))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(disk.fill)
        await asyncio.sleep(scale.pick(2, 20))
        stage.gate.kill()
        over = True
    return storm


def play(stage: Stage, disk: SmallDisk, scale: Scale) -> Verdict:
    """No reserve, then room, then none again and a death."""
    refused = asyncio.run(ask(stage, TRIES))
    sent = len(read_bill(stage.provider.bill))
    disk.size(ROOMY_MIB)
    room_s = until_served(stage)
    storm = asyncio.run(fill_up(stage, disk, scale))
    # As an operator would: what is there goes to a larger disk, and starts there.
    shutil.copytree(disk.outside, stage.data, dirs_exist_ok=True, ignore=disk.ignored)
    stage.gate.inside = []
    stage.gate.start()
    books = Books(stage.data)
    books.until_indexed(storm.acknowledged)
    ends, told = books.ends(), storm.acknowledged
    lost = sum(ends.get(rid) != (SETTLE, nano) for rid, nano in told.items())
    return Verdict(
        lost == 0
        and sent == 0
        and refused["ledger_unavailable"] == TRIES
        and len(told) > TRIES
        and room_s < ROOM_S
        and books.spent() == books.counted(),
        f"{lost} of {len(told):,}, killed with a full disk; {sent} of {TRIES} "
        f"({refused['ledger_unavailable']} refused); served {room_s:.1f} s after there is room",
    )


def measure(scale: Scale) -> Verdict:
    """The gateway's data directory is the small disk."""
    guard = f'{WIDE}in_flight_max = 64\ndaily_cap_usd = "1000"'
    disks: list[SmallDisk] = []

    def inside(data: Path) -> list[str]:
        disks.append(SmallDisk(data, TIGHT_MIB))
        return disks[0].inside

    text = model("claims", "steady") + tenant(NAME, guard)
    try:
        with Stage(text, seed=scale.seed, pause_ms=20, inside=inside) as stage:
            return play(stage, disks[0], scale)
    finally:
        for disk in disks:
            disk.close()
