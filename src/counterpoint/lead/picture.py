"""A script's phases and fan-outs as a picture: text for a terminal, SVG for everything else. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from counterpoint.lead.estimate import Range
from counterpoint.script.shape import CallShape, Shape
from counterpoint.text import one_line

NO_PHASE = "(no phase)"
WORDS = {"each": "for each", "loop": "in a loop", "until dry": "until nothing new comes"}
MOST_CALLS = 12
"""Calls of one phase that are drawn; the rest are counted."""


def figures(agents: Range | None) -> str:
    """How many agents, in a few words."""
    if agents is None:
        return ""
    low, likely, high = (f"{value:,.0f}" for value in (agents.low, agents.likely, agents.high))
    return f"{low} agents" if low == high else f"{low} to {high} agents, likely {likely}"


def text(name: str, shape: Shape, agents: Mapping[str, Range]) -> str:
    """The picture as lines."""
    lines = [one_line(name)]
    phases = drawn_phases(shape, agents)
    for n, phase in enumerate(phases):
        last = n == len(phases) - 1
        number = figures(agents.get(phase or NO_PHASE))
        lines.append(f"{'└─' if last else '├─'} {one_line(phase or NO_PHASE, 40)}{f'  ({number})' if number else ''}")
        for call in _shown(shape.of(phase)):
            lines.append(f"{'   ' if last else '│  '}  {call}")
    return "\n".join(lines)


def drawn_phases(shape: Shape, agents: Mapping[str, Range]) -> list[str | None]:
    """What is in no phase, the phases of the text, then those that only a run has shown."""
    outside: list[str | None] = [None] if None in shape.phases or agents.get(NO_PHASE) else []
    seen: list[str | None] = [phase for phase in shape.phases if phase is not None]
    return outside + seen + [title for title in agents if title not in seen and title != NO_PHASE]


def _shown(calls: Sequence[CallShape]) -> list[str]:
    lines = [_sentence(call) for call in calls[:MOST_CALLS]]
    return lines + ([f"and {len(calls) - MOST_CALLS} more calls"] if len(calls) > MOST_CALLS else [])


def _sentence(call: CallShape) -> str:
    around = ", ".join(WORDS.get(what, what) for what in call.around)
    label = f" “{one_line(call.label, 40)}”" if call.label.strip("… ") else ""
    return f"{call.kind}{label}{f' × n ({around})' if around else ''}, line {call.line}"


# --- SVG ----------------------------------------------------------------------------------------------------

WIDTH, GAP, ROW, TOP, MARGIN = 230, 46, 46, 64, 20
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1c2330}.t{font-weight:600}.s{font-size:11px;fill:#5b6472}"
    ".p{fill:#f4f6f9;stroke:#c9d0da}.c{fill:#fff;stroke:#7c8aa0}.g{stroke:#7c8aa0;fill:none}"
    "@media(prefers-color-scheme:dark){text{fill:#e6e9ef}.s{fill:#9aa5b5}.p{fill:#1c222c;stroke:#3a4454}"
    ".c{fill:#262e3a;stroke:#6b7a90}}"
)


def svg(name: str, shape: Shape, agents: Mapping[str, Range]) -> str:
    """The picture as an SVG document: a column for each phase, a card for each call, a stack where it is many."""
    phases = drawn_phases(shape, agents)
    rows = max([len(shape.of(phase)[:MOST_CALLS]) for phase in phases] or [0])
    width = 2 * MARGIN + len(phases) * (WIDTH + GAP) - GAP if phases else 300
    height = TOP + MARGIN + 52 + max(1, rows) * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{_text(name, 100)}"><style>{STYLE}</style>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#7c8aa0"/></marker></defs>',
        f'<text class="t" x="{MARGIN}" y="34">{_text(name, 100)}</text>',
    ]
    for n, phase in enumerate(phases):
        parts += _column(MARGIN + n * (WIDTH + GAP), height, phase, shape.of(phase), agents)
        if n and phases[n - 1] is not None:
            x = MARGIN + n * (WIDTH + GAP)
            parts.append(f'<path class="g" d="M{x - GAP + 4} {TOP + 22}H{x - 6}" marker-end="url(#a)"/>')
    return "\n".join([*parts, "</svg>"])


def _column(
    x: int, height: int, phase: str | None, calls: Sequence[CallShape], agents: Mapping[str, Range]
) -> list[str]:
    title = phase or NO_PHASE
    parts = [
        f'<rect class="p" x="{x}" y="{TOP}" width="{WIDTH}" height="{height - TOP - MARGIN}" rx="8"/>',
        f'<text class="t" x="{x + 12}" y="{TOP + 22}">{_text(title, 30)}</text>',
        f'<text class="s" x="{x + 12}" y="{TOP + 40}">{_text(figures(agents.get(title)), 44)}</text>',
    ]
    for n, call in enumerate(calls[:MOST_CALLS]):
        parts += _card(x + 12, TOP + 50 + n * ROW, call)
    return parts


def _card(x: int, y: int, call: CallShape) -> list[str]:
    width = WIDTH - 30
    stack = [f'<rect class="c" x="{x + d}" y="{y + d}" width="{width}" height="34" rx="5"/>' for d in (6, 3)]
    around = ", ".join(WORDS.get(what, what) for what in call.around)
    return [
        *(stack if call.many else []),
        f'<rect class="c" x="{x}" y="{y}" width="{width}" height="34" rx="5"/>',
        f'<text x="{x + 8}" y="{y + 15}">{_text(f"{call.kind} {call.label}".strip(), 28)}</text>',
        f'<text class="s" x="{x + 8}" y="{y + 28}">{_text(around or "once", 36)}</text>',
    ]


def _text(text: str, width: int) -> str:
    return escape(one_line(text, width))
