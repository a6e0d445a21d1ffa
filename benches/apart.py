"""Decides what one tenant's flood costs another: its p99 beside refused requests and without them.

Deliberately open loops on both sides: whoever floods does not wait, and neither does the clock.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

from benches import peers
from benches.contender import BASE, Contender, Kind, Launch, Site, started
from benches.failover import PROVIDER
from benches.instruments import Cores, Instruments, Report, Upstream, pinned, upstream

RATES = (1_000, 2_000, 4_000, 10_000)
CLOCK_PER_S = 200
FLOOD_CONNECTIONS = 64
WARM_S = 0.5
# The flood begins before the clock's window and ends after it.
AROUND_S = 1.0
TENANT = """
[[tenant]]
id = "{name}"
key_sha256 = "{digest}"
[tenant.guard]
daily_cap_usd = "9000000"
in_flight_max = 256
rate = {rate}
"""
# What a flooding tenant may still do, and one that nothing holds up.
LIMITS = {
    "flood": "{ limit = 1, per_s = 3600 }",
    "quiet": "{ limit = 1000000, per_s = 1 }",
}


@dataclass(frozen=True)
class Beside:
    """The quiet tenant's percentiles in µs, calm and beside a flood, a pair per round."""

    asked_per_s: int
    refused_per_s: float
    gateway_cores: float
    p50: list[tuple[float, float]]
    p99: list[tuple[float, float]]

    def ratio(self, measure: str) -> float:
        """The median over the rounds of beside ÷ calm."""
        pairs = self.p50 if measure == "p50" else self.p99
        return statistics.median(beside / calm for calm, beside in pairs)


def key(name: str) -> str:
    """A tenant's API key."""
    return f"sk-apart-{name}"


def gateway() -> Kind:
    """P402 with one offer, a tenant that may ask for next to nothing and one that may ask all."""

    def launch(site: Site) -> Launch:
        usual = peers.OURS.launch(site)
        offer = PROVIDER.format(
            name="mock", base_url=site.upstream.base_url, upstream_id=site.scenario.model
        )
        tenants = [
            TENANT.format(
                name=name, digest=hashlib.sha256(key(name).encode()).hexdigest(), rate=rate
            )
            for name, rate in LIMITS.items()
        ]
        site.write("p402.toml", "".join([offer, *tenants]))
        headers = {"authorization": f"Bearer {key('quiet')}"}
        return replace(usual, headers=headers)

    return replace(peers.OURS, launch=launch)


def plan(contender: Contender, mock: Upstream, name: str, rate: float) -> dict[str, Any]:
    """An open loop of one tenant."""
    target = contender.target(BASE, mock.content(BASE.model))
    target["headers"] = {"authorization": f"Bearer {key(name)}"}
    assert contender.pid is not None
    return {"targets": [target], "rate": rate, "trees": {"contender": contender.pid}}


def round_of(
    instruments: Instruments, cores: Cores, plans: tuple[dict[str, Any], dict[str, Any]]
) -> tuple[Report, Report, Report]:
    """The clock alone, the clock beside the flood, and the flood."""
    clock, flood = plans
    calm = instruments.run(clock, cores)
    command = pinned([str(instruments.load), "-"], cores.instruments)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(flood))
        child.stdin.close()
        beside = instruments.run(clock, cores)
        flooded: Report = json.loads(child.stdout.read())
    return calm, beside, flooded


def measure(rates: tuple[int, ...] = RATES, rounds: int = 3, window_s: float = 5) -> list[Beside]:
    """One row per rate of flood; the gateway has a core of its own."""
    instruments, cores = Instruments.build(), Cores.split()
    rows = []
    with (
        upstream(instruments, cores) as mock,
        started(gateway(), mock, BASE, cores) as contender,
    ):
        clock = plan(contender, mock, "quiet", CLOCK_PER_S)
        clock |= {"connections": 256, "warmup_s": WARM_S, "window_s": window_s}
        for rate in rates:
            flood = plan(contender, mock, "flood", rate)
            flood |= {"connections": FLOOD_CONNECTIONS, "tolerate": True, "warmup_s": 0.0}
            flood["window_s"] = WARM_S + window_s + AROUND_S
            told = [round_of(instruments, cores, (clock, flood)) for _ in range(rounds)]
            rows.append(_row(rate, told))
    return rows


def _row(rate: int, told: list[tuple[Report, Report, Report]]) -> Beside:
    def pairs(at: str) -> list[tuple[float, float]]:
        each = [[one["targets"][0]["latency_us"][at] for one in turn[:2]] for turn in told]
        return [(calm, beside) for calm, beside in each]

    floods = [turn[2] for turn in told]
    refused = statistics.median(one["failed"] / one["window_s"] for one in floods)
    cores = statistics.median(one["trees"]["contender"]["cores"] for one in floods)
    return Beside(rate, refused, cores, pairs("p50"), pairs("p99"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Ask what a flood of one tenant costs another.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", type=int, nargs="+", default=RATES)
    options = parser.parse_args()
    print("flood/s  refused/s  gateway's cores  p50 calm → beside, ×   p99 calm → beside, × (µs)")
    for row in measure(tuple(options.rates), options.rounds):
        print(f"{row.asked_per_s:7,}  {row.refused_per_s:9,.0f}  {row.gateway_cores:15.2f}", end="")
        for name, pairs in (("p50", row.p50), ("p99", row.p99)):
            calm, beside = (statistics.median(each) for each in zip(*pairs, strict=True))
            print(f"  {calm:8,.0f} → {beside:8,.0f}, × {row.ratio(name):.2f}", end="")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
