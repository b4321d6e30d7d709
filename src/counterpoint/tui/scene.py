"""What a person looks at: the folds of a run, what they have chosen of it, and the signs and colours of states."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from rich.style import Style

from counterpoint import attention
from counterpoint.attention import state_of
from counterpoint.events import RunStatus
from counterpoint.timeline import Timeline
from counterpoint.view import AgentView, RunView

STYLES = {
    "ok": "green", "reused": "cyan", "model": "bright_blue", "tool": "magenta", "held": "yellow",
    "human": "bold yellow", "queued": "bright_black", "skipped": "bright_black", "cancelled": "bright_black",
    "interrupted": "yellow",
    "failed": "bold red", "invalid": "bold red", "timed_out": "bold red", "stalled": "bold red",
    "limited": "bold red",
}  # fmt: skip
ORDER = (
    "ok", "reused", "model", "tool", "held", "queued", "skipped", "cancelled", "interrupted",
    "limited", "stalled", "timed_out", "invalid", "failed",
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
    "gone": "✗",
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
MARKED = Style(underline=True, bold=True)


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
    clock: float | None = None
    """The time of day, where what is shown is the present."""
    signs: Signs = field(default_factory=Signs)
    chosen: str | None = None
    """The agent under the cursor."""
    marked: Collection[str] = ()
    """Agents of which something will be asked at once."""
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

    @property
    def moves(self) -> bool:
        """Whether time goes on in what is shown: live, or in a replay."""
        return bool(self.replay) or (self.live and not self.view.ended)

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
            state = self._states[agent.id] = state_of(self.view, agent, self.timeline.doing(agent.id))
        return state


PANES = ("overview", "matrix", "agent", "log", "script")


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
