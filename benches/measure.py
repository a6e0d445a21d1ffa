"""Decides how one figure is taken: interleaved rounds, one window each, medians with their spread.

Deliberately drops a window in which other processes burned CPU, and says how many it dropped.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benches.contender import Contender, Scenario
from benches.instruments import Cores, Instruments, Report, Upstream, VoidError

OTHERS_CORES_MAX = 0.1
TRIES = 3


@dataclass(frozen=True)
class Depth:
    """How long and how often: the real run, or the quick one that only proves truthfulness."""

    rounds: int = 3
    warmup_s: float = 3.0
    window_s: float = 4.0
    requests_min: int = 20_000
    window_max_s: float = 20.0

    @classmethod
    def quick(cls) -> Depth:
        return cls(rounds=1, warmup_s=0.2, window_s=0.6, requests_min=0, window_max_s=0.6)


@dataclass(frozen=True)
class Bench:
    """All that a measurement needs and that stays the same."""

    instruments: Instruments
    upstream: Upstream
    cores: Cores
    depth: Depth


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass
class Series:
    """One contender's windows of one kind."""

    cpu_us: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    rss_largest_mb: list[float] = field(default_factory=list)
    rss_sum_mb: list[float] = field(default_factory=list)
    noisy: int = 0

    def summary(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            name: asdict(Spread.of(values))
            for name, values in vars(self).items()
            if isinstance(values, list) and values
        }
        return told | {"rounds": len(self.cpu_us), "noisy": self.noisy}


def cpu(
    bench: Bench, contenders: Sequence[Contender], scenario: Scenario, connections: int
) -> dict[str, Series]:
    """CPU per request of each contender, A B C A B C; closed loop."""
    series = {contender.name: Series() for contender in contenders}
    content = bench.upstream.content(scenario.model)
    for turn in range(bench.depth.rounds):
        for contender in contenders:
            plan = {
                **_window(bench, warm=turn == 0),
                "targets": [contender.target(scenario, content)],
                "connections": connections,
                "requests_min": bench.depth.requests_min if not scenario.stream else 0,
                "trees": _trees(bench, contender),
            }
            report, is_noisy = _quiet(bench, plan)
            _carried(contender, report)
            _into(series[contender.name], report, is_noisy)
    return series


def added(
    bench: Bench, pair: tuple[Contender, Contender], scenario: Scenario, rate: float
) -> dict[str, Any]:
    """Open loop at one rate through both, in the same window; the difference of percentiles."""
    through, straight = pair
    content = bench.upstream.content(scenario.model)
    differences: dict[str, list[float]] = {}
    noisy = 0
    for turn in range(bench.depth.rounds):
        plan = {
            **_window(bench, warm=turn == 0),
            "targets": [contender.target(scenario, content) for contender in pair],
            "connections": 1_024,
            "rate": rate,
            "trees": _trees(bench, through),
        }
        report, is_noisy = _quiet(bench, plan)
        noisy += is_noisy
        ours, theirs = report["targets"]
        measures = ["latency_us", *(["ttft_us", "gap_us"] if scenario.stream else [])]
        for measure in measures:
            for at in ("p50", "p99"):
                difference = (ours[measure][at] - theirs[measure][at]) / 1_000
                differences.setdefault(f"{measure[:-3]}_{at}_ms", []).append(difference)
    told: dict[str, Any] = {name: asdict(Spread.of(each)) for name, each in differences.items()}
    return told | {"rate": rate, "against": straight.name, "noisy": noisy}


def idle_rss_mb(pid: int, settle_s: float) -> dict[str, float]:
    """Resident memory of a tree that has answered once and then rested."""
    time.sleep(settle_s)
    each = [_rss_mb(p) for p in _tree(pid)]
    return {"largest_mb": max(each), "sum_mb": sum(each), "processes": float(len(each))}


def retried(work: Callable[[], Report]) -> Report:
    """A void window is taken once more; twice void is a finding and not noise."""
    try:
        return work()
    except VoidError as first:
        print(f"    void, once more: {first}", flush=True)
        return work()


def _window(bench: Bench, *, warm: bool) -> dict[str, Any]:
    depth = bench.depth
    return {
        "warmup_s": depth.warmup_s if warm else min(depth.warmup_s, 1.0),
        "window_s": depth.window_s,
        "window_max_s": depth.window_max_s,
    }


def _trees(bench: Bench, contender: Contender) -> dict[str, int]:
    trees = {"mock": bench.upstream.pid}
    if contender.pid is not None and contender.pid != bench.upstream.pid:
        trees["contender"] = contender.pid
    return trees


def _quiet(bench: Bench, plan: dict[str, Any]) -> tuple[Report, bool]:
    """A window on a quiet machine, or the last of a few with the mark that it was not."""
    for _ in range(TRIES if bench.depth.rounds > 1 else 1):
        report = retried(lambda: bench.instruments.run(plan, bench.cores))
        if report["others_cores"] <= OTHERS_CORES_MAX:
            return report, False
        print(f"    noisy: others used {report['others_cores']:.2f} cores", flush=True)
    return report, True


def _carried(contender: Contender, report: Report) -> None:
    missing = set(contender.carries) - set(report["probe"][contender.name]["keys"])
    if missing:
        raise VoidError(f"{contender.name}: replies lack {', '.join(sorted(missing))}")


def _into(series: Series, report: Report, is_noisy: bool) -> None:
    tree = report["trees"].get("contender", report["trees"]["mock"])
    latency = report["targets"][0]["latency_us"]
    series.cpu_us.append(tree["cpu_us_per_request"])
    series.per_s.append(report["completed"] / report["window_s"])
    series.p50_ms.append(latency["p50"] / 1_000)
    series.p99_ms.append(latency["p99"] / 1_000)
    series.rss_largest_mb.append(tree["rss_largest_mb"])
    series.rss_sum_mb.append(tree["rss_sum_mb"])
    series.noisy += is_noisy


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text(encoding="utf-8")
            except OSError:
                continue  # it ended between the listing and the reading
            parent = int(text.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, open_ = [root], [root]
    while open_:
        more = children.get(open_.pop(), [])
        found += more
        open_ += more
    return found


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1_024
    return 0.0
