"""Above everything: name, status, time, money, agents by state; below everything: the keys."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from counterpoint.text import count, duration, money, one_line
from counterpoint.tui.layout import bar
from counterpoint.tui.scene import DIM, ORDER, STATUS, STYLES, Scene
from counterpoint.view import AgentView

KEYS = (
    "? keys", "q leave", "Enter open", "/ filter", "s steer", "x skip", "r retry", "X stop", "p pause",
    "w timeline", "$ cost", "Space mark", "F fork",
)  # fmt: skip
"""The most needed first: a narrow screen has room for fewer."""
ASKED = ("A answer", "D deny")
"""What comes first while a person is asked something."""
MARKED_FOOTER = "s steer  r retry  R with changes  x skip  Space mark  * all  Esc none"


def header(scene: Scene) -> list[Text]:
    """Name, status, time, money; agents by state, tokens."""
    view, width = scene.view, scene.width
    status = view.shown_status()
    sign, style = STATUS.get(status, ("✗", "bold red"))
    usage, elapsed = view.usage(), view.duration_s(scene.now)
    first = Text.assemble(
        (f" {one_line(view.name, 28)} ", "bold"), (f"{sign} {status.value.replace('_', ' ').upper()} ", style),
        (duration(elapsed), ""), ("  simulated" if view.simulated else "", DIM), (scene.replay, "bold cyan"),
    )  # fmt: skip
    if view.parent is not None:
        first.append(f"  fork of {one_line(view.parent.run_id, 20)} at {view.parent.seq}", DIM)
    phases = list(view.phases.values())
    entered = [n for n, phase in enumerate(phases, 1) if phase.entered]
    if entered and width >= 70:
        first.append(f"   phase {entered[-1]}/{len(phases)} {one_line(phases[entered[-1] - 1].title, 20)}")
    ceiling = view.bounds.get("budget_usd")
    if ceiling and usage.usd is not None:
        first.append(f"   {money(usage.usd)} of {money(ceiling)} ").append_text(bar(usage.usd / ceiling, 10))
    else:
        first.append(f"   {money(usage.usd)}")
    tokens = view.bounds.get("budget_tokens")
    if tokens:
        first.append(f"  {count(usage.output_tokens)} of {count(tokens)} tok ").append_text(
            bar(usage.output_tokens / tokens, 10)
        )
    ok, of = view.coverage()
    second = Text(f" agents {of}: {ok} ok  ")
    second.append_text(tally(scene, view.counted()))
    cached = round(100 * usage.cached_input_tokens / usage.input_tokens) if usage.input_tokens else 0
    second.append(f"  tokens {count(usage.input_tokens)} in ({cached}% cached) {count(usage.output_tokens)} out", DIM)
    if elapsed > 0 and scene.live:
        second.append(f"  {count(usage.output_tokens / elapsed)} tok/s", DIM)
    return [first, second]


def tally(scene: Scene, agents: Iterable[AgentView]) -> Text:
    """Signs with counts, in a fixed order."""
    counts: dict[str, int] = {}
    for agent in agents:
        state = scene.state(agent)
        counts[state] = counts.get(state, 0) + 1
    text = Text()
    for state in ORDER:
        if counts.get(state):
            text.append(f"{scene.signs(state)}{counts[state]} ", STYLES[state])
    return text


def footer(scene: Scene) -> Text:
    """The filter, what was said last, or the keys."""
    if scene.note:
        return Text(f" {one_line(scene.note, scene.width - 2)}", "bold yellow")
    text = Text(f" filter {one_line(scene.filter, 40)}  ", "bold cyan") if scene.filter else Text(" ")
    if scene.marked:
        return text.append(f"{len(scene.marked)} marked  ", "bold yellow").append(MARKED_FOOTER, DIM)
    for key in (*ASKED, *KEYS) if scene.view.open_gates() else KEYS:
        if len(text) + len(key) > scene.width:
            break
        text.append(f"{key}  ", DIM)
    return text
