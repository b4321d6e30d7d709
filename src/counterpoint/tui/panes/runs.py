"""The list of all runs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from counterpoint.client import Summary
from counterpoint.text import duration, one_line, safe
from counterpoint.tui.layout import cell, fit, padded, rule
from counterpoint.tui.scene import CHOSEN, DIM, STATUS, Scene

WIDE = 100
"""Columns from which on names and states have all the room that they want."""


def runs_screen(rows: Sequence[Summary], chosen: int, scene: Scene) -> list[Text]:
    """All runs, the newest first, the cursor on one."""
    room, wide = scene.height - 3, scene.width >= WIDE
    first = max(0, min(chosen - room // 2, len(rows) - room))
    lines = [Text(" Runs", "bold"), rule("", scene.width)]
    for n, run in enumerate(rows[first : first + room], first):
        sign, style = STATUS.get(run.status, ("✗", "bold red"))
        mark = "+" if run.run_id in scene.marked else " "
        status = f"{mark}{sign} {cell(run.status.value.replace('_', ' '), 15 if wide else 11)} "
        line = Text.assemble((status, style), (cell(run.name, 24 if wide else 14), "bold"))
        age = duration(max(0.0, scene.now - run.created_at))
        line.append(f"  {run.run_id}  {age:>7} ago  ", DIM)
        line.append("".join(f"#{safe(tag)} " for tag in run.tags), "cyan")
        line.append(f"fork of {safe(run.parent.run_id)}" if run.parent else one_line(run.cwd, 60), DIM)
        line.apply_meta({"row": n})
        if n == chosen:
            line.stylize(CHOSEN)
        lines.append(line)
    if not rows:
        none = " No run fits the filter." if scene.filter else " No runs yet. Start one with: counterpoint run NAME"
        lines.append(Text(none, DIM))
    return fit([*padded(lines, scene.height - 1), _footer(scene)], scene)


def _footer(scene: Scene) -> Text:
    """What was said last, or the filter, the marks and the keys."""
    if scene.note:
        return Text(f" {one_line(scene.note, scene.width - 2)}", "bold yellow")
    text = Text(f" filter {one_line(scene.filter, 40)} " if scene.filter else "", "bold cyan")
    text.append(f" {len(scene.marked)} marked " if scene.marked else "", "bold yellow")
    return text.append(" ? keys  q leave  Enter open  / filter  Space mark  T tag  X stop", DIM)
