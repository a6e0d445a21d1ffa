"""Decides how results read: one table of promises, one of contenders, between two markers.

Deliberately takes every figure from results.json: nobody types a number into a README.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benches.rows import Results, ratio, rows

START, END = "<!-- bench:start -->", "<!-- bench:end -->"


def render(results: Results) -> str:
    return "\n\n".join([_provenance(results), _promises(results), _contenders(results)])


def put(path: Path, text: str) -> bool:
    """Writes between the markers; false = the file has none."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if START not in old or END not in old:
        return False
    head, _, rest = old.partition(START)
    tail = rest.partition(END)[2]
    path.write_text(f"{head}{START}\n{text}\n{END}{tail}", encoding="utf-8")
    return True


def number(value: float | None) -> str:
    """Three figures are as many as a shared host can mean."""
    if value is None:
        return "–"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _provenance(results: Results) -> str:
    host = results["host"]
    return (
        f"{results['date']} · {host['cpu']}, {host['cores']} cores · Linux {host['kernel']} · "
        f"CPython {host['python']} · `{results['command']}` · medians of "
        f"{results['depth']['rounds']} interleaved rounds; only ratios within one run count."
    )


def _promises(results: Results) -> str:
    lines = [
        "| row | what | measure | here | target | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows(results):
        for i, bar in enumerate(row.bars):
            mark = {True: "pass", False: "**miss**", None: "not measured"}[bar.kept]
            head = (str(row.number), row.what) if i == 0 else ("", "")
            here = f"{number(bar.value)} {bar.unit}" if bar.value is not None else "–"
            lines.append(
                f"| {head[0]} | {head[1]} | {bar.text} | {here} "
                f"| ≤ {number(bar.limit)} {bar.unit} | {mark} |"
            )
    return "\n".join(lines)


def _contenders(results: Results) -> str:
    base = results["cpu"].get("base", {})
    at_8, at_32 = base.get("8", {}), base.get("32", {})
    burst = results["cpu"].get("burst", {}).get("8", {})
    floor = _median(at_8, "nginx", "cpu_us")
    lines = [
        (
            "| contender | CPU µs per request, c = 8 (min – max) | × nginx | c = 32 "
            "| 20-event stream, µs | added TTFT p50, ms | most per s, one core | RSS MB |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for told in results["contenders"]:
        name = told["name"]
        if told.get("absent"):
            lines.append(f"| {name} {told['pin']} | absent: {told['absent']} | | | | | | |")
            continue
        spread = at_8.get(name, {}).get("cpu_us")
        cpu = (
            f"{number(spread['median'])} ({number(spread['low'])} – {number(spread['high'])})"
            if spread
            else "–"
        )
        note = f", {told['note']}" if told["note"] else ""
        label = f"**{name}**" if name == "p402" else name
        cells = [
            f"{label} {told['pin']}{note}",
            cpu,
            number(ratio(_median(at_8, name, "cpu_us"), floor)),
            number(_median(at_32, name, "cpu_us")),
            number(_median(burst, name, "cpu_us")),
            number(_median(results.get("ttft", {}), name, "ttft_p50_ms")),
            number(_most(base, name)),
            number(_median(at_8, name, "rss_sum_mb")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _median(group: dict[str, Any], name: str, measure: str) -> float | None:
    found = group.get(name, {}).get(measure)
    return None if found is None else float(found["median"])


def _most(base: dict[str, Any], name: str) -> float | None:
    rates = [_median(group, name, "per_s") for group in base.values()]
    return max((rate for rate in rates if rate is not None), default=None)
