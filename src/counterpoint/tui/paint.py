"""A run as lines of text: pure functions from the folds to what stands on the screen. Every text of others goes through
`safe`, and into `Text` objects, never into markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.style import Style
from rich.text import Text

from counterpoint import attention
from counterpoint.attention import Need, state_of
from counterpoint.client import Summary
from counterpoint.events import RunStatus
from counterpoint.text import count, duration, money, one_line, safe
from counterpoint.timeline import Lane, Timeline
from counterpoint.view import AgentView, RunView

STYLES = {
    "ok": "green", "reused": "cyan", "model": "bright_blue", "tool": "magenta", "limited": "yellow",
    "human": "bold yellow", "queued": "bright_black", "skipped": "bright_black", "cancelled": "bright_black",
    "failed": "bold red", "invalid": "bold red", "timed_out": "bold red", "stalled": "bold red",
}  # fmt: skip
ORDER = (
    "ok", "reused", "model", "tool", "limited", "queued", "skipped", "cancelled",
    "stalled", "timed_out", "invalid", "failed",
)  # fmt: skip
STATUS = {
    RunStatus.RUNNING: ("▶", "bold bright_blue"),
    RunStatus.WAITING: ("!", "bold yellow"),
    RunStatus.PAUSED: ("‖", "bold yellow"),
    RunStatus.COMPLETED: ("✓", "bold green"),
    RunStatus.PARTIAL: ("◐", "bold yellow"),
}
NEEDS = {
    "gate": "!",
    "script": "✗",
    "still": "z",
    "failed": "✗",
    "conflict": "±",
    "held": "◔",
    "budget": "$",
    "slow": "»",
}
DIM = "bright_black"
CHOSEN = Style(reverse=True)


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs of states; `plain` has only ASCII, for terminals that can no more."""

    plain: bool = False

    def __call__(self, state: str) -> str:
        return (attention.ASCII_SIGNS if self.plain else attention.SIGNS)[state]

    def ascii(self, text: str) -> str:
        return text.translate(_PLAIN) if self.plain else text


_PLAIN = str.maketrans(
    dict(zip("─│┬█▓░·…✓✗▶‖◐◔»⚙↳×↺⊘−±", "-|+##.:~+X>=%w>*>x=s-~", strict=True))  # signs that frames and bars are made of
)


@dataclass(slots=True)
class Scene:
    """What a person looks at: the folds, and what they have chosen."""

    view: RunView
    timeline: Timeline
    now: float
    live: bool
    width: int
    height: int
    signs: Signs = field(default_factory=Signs)
    chosen: str | None = None
    """The agent under the cursor."""
    match: Callable[[AgentView], bool] = lambda agent: True
    filter: str = ""
    note: str = ""
    """What was said last to the person, in the last line but one."""
    source: Sequence[str] = ()
    """Lines of the script."""
    pane: str = "overview"
    """Which one is shown where only one fits."""
    bottom: str = "log"
    """What stands beside the agent: log or script."""
    replay: str = ""
    offset: int = 0
    _groups: list[tuple[str, list[AgentView]]] = field(default_factory=list[tuple[str, list[AgentView]]], init=False)
    _states: dict[str, str] = field(default_factory=dict[str, str], init=False)

    def groups(self) -> list[tuple[str, list[AgentView]]]:
        """The agents that count, by phase; a phase may have none yet."""
        if not self._groups:
            found: dict[str, list[AgentView]] = {title: [] for title in self.view.phases}
            for agent in self.view.counted():
                found.setdefault(agent.phase or "(no phase)", []).append(agent)
            self._groups = list(found.items())
        return self._groups

    def state(self, agent: AgentView) -> str:
        """The state that the agent's sign stands for."""
        state = self._states.get(agent.id)
        if state is None:
            state = self._states[agent.id] = state_of(agent, self.timeline.doing(agent.id))
        return state


PANES = ("overview", "matrix", "agent", "log", "script")
FOOTER = (
    "? keys  / filter  Enter open  s steer  r retry  x skip  X stop  p pause  A answer  w timeline  $ cost  q leave"
)


def agents_in_order(scene: Scene) -> list[AgentView]:
    """The agents as the matrix has them: by phase, those that the filter keeps."""
    return [agent for _, agents in scene.groups() for agent in agents if scene.match(agent)]


def grid(scene: Scene, width: int) -> list[tuple[str, list[AgentView]]]:
    """The rows of the matrix: a phase's title, or "" where it goes on, and the agents of the row."""
    room = max(8, width - 13)
    return [
        (title if start == 0 else "", agents[start : start + room])
        for title, agents in scene.groups()
        for start in range(0, len(agents), room)
    ]


def run_screen(scene: Scene) -> list[Text]:
    """The whole screen, exactly `height` lines."""
    lines = header(scene)
    body = max(1, scene.height - len(lines) - 1)
    lines += _wide(scene, body) if scene.width >= 100 else _narrow(scene, body)
    lines = [*lines[: scene.height - 1], footer(scene)]
    return fit(lines, scene)


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


def bar(part: float, width: int) -> Text:
    full = round(max(0.0, min(1.0, part)) * width)
    return Text.assemble(
        ("█" * full, "red" if part >= attention.NEARLY else "bright_blue"), ("░" * (width - full), DIM)
    )


def stacked(counts: dict[str, int], width: int) -> Text:
    """A bar of states: green what is well, red what is not, blue at work, grey to come."""
    groups = (
        ("green", ("ok", "reused")), ("red", ("failed", "invalid", "timed_out", "stalled")), ("yellow", ("limited",)),
        ("bright_blue", ("model", "tool")), (DIM, ("queued", "skipped", "cancelled")),
    )  # fmt: skip
    total = sum(counts.values())
    text = Text()
    left = width
    for style, states in groups:
        n = sum(counts.get(state, 0) for state in states)
        cells = min(left, max(1, round(n * width / total))) if n and total else 0
        text.append(("░" if style == DIM else "█") * cells, style)
        left -= cells
    return text.append(" " * left)


def phases(scene: Scene, width: int, height: int) -> list[Text]:
    """A line a phase: bar, counts, what it took."""
    lines: list[Text] = []
    for n, (title, agents) in enumerate(scene.groups(), 1):
        counts: dict[str, int] = {}
        for agent in agents:
            state = scene.state(agent)
            counts[state] = counts.get(state, 0) + 1
        good = sum(agent.good for agent in agents)
        line = Text(f" {n} {cell(title, 14)} ")
        line.append_text(stacked(counts, max(4, min(24, width - 58)))) if width >= 66 else None
        line.append(f" {f'{good}/{len(agents)}' if agents else '·':>8}")
        began = [agent.started_at for agent in agents if agent.started_at is not None]
        if began:
            ended = max(agent.finished_at or agent.last_at for agent in agents)
            tokens = sum(agent.usage.output_tokens for agent in agents)
            line.append(f" {duration(ended - min(began)):>7} {count(tokens):>6} tok", DIM)
        working = counts.get("model", 0) + counts.get("tool", 0) + counts.get("limited", 0)
        bad = sum(agent.outcome is not None and not agent.good for agent in agents)
        line.append(f" {working} at work" if working else "", "bright_blue").append(
            f" {bad} not ok" if bad else "", "red"
        )
        lines.append(line)
    return _clip(lines, height, "phases") or [Text(" no phases yet", DIM)]


def needs(scene: Scene, width: int, height: int) -> list[Text]:
    """What needs a person, most urgent first."""
    found = attention.needs(scene.view, scene.now)
    if not found:
        return [Text(" ✓ nothing needs you", "green")]
    return _clip([_need(need, scene, width) for need in found], height, "troubles")


def _need(need: Need, scene: Scene, width: int) -> Text:
    style = "bold yellow" if need.kind in ("gate", "conflict", "held", "budget", "slow") else "bold red"
    line = attention.line(need, scene.now, width - 4)
    return Text.assemble((f" {NEEDS[need.kind]} ", style), (line, "bold" if need.kind == "gate" else ""))


def matrix(scene: Scene, width: int, height: int) -> list[Text]:
    """One cell an agent, by phase; the cursor stands on one."""
    lines: list[Text] = []
    at = 0
    for title, agents in grid(scene, width):
        line = Text(f" {cell(title, 11)} ", DIM)
        for agent in agents:
            state = scene.state(agent)
            kept = scene.match(agent) and agent.called
            if agent.id == scene.chosen:
                at = len(lines)
            look = _cell_style(STYLES[state] if kept else "dim", agent.id, agent.id == scene.chosen)
            line.append(scene.signs(state), look)
        lines.append(line)
    if len(lines) > height:
        first = max(0, min(at - height // 2, len(lines) - height))
        lines = lines[first : first + height]
    return lines or [Text(" no agents yet", DIM)]


@lru_cache(maxsize=16_384)
def _cell_style(style: str, agent: str, chosen: bool) -> Style:
    """How a cell looks, and whose it is (for a click); there are few, and each is wanted ten times a second."""
    return Style.parse(style) + Style(meta={"agent": agent}) + (CHOSEN if chosen else Style())


def agent_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """The agent under the cursor, in a few lines; Enter shows all of it."""
    agent = scene.view.agents.get(scene.chosen or "")
    if agent is None:
        return [Text(" arrows choose an agent, Enter opens it", DIM)]
    state = scene.state(agent)
    since = agent.seconds if agent.state == "finished" else scene.now - (agent.started_at or scene.now)
    name = one_line(agent.label or agent.id, width - 4)
    facts = [
        agent.id, state.replace("_", " "), one_line(agent.answered_by or agent.model, 30), duration(since),
        f"{agent.turns} turns", f"{agent.tools} tools", f"{count(agent.usage.output_tokens)} tok",
        money(agent.usage.usd),
    ]  # fmt: skip
    lines = [
        Text.assemble((f" {scene.signs(state)} ", STYLES[state]), (name, "bold")),
        Text(f"   {'  '.join(facts)}", DIM),
    ]
    if agent.doing and agent.state == "running":
        lines.append(Text(f"   {one_line(agent.doing, width - 4)}", "magenta"))
    if agent.fault is not None:
        lines += [
            Text(f"   {part}", "red") for part in wrapped(f"{agent.fault.name}: {agent.fault.message}", width - 4)[:4]
        ]
    lane = scene.timeline.lanes.get(agent.id)
    if lane is not None:
        lines += [Text(f"   {line}") for line in _recent(lane, scene, max(0, height - len(lines)))]
    return lines[:height]


def _recent(lane: Lane, scene: Scene, height: int) -> list[str]:
    """What the agent did last, newest first."""
    begin = scene.timeline.begin or 0.0
    bars = lane.shown(scene.now)[::-1][: max(0, height)]
    return [
        f"+{duration(bar.start - begin):>6}  {scene.signs(bar.kind)} {bar.kind:8} {duration(bar.end - bar.start):>7}"
        f"  {one_line(bar.label, 60)}"
        for bar in bars
    ]


def log_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """The end of the narration."""
    styles = {"warning": "yellow", "error": "red"}
    lines: list[Text] = []
    for line in scene.view.log[-(height + scene.offset) :]:
        lines += [Text(f" {part}", styles.get(line.level, "")) for part in wrapped(line.text[:4000], width - 2)[:20]]
    end = len(lines) - scene.offset
    return lines[max(0, end - height) : max(0, end)] or [Text(" the script has written nothing", DIM)]


def script_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """The script, around the lines that are at work."""
    facts: dict[int, list[AgentView]] = {}
    for agent in scene.view.agents.values():
        if agent.line is not None and agent.workflow is None:
            facts.setdefault(agent.line, []).append(agent)
    working = [line for line, agents in facts.items() if any(agent.state == "running" for agent in agents)]
    middle = min(working, default=min(facts, default=1))
    first = max(0, min(middle - height // 3 + scene.offset, len(scene.source) - height))
    lines: list[Text] = []
    for n, source in enumerate(scene.source[first : first + height], first + 1):
        at_work = n in working
        note = _script_note(facts.get(n, []), scene)
        text = one_line(source.replace("\t", "  ").rstrip(), 400) if not source[:1].isspace() else _indented(source)
        line = Text(f"{'▶' if at_work else ' '}{n:>4} ", "bold bright_blue" if at_work else DIM)
        line.append(set_cell_size(text, max(4, width - 7 - (len(note) + 1 if note else 0))), "bold" if at_work else "")
        lines.append(line.append(f" {note}" if note else "", "bright_blue"))
    return lines or [Text(" …", DIM)]


def _indented(source: str) -> str:
    body = source.expandtabs(2)
    return " " * (len(body) - len(body.lstrip())) + one_line(body.strip(), 400)


def _script_note(agents: list[AgentView], scene: Scene) -> str:
    if not agents:
        return ""
    counts = {"▶": 0, "·": 0, "✓": 0, "✗": 0}
    for agent in agents:
        running = {"running": "▶", "queued": "·"}.get(agent.state)
        counts[running or ("✓" if agent.good else "✗")] += 1
    return scene.signs.ascii(" ".join(f"{sign}{n}" for sign, n in counts.items() if n))


def cost_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """What the money is made of: phases, models, the dearest agents."""
    agents = list(scene.view.agents.values())
    lines = [Text(f" {'':30} {'agents':>7} {'requests':>8} {'in':>7} {'cached':>7} {'out':>7}  cost", DIM)]
    lines += [Text(" by phase", "bold"), *_cost_rows(agents, lambda agent: agent.phase or "(no phase)")]
    lines += [Text(" by model", "bold"), *_cost_rows(agents, lambda agent: agent.answered_by or agent.model)]
    lines.append(Text(" by agent", "bold"))
    dearest = sorted(agents, key=lambda a: (-(a.usage.usd or 0.0), -a.usage.output_tokens))[
        : max(3, height - len(lines))
    ]
    return [*lines, *(row for agent in dearest for row in _cost_rows([agent], lambda a: a.label or a.id))][:height]


def _cost_rows(agents: list[AgentView], key: Callable[[AgentView], str]) -> list[Text]:
    groups: dict[str, list[AgentView]] = {}
    for agent in agents:
        groups.setdefault(key(agent), []).append(agent)
    rows: list[Text] = []
    for name, members in groups.items():
        usage = members[0].usage
        for agent in members[1:]:
            usage = usage + agent.usage
        rows.append(
            Text(f"   {cell(name, 28)} {len(members):>7} {usage.requests:>8} {count(usage.input_tokens):>7}"
                 f" {count(usage.cached_input_tokens):>7} {count(usage.output_tokens):>7}  {money(usage.usd)}")
        )  # fmt: skip
    return rows


VOTES = {
    "refuted": ("✗", "bold red"), "stands": ("✓", "green"), "dead": ("·", DIM), "open": ("▶", "bright_blue"),
    "unknown": ("?", "yellow"),
}  # fmt: skip


def verdict_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """Claims and those who attacked them, the disputed ones first."""
    found = sorted(attention.claims(scene.view), key=lambda claim: not claim.disputed)
    lines: list[Text] = []
    for claim in found:
        line = Text(" ± " if claim.disputed else "   ", "bold yellow")
        for vote in claim.votes.values():
            sign, style = VOTES[vote]
            line.append(sign, style)
        lines.append(line.append(f"  {one_line(claim.text, max(10, width - 16))}"))
    lines = lines[max(0, scene.offset) :]
    return _clip(lines, height, "claims") or [Text(" no claim has been attacked", DIM)]


def timeline_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """Lanes of the agents, the whole run across the screen."""
    begin, end = scene.timeline.begin or 0.0, max(scene.now, scene.timeline.end)
    room = max(10, width - 24)
    step = max(1e-9, (end - begin) / room)
    agents = agents_in_order(scene)
    at = next((n for n, agent in enumerate(agents) if agent.id == scene.chosen), 0)
    first = max(0, min(at - height // 2, len(agents) - height + 1))
    lines = [Text(f"{'':22}+0s{'':{max(0, room - 12)}}+{duration(end - begin):>7}", DIM)]
    for agent in agents[first : first + height - 1]:
        state = scene.state(agent)
        line = Text(f" {scene.signs(state)} ", STYLES[state])
        line.append(cell(agent.label or agent.id, 18) + " ", CHOSEN if agent.id == scene.chosen else "")
        line.append_text(_lane(scene.timeline.lanes.get(agent.id), scene, begin, step, room))
        lines.append(line)
    return lines


def _lane(lane: Lane | None, scene: Scene, begin: float, step: float, room: int) -> Text:
    cells = [" "] * room
    styles = [""] * room
    signs = {"queued": "·", "limited": "░", "model": "█", "tool": "▓"}
    for each in lane.shown(scene.now) if lane else ():
        start, stop = int((each.start - begin) / step), int((each.end - begin) / step)
        for n in range(max(0, start), min(room, max(stop, start + 1))):
            cells[n], styles[n] = signs[each.kind], STYLES[each.kind]
    text = Text()
    for cell, style in zip(cells, styles, strict=True):
        text.append(cell, style)
    return text


def footer(scene: Scene) -> Text:
    """The filter, what was said last, or the keys."""
    if scene.note:
        return Text(f" {one_line(scene.note, scene.width - 2)}", "bold yellow")
    text = Text(f" filter {one_line(scene.filter, 40)}  ", "bold cyan") if scene.filter else Text(" ")
    return text.append(FOOTER, DIM)


def rule(title: str, width: int, second: str = "", at: int = 0) -> Text:
    line = f"─ {title} "
    if second:
        line = set_cell_size(line + "─" * at, at) + f"┬─ {second} "
    return Text(line + "─" * max(0, width - cell_len(line)), DIM)


def beside(left: Sequence[Text], right: Sequence[Text], at: int, height: int) -> list[Text]:
    """Two columns with a line between them."""
    rows: list[Text] = []
    for n in range(height):
        line = left[n].copy() if n < len(left) else Text()
        line.truncate(at, pad=True)
        line.append("│", DIM)
        if n < len(right):
            line.append_text(right[n])
        rows.append(line)
    return rows


def wrapped(text: str, width: int) -> list[str]:
    """A text on lines of at most `width` cells."""
    return [part for line in safe(text).split("\n") for part in chop_cells(line.expandtabs(4), max(4, width)) or [""]]


def _wide(scene: Scene, height: int) -> list[Text]:
    width = scene.width
    at = max(60, width * 6 // 10)
    top = max(2, min(max(len(scene.view.phases), 4), height // 3, 9))
    cells = len(grid(scene, width))
    middle = max(1, min(cells or 1, (height - top) // 2))
    rest = height - top - middle - 3
    lines = [rule("Phases", width, "Needs attention", at)]
    lines += beside(phases(scene, at, top), needs(scene, width - at - 1, top), at, top)
    lines.append(rule("Agents (arrows move, Enter opens)", width))
    lines += padded(matrix(scene, width, middle), middle)
    lines.append(rule("Agent", width, "Script" if scene.bottom == "script" else "Log", at))
    side = script_lines if scene.bottom == "script" else log_lines
    return lines + beside(agent_lines(scene, at, rest), side(scene, width - at - 1, rest), at, max(0, rest))


def _narrow(scene: Scene, height: int) -> list[Text]:
    """One pane at a time; Tab goes to the next."""
    tabs = Text(" ")
    for name in PANES:
        tabs.append(f" {name} ", CHOSEN if name == scene.pane else DIM)
    room, width = height - 1, scene.width
    match scene.pane:
        case "matrix":
            body = matrix(scene, width, room)
        case "agent":
            body = agent_lines(scene, width, room)
        case "log":
            body = log_lines(scene, width, room)
        case "script":
            body = script_lines(scene, width, room)
        case _:
            above = max(3, room // 2)
            body = [
                *phases(scene, width, above),
                rule("Needs attention", width),
                *needs(scene, width, room - above - 1),
            ]
    return [tabs, *padded(body, room)]


def padded(lines: list[Text], height: int) -> list[Text]:
    """Exactly so many lines."""
    return [*lines[:height], *(Text() for _ in range(height - len(lines)))]


def cell(text: str, width: int) -> str:
    """A text that takes exactly so many cells."""
    line = one_line(text, width) if cell_len(text) <= width else one_line(text, width * 2)
    return set_cell_size(line if cell_len(line) <= width else set_cell_size(line, width - 1) + "…", width)


def _clip(lines: list[Text], height: int, what: str) -> list[Text]:
    if len(lines) <= height:
        return lines
    return [*lines[: height - 1], Text(f"   and {len(lines) - height + 1} more {what}", DIM)]


def fit(lines: Sequence[Text], scene: Scene) -> list[Text]:
    """The lines, each exactly as wide as the screen."""
    for line in lines:
        line.truncate(scene.width, pad=True)
        if scene.signs.plain:
            line.plain = scene.signs.ascii(line.plain)
    return list(lines)


def full_screen(scene: Scene, body: Callable[[Scene, int, int], list[Text]], title: str) -> list[Text]:
    """Header, one pane, footer."""
    room = scene.height - 4
    lines = [*header(scene), rule(title, scene.width), *padded(body(scene, scene.width, room), room), footer(scene)]
    return fit(lines, scene)


def runs_screen(rows: Sequence[Summary], chosen: int, scene: Scene) -> list[Text]:
    """All runs, the newest first, the cursor on one."""
    room = scene.height - 3
    first = max(0, min(chosen - room // 2, len(rows) - room))
    lines = [Text(" Runs", "bold"), rule("", scene.width)]
    for n, run in enumerate(rows[first : first + room], first):
        sign, style = STATUS.get(run.status, ("✗", "bold red"))
        line = Text.assemble((f" {sign} {run.status.value.replace('_', ' '):15} ", style), (cell(run.name, 24), "bold"))
        age = duration(max(0.0, scene.now - run.created_at))
        line.append(f"  {run.run_id}  {age:>7} ago  {one_line(run.cwd, 60)}", DIM)
        line.apply_meta({"row": n})
        if n == chosen:
            line.stylize(CHOSEN)
        lines.append(line)
    if not rows:
        lines.append(Text(" No runs yet. Start one with: counterpoint run NAME", DIM))
    return fit([*padded(lines, scene.height - 1), Text(" Enter open  j k move  q leave", DIM)], scene)
