"""The list of all runs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from counterpoint.client import Summary
from counterpoint.text import duration, one_line
from counterpoint.tui.layout import cell, fit, padded, rule
from counterpoint.tui.scene import CHOSEN, DIM, STATUS, Scene


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
