"""``counterpoint.merge``: the branches of agents come into the working branch, journaled like a tool call."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from counterpoint.agents.desk import Workshop
from counterpoint.agents.merging import Branch, Check, Merge, Report, Source
from counterpoint.errors import HookError, ToolError
from counterpoint.events import Fault, ToolCalled
from counterpoint.runtime.attempt import Attempt
from counterpoint.runtime.calls import permissions_of
from counterpoint.runtime.denials import report_denial
from counterpoint.sandbox.frames import Call
from counterpoint.tools.policy import Access
from counterpoint.tools.shell import check_command


class _Ask(Struct, frozen=True, rename="camel"):
    results: list[int | str]
    check: str | None = None
    on_conflict: Literal["agent", "keep", "fail"] = "agent"


class Merges:
    """The merges of one attempt, one after the other."""

    def __init__(
        self,
        attempt: Attempt,
        group: asyncio.TaskGroup,
        workshop: Workshop,
        agent_of_call: dict[int, str],
        bring_in: Merge,
    ) -> None:
        self._attempt = attempt
        self._group = group
        self._workshop = workshop
        self._agent_of_call = agent_of_call
        self._bring_in = bring_in
        self._turn = asyncio.Lock()
        self._number = 0

    def call(self, call: Call) -> None:
        """Answers ``counterpoint.merge(results, options)``: from the record, or by merging now."""
        asked = msgspec.json.decode(call.arg, type=_Ask)
        sources = [self._source(result) for result in asked.results]
        key = self._attempt.identities.call(
            "merge", [source.agent for source in sources], [asked.check, asked.on_conflict]
        )
        answered = self._attempt.replay.effect(key)
        if answered is not None:
            self._attempt.answer_recorded(call.id, key, answered)
        else:
            self._group.create_task(self._run(call, key, asked, sources))

    def _source(self, result: int | str) -> Source:
        name = self._agent_of_call.get(result, "") if isinstance(result, int) else result
        agent = self._attempt.view.find_agent(name) if name else None
        if agent is None:
            return Source(str(result), str(result))
        made = agent.workspace
        if made is None:
            return Source(agent.id, agent.label)
        return Source(agent.id, agent.label, made.branch, made.base, made.commit, made.path, made.files)

    async def _run(self, call: Call, key: str, asked: _Ask, sources: list[Source]) -> None:
        started = time.monotonic()
        try:
            async with self._turn:
                report = await self._merge(asked, sources)
        except (HookError, ToolError) as error:
            name = error.name if isinstance(error, HookError) else "DeniedError"
            fault = Fault(name, error.message, call.line, call.column)
            recorded = self._attempt.emit(ToolCalled(key, "merge", None, fault, time.monotonic() - started))
            self._attempt.answer(call.id, recorded, error=HookError(name, error.message))
            return
        value = self._attempt.journal.value(msgspec.json.encode(report))
        recorded = self._attempt.emit(ToolCalled(key, "merge", value, None, time.monotonic() - started))
        self._say(report)
        self._attempt.answer(call.id, recorded, value)

    async def _merge(self, asked: _Ask, sources: list[Source]) -> Report:
        self._number += 1
        place = self._workshop.worktrees / f"merge-{self._attempt.view.attempt}-{self._number}"
        check = self._check(asked.check) if asked.check else None
        return await self._bring_in(self._attempt.cwd, sources, place, check, all_or_none=asked.on_conflict == "fail")

    def _check(self, command: str) -> Check:
        bounds = self._attempt.bounds

        def denied(access: Access, reason: str) -> None:
            report_denial(self._attempt, "", access, reason)

        async def check(folder: Path) -> tuple[bool, str]:
            async with self._workshop.counter(
                folder, permissions_of(bounds), denied,
                sandbox=bounds["sandbox"], network=bounds["network"], env=list(bounds["env"]),
            ) as context:  # fmt: skip
                return await check_command(command, context)

        return check

    def _say(self, report: Report) -> None:
        kept = [branch for branch in report.branches if branch.status in ("conflict", "check_failed")]
        text = f"Merged {report.merged} of {len(report.branches)} branches"
        if kept:
            text += f"; kept on their branches: {', '.join(map(_named, kept[:20]))}"
        self._attempt.log(f"{text}.", "warning" if kept else "info")


def _named(branch: Branch) -> str:
    return f"{branch.branch} ({branch.status.replace('_', ' ')})"
