"""Decides the order of a bench run: build, start, probe, measure, write, one table (make bench).

Deliberately fails on untruth only (a wrong answer, a void row), never on a slow figure.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benches import cached, measure, peers, plot, table
from benches.contender import BASE, BURST, LONG, PACED, Contender, Kind, Scenario, direct, started
from benches.instruments import ROOT, Cores, Instruments, VoidError, target_dir, upstream
from benches.measure import Bench, Depth
from benches.rows import Results

HERE = ROOT / "benches"
# 20 ms to the first token and 15 gaps of 10 ms: so many streams a second are 50 at a time.
PACED_PER_S = 50 / 0.170
RATES = (500.0, 1_000.0, 2_000.0)
STARTS = 5


def main() -> int:
    options = _options()
    depth = Depth.quick() if options.quick else Depth(rounds=options.rounds)
    kinds = [peers.FLOOR, peers.HOP, peers.HOP_JSON, peers.OURS]
    if not options.quick:
        kinds += peers.INSTALLABLE
    kinds = [kind for kind in kinds if not options.only or kind.name in options.only]
    instruments = Instruments.build()
    cores = Cores.split()
    results: Results = {**_provenance(depth), "contenders": [], "cpu": {}}
    present = _present(kinds, results)
    with upstream(instruments, cores) as mock:
        bench = Bench(instruments, mock, cores, depth)
        try:
            _base(bench, present, results)
            _scenario(bench, [k for k in present if _streams(k)], BURST, results)
            _scenario(bench, [k for k in present if _proxies(k)], LONG, results)
            _paced(bench, present, results)
            _cache(bench, present, results)
            _starts(bench, present, results)
        except VoidError as error:
            print(f"void: {error}", file=sys.stderr)
            return 1
    if not options.quick:
        _kernels(results, options.kernels)
    _write(results, options.out, publish=options.publish)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure P402 beside its floor and its peers.")
    parser.add_argument("--quick", action="store_true", help="truthfulness only, under 90 s")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--only", nargs="*", default=[], help="names of contenders")
    parser.add_argument("--kernels", nargs="*", default=[], help="names of kernels (default all)")
    parser.add_argument("--out", type=Path, help="folder for results.json and results.svg")
    parser.add_argument(
        "--publish", action="store_true", help="also write the tables into the two README files"
    )
    return parser.parse_args()


def _present(kinds: list[Kind], results: Results) -> list[Kind]:
    present = []
    for kind in kinds:
        why = kind.absent()
        told = {"name": kind.name, "pin": kind.pin, "note": kind.note, "absent": why}
        results["contenders"].append(told)
        if why is None:
            present.append(kind)
        else:
            print(f"{kind.name}: skipped ({why})")
    return present


def _streams(kind: Kind) -> bool:
    """The bare hop streams, too: by itself, without an upstream."""
    return kind.name != peers.HOP_JSON.name


def _proxies(kind: Kind) -> bool:
    """The bare hops answer by themselves: they forward nothing."""
    return kind.name not in {peers.HOP.name, peers.HOP_JSON.name}


def _base(bench: Bench, kinds: list[Kind], results: Results) -> None:
    with contextlib.ExitStack() as stack:
        contenders = [direct(bench.upstream, BASE), *_start(stack, bench, kinds, BASE)]
        _idle(bench, contenders, results)
        for connections in (8,) if bench.depth.rounds == 1 else (8, 32, 128):
            _cpu(bench, contenders, BASE, connections, results)
        ours = _ours(contenders)
        if ours is not None:
            _latency(bench, ours, contenders[0], results)


def _scenario(bench: Bench, kinds: list[Kind], scenario: Scenario, results: Results) -> None:
    with contextlib.ExitStack() as stack:
        contenders = _start(stack, bench, kinds, scenario)
        _cpu(bench, [direct(bench.upstream, scenario), *contenders], scenario, 8, results)


def _paced(bench: Bench, kinds: list[Kind], results: Results) -> None:
    """Ours beside the floor and the bare hop, which no Python front can be faster than."""
    results["ttft"] = {}
    for kind in kinds:
        if kind.name not in {peers.FLOOR.name, peers.HOP.name, peers.OURS.name}:
            continue
        with started(kind, bench.upstream, PACED, bench.cores) as contender:
            print(f"time to first token, 50 streams at a time: {kind.name}", flush=True)
            pair = (contender, direct(bench.upstream, PACED))
            results["ttft"][kind.name] = measure.added(bench, pair, PACED, PACED_PER_S)


def _cache(bench: Bench, kinds: list[Kind], results: Results) -> None:
    """What a hit costs beside a miss; a void rung is a row that was not measured."""
    if peers.OURS in kinds and bench.depth.rounds > 1:
        with started(peers.OURS, bench.upstream, BASE, bench.cores) as contender:
            print("the cache's ladder: p50, p99, the gateway's own p50 and p99, ms", flush=True)
            results["cache"] = cached.ladder(contender)


def _latency(bench: Bench, ours: Contender, straight: Contender, results: Results) -> None:
    busiest = results["cpu"]["base"]["8"]["p402"]["per_s"]["median"]
    half = busiest / 2
    rates = {"half": half}
    if bench.depth.rounds > 1:
        rates |= {str(int(rate)): rate for rate in RATES if rate < 0.8 * busiest}
    results["latency"] = {}
    for name, rate in rates.items():
        print(f"added latency at {rate:,.0f} per s ({name})")
        results["latency"][name] = measure.added(bench, (ours, straight), BASE, rate)


def _cpu(
    bench: Bench,
    contenders: list[Contender],
    scenario: Scenario,
    connections: int,
    results: Results,
) -> None:
    print(f"CPU per request: {scenario.name}, c = {connections}")
    series = measure.cpu(bench, contenders, scenario, connections)
    told = {name: each.summary() for name, each in series.items()}
    results["cpu"].setdefault(scenario.name, {})[str(connections)] = told
    for name, each in told.items():
        print(f"  {name:<12} {each['cpu_us']['median']:>10.1f} µs", flush=True)


def _idle(bench: Bench, contenders: list[Contender], results: Results) -> None:
    results["rss"] = {}
    for contender in contenders:
        if contender.pid is not None:
            idle = measure.idle_rss_mb(contender.pid, min(bench.depth.warmup_s, 2.0))
            results["rss"][contender.name] = {"idle_mb": idle["largest_mb"], **idle}


def _starts(bench: Bench, kinds: list[Kind], results: Results) -> None:
    """From exec to the first good reply, each time a fresh process."""
    results["start"] = {}
    for kind in (kind for kind in kinds if _proxies(kind)):
        times = []
        for _ in range(1 if bench.depth.rounds == 1 else STARTS):
            with started(kind, bench.upstream, BASE, bench.cores) as contender:
                times.append(contender.ready_s)
        results["start"][kind.name] = asdict(measure.Spread.of(times))
        print(f"start to first reply: {kind.name:<12} {statistics.median(times):6.2f} s")


def _kernels(results: Results, names: list[str]) -> None:
    """The criterion benches, by their own command: medians, and what they tell besides; in µs."""
    chosen = [word for name in names for word in ("--bench", name)]
    command = ["cargo", "bench", "--quiet", "--package", "p402-benches", *chosen]
    results["kernels"] = {}
    with tempfile.TemporaryDirectory(prefix="bench-kernels-") as folder:
        told = Path(folder, "figures")
        told.touch()
        environment = {**os.environ, "P402_FIGURES": str(told)}
        subprocess.run(command, cwd=ROOT, check=True, env=environment)
        for line in told.read_text(encoding="utf-8").splitlines():
            figure = json.loads(line)
            results["kernels"][figure["name"]] = figure["us"]
    home = target_dir() / "criterion"
    for estimates in sorted(home.glob("*/*/new/estimates.json")):
        name = f"{estimates.parents[2].name}/{estimates.parents[1].name}"
        told = json.loads(estimates.read_text(encoding="utf-8"))
        results["kernels"][name] = told["median"]["point_estimate"] / 1_000


def _start(
    stack: contextlib.ExitStack, bench: Bench, kinds: list[Kind], scenario: Scenario
) -> list[Contender]:
    running = []
    for kind in kinds:
        contender = stack.enter_context(started(kind, bench.upstream, scenario, bench.cores))
        print(f"{kind.name} {kind.pin}: ready after {contender.ready_s:.2f} s", flush=True)
        running.append(contender)
    return running


def _ours(contenders: list[Contender]) -> Contender | None:
    return next((each for each in contenders if each.name == "p402"), None)


def _provenance(depth: Depth) -> dict[str, Any]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    arguments = " ".join(sys.argv[1:])
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "command": f"python -m benches.run {arguments}".strip(),
        "host": {
            "cpu": model,
            "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release().split("-")[0],
            "python": platform.python_version(),
        },
        "depth": asdict(depth),
    }


def _write(results: Results, out: Path | None, *, publish: bool) -> None:
    folder = out or (HERE if publish else HERE / ".last")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "results.svg").write_text(plot.render(results), encoding="utf-8")
    rendered = table.render(results)
    if publish:
        for readme in (ROOT / "README.md", HERE / "README.md"):
            if not table.put(readme, rendered):
                print(f"{readme.name}: no markers, table not written")
    print(f"\n{rendered}\n\nwritten: {folder / 'results.json'}, results.svg")


if __name__ == "__main__":
    sys.exit(main())
