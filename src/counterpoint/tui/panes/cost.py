"""What the money is made of."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text

from counterpoint.text import count, money
from counterpoint.tui.layout import cell
from counterpoint.tui.scene import DIM, Scene
from counterpoint.view import AgentView


def cost_lines(scene: Scene, width: int, height: int) -> list[Text]:
    """What the money is made of: phases, models, the dearest agents."""
    agents = list(scene.view.own())
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
