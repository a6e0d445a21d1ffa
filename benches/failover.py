"""Decides whether an outage reaches the client: one provider dead, one failing, two healthy.

Deliberately the shipped gateway and real sockets: success and attempts are read off its replies.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace

from benches import peers
from benches.contender import BASE, Kind, Launch, Scenario, Site, started
from benches.instruments import Instruments, Report, Upstream, VoidError, upstream
from benches.peers.p402 import GUARD

SUCCESS_MIN = 0.9999
ATTEMPTS_MAX = 1.2
CONNECTIONS = 16
PROVIDER = """
[provider.{name}]
dialect = "openai"
base_url = "{base_url}"
api_key = "x"
[[model]]
id = "bench"
provider = "{name}"
upstream_id = "{upstream_id}"
input_usd_per_mtok = "1.00"
output_usd_per_mtok = "4.00"
context = 200000
max_output = 32000
capability = 70
ttft_ms = 300
tokens_per_s = 90
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Count what an outage costs the client.")
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    why = peers.OURS.absent()
    if why is not None:
        print(f"p402: {why}", file=sys.stderr)
        return 1
    instruments = Instruments.build()
    kept = True
    for scenario in (BASE, Scenario("stream", model="mock", stream=True)):
        with upstream(instruments) as mock, dead_port() as port:
            try:
                kept &= outage(instruments, mock, scenario, (port, options.requests))
            except (RuntimeError, VoidError) as error:
                print(error, file=sys.stderr)
                return 1
    return 0 if kept else 1


def outage(
    instruments: Instruments, mock: Upstream, scenario: Scenario, size: tuple[int, int]
) -> bool:
    """One run of so many requests; true = both bars are kept."""
    port, requests = size
    with started(gateway(port), mock, scenario, None) as contender:
        before = mock.stats()
        target = contender.target(scenario, mock.content(scenario.model))
        report = instruments.run(
            {
                "targets": [target],
                "connections": CONNECTIONS,
                "requests": requests,
                "tolerate": True,
                "tally": "x-p402-attempts",
            }
        )
        after = mock.stats()
    return judge(report, scenario.name, requests, after["faults"] - before["faults"])


def judge(report: Report, name: str, requests: int, faults: int) -> bool:
    (target,) = report["targets"]
    told = {value: count for value, count in target["tally"].items() if value[:1].isdigit()}
    answered = sum(told.values())
    if answered < report["completed"]:
        raise VoidError(f"{report['completed']} replies, attempts told by {answered} only")
    success = float(report["completed"]) / requests
    # A reply without the header is a refusal before any attempt: it counts as one.
    attempts = sum(_number(value) * count for value, count in told.items())
    per_request = (attempts + requests - answered) / requests
    print(
        f"{name}: {report['completed']:,} of {requests:,} succeeded ({success:.4%}, "
        f"bar {SUCCESS_MIN:.2%}); {per_request:.3f} attempts per request (bar {ATTEMPTS_MAX}); "
        f"the failing provider failed {faults} times; errors to clients: {target['errors'] or 0}"
    )
    return success >= SUCCESS_MIN and per_request <= ATTEMPTS_MAX


def _number(value: str) -> int:
    """`2;acme=500` is two attempts."""
    return int(value.partition(";")[0])


def gateway(port: int) -> Kind:
    """P402 over four providers of one model at one price: health alone can tell them apart."""

    def launch(site: Site) -> Launch:
        healthy, model = site.upstream.base_url, site.scenario.model
        homes = {
            "dead": (f"http://127.0.0.1:{port}/v1", model),
            "failing": (healthy, f"{model}-500-p30"),
            "healthy-a": (healthy, model),
            "healthy-b": (healthy, model),
        }
        tables = [
            PROVIDER.format(name=name, base_url=base_url, upstream_id=upstream_id)
            for name, (base_url, upstream_id) in homes.items()
        ]
        usual = peers.OURS.launch(site)
        # In place of the bench's usual offers.
        site.write("p402.toml", "".join([GUARD, *tables]))
        return usual

    return replace(peers.OURS, launch=launch)


@contextlib.contextmanager
def dead_port() -> Iterator[int]:
    """A port that is taken and does not listen: every connection is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
