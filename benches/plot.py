"""Decides how the results look: one SVG, readable on a light and on a dark page, no library.

Deliberately a log scale from zero knowledge of winners: bars are sorted by cost, cheapest on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from benches.rows import Bar, Results, rows
from benches.table import number

WIDTH, LEFT, RIGHT, BAR, STEP = 860, 150, 96, 22, 34
PROMISE_FROM, LIMIT_AT, PROMISE_STEP = 500, 680, 26
STYLE = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif;
         fill: #1f2328; }
  .title { font-size: 18px; font-weight: 650; }
  .sub, .tick { fill: #59636e; font-size: 12px; }
  .value { font-variant-numeric: tabular-nums; }
  .ours { font-weight: 650; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .plain { fill: #afb8c1; } .floor { fill: #57606a; } .p402 { fill: #1a7f64; }
  .range { stroke: #1f2328; stroke-width: 1.5; opacity: .55; }
  .pass { fill: #1a7f64; } .miss { fill: #cf222e; } .unknown { fill: #afb8c1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .sub, .tick { fill: #9198a1; } .grid { stroke: #30363d; }
    .plain { fill: #484f58; } .floor { fill: #8b949e; } .p402, .pass { fill: #3fb68b; }
    .range { stroke: #e6edf3; } .miss { fill: #f85149; } .unknown { fill: #484f58; }
  }
"""


@dataclass(frozen=True)
class Mark:
    """One bar."""

    name: str
    median: float
    low: float
    high: float


def render(results: Results) -> str:
    panels: list[str] = []
    top = 74
    charts = (
        ("CPU per request, µs", "closed loop, c = 8; whole process tree, user + system", "base"),
        ("CPU per stream of 20 events, µs", "closed loop, c = 8; one send per event", "burst"),
    )
    for title, subtitle, scenario in charts:
        marks = _marks(results, scenario)
        if marks:
            panels.append(_chart(top, title, subtitle, marks))
            top += 74 + STEP * len(marks)
    panels.append(_promises(top, results))
    top += 50 + PROMISE_STEP * _bars(results)
    head = results["host"]
    sub = f"{results['date']} · {head['cpu']}, {head['cores']} cores · Linux {head['kernel']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" role="img" aria-label="P402 bench results">\n'
        f"<style>{STYLE}</style>\n"
        f'<text class="title" x="16" y="32">What a request costs</text>\n'
        f'<text class="sub" x="16" y="52">{escape(sub)} · log scale · '
        f"thin lines are min – max of {results['depth']['rounds']} rounds</text>\n"
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def _marks(results: Results, scenario: str) -> list[Mark]:
    group = results["cpu"].get(scenario, {}).get("8", {})
    marks = [
        Mark(name, told["cpu_us"]["median"], told["cpu_us"]["low"], told["cpu_us"]["high"])
        for name, told in group.items()
        if name != "direct" and told["cpu_us"]["median"] > 0
    ]
    return sorted(marks, key=lambda mark: mark.median)


def _chart(top: int, title: str, subtitle: str, marks: list[Mark]) -> str:
    least = 10 ** math.floor(math.log10(min(mark.low for mark in marks)) - 0.01)
    most = max(mark.high for mark in marks) * 1.15
    span = math.log10(most / least)

    def x(value: float) -> float:
        share = math.log10(max(value, least) / least) / span
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    height = STEP * len(marks)
    parts = [
        f'<text class="ours" x="16" y="{top + 14}">{escape(title)}</text>',
        f'<text class="sub" x="{LEFT + 110}" y="{top + 14}">{escape(subtitle)}</text>',
    ]
    tick = float(least)
    while tick <= most:
        at = f"{x(tick):.1f}"
        parts.append(
            f'<line class="grid" x1="{at}" y1="{top + 24}" x2="{at}" y2="{top + 30 + height}"/>'
            f'<text class="tick" x="{at}" y="{top + 46 + height}" text-anchor="middle">'
            f"{tick:,.0f}</text>"
        )
        tick *= 10
    for i, mark in enumerate(marks):
        y = top + 34 + i * STEP
        kind = {"p402": "p402", "nginx": "floor"}.get(mark.name, "plain")
        ours = " ours" if mark.name == "p402" else ""
        middle = y + BAR / 2
        parts.append(
            f'<text class="name{ours}" x="{LEFT - 12}" y="{y + 16}" text-anchor="end">'
            f"{escape(mark.name)}</text>"
            f'<rect class="{kind}" x="{LEFT}" y="{y}" height="{BAR}" rx="3" '
            f'width="{max(x(mark.median) - LEFT, 2):.1f}"/>'
            f'<line class="range" x1="{x(mark.low):.1f}" x2="{x(mark.high):.1f}" '
            f'y1="{middle}" y2="{middle}"/>'
            f'<text class="value{ours}" x="{x(mark.high) + 8:.1f}" y="{y + 16}">'
            f"{number(mark.median)}</text>"
        )
    return "\n".join(parts)


def _bars(results: Results) -> int:
    return sum(len(row.bars) for row in rows(results))


def _promises(top: int, results: Results) -> str:
    """Each promise as a share of its limit: the line at the right is the limit."""
    parts = [
        f'<text class="ours" x="16" y="{top + 14}">Promises</text>',
        (
            f'<text class="sub" x="{LEFT + 110}" y="{top + 14}">'
            "bar = measured ÷ limit; the line is the limit</text>"
        ),
    ]
    y = top + 30
    for row in rows(results):
        parts.append(
            f'<text class="sub" x="16" y="{y + 14}">{row.number}</text>'
            f'<text x="40" y="{y + 14}">{escape(row.what)}</text>'
        )
        for bar in row.bars:
            parts.append(_promise(y, bar))
            y += PROMISE_STEP
    parts.append(
        f'<line class="range" x1="{LIMIT_AT}" x2="{LIMIT_AT}" y1="{top + 26}" y2="{y - 8}"/>'
    )
    return "\n".join(parts)


def _promise(y: int, bar: Bar) -> str:
    share = 0.0 if bar.value is None else max(bar.value, 0.0) / bar.limit
    kind = {True: "pass", False: "miss", None: "unknown"}[bar.kept]
    width = max(min(share, 1.25) * (LIMIT_AT - PROMISE_FROM), 2)
    here = "–" if bar.value is None else number(bar.value)
    return (
        f'<text class="sub" x="{PROMISE_FROM - 10}" y="{y + 14}" text-anchor="end">'
        f"{escape(bar.text)}</text>"
        f'<rect class="{kind}" x="{PROMISE_FROM}" y="{y + 2}" height="15" rx="3" '
        f'width="{width:.1f}"/>'
        f'<text class="value" x="{WIDTH - 16}" y="{y + 14}" text-anchor="end">'
        f"{here} of {number(bar.limit)} {escape(bar.unit)}</text>"
    )
