"""Decides what each layer of the ASGI front costs: the hop, JSON in Python, our whole serve.

Deliberately a ladder in one run, interleaved: only the steps between its rungs mean anything.
"""

from __future__ import annotations

import argparse
import contextlib
import sys

from benches import measure, peers
from benches.contender import BASE, direct, started
from benches.instruments import Cores, Instruments, VoidError, upstream
from benches.measure import Bench, Depth
from benches.table import number

RUNGS = (peers.FLOOR, peers.HOP, peers.HOP_JSON, peers.OURS)


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU per request, layer by layer.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="*", default=[8, 32])
    options = parser.parse_args()
    instruments, cores = Instruments.build(), Cores.split()
    with contextlib.ExitStack() as stack:
        mock = stack.enter_context(upstream(instruments, cores))
        bench = Bench(instruments, mock, cores, Depth(rounds=options.rounds))
        contenders = [direct(mock, BASE)]
        for kind in RUNGS:
            why = kind.absent()
            if why is not None:
                print(f"{kind.name}: skipped ({why})")
                continue
            contenders.append(stack.enter_context(started(kind, mock, BASE, cores)))
        head = f"{'CPU µs per request':<20}{'c':>4}{'median':>10}{'min':>9}{'max':>9}"
        print(f"{head}{'× hello':>9}{'× nginx':>9}")
        for connections in options.connections:
            try:
                series = measure.cpu(bench, contenders, BASE, connections)
            except VoidError as error:
                print(f"void: {error}", file=sys.stderr)
                return 1
            spreads = {name: measure.Spread.of(each.cpu_us) for name, each in series.items()}
            for name, spread in spreads.items():
                over = [
                    number(spread.median / spreads[base].median) if base in spreads else "–"
                    for base in ("asgi-hello", "nginx")
                ]
                print(
                    f"{name:<20}{connections:>4}{spread.median:>10.1f}{spread.low:>9.1f}"
                    f"{spread.high:>9.1f}{over[0]:>9}{over[1]:>9}"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
