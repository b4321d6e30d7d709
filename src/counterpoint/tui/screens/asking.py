"""What a person may ask of a run, and the receipts."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from textual import work

from counterpoint.errors import CounterpointError
from counterpoint.text import one_line
from counterpoint.tui.dialogs import Choice, Line, Rerun
from counterpoint.tui.feed import Feed
from counterpoint.tui.screens.answer import Form
from counterpoint.tui.screens.door import BoardScreen, Door
from counterpoint.view import AgentView, GateView, RequestView

AGAIN_S = 5.0
"""In this time a key is pressed again that destroys something."""
NOTE_S = 6.0
RECEIPTS_S = 0.2


class Asking(BoardScreen):
    """The screen of a run, as far as something can be asked of it there."""

    def __init__(self, door: Door, feed: Feed) -> None:
        super().__init__()
        self._door, self.feed = door, feed
        self._dirty = True
        self._chosen: str | None = None
        self._marked: dict[str, None] = {}
        """Agents of which something is asked at once, in the order in which they were marked."""
        self._note = ("", 0.0)
        self._armed = ("", "", 0.0)

    # --- of whom -----------------------------------------------------------------------------------------------------

    def agent(self) -> AgentView | None:
        """The agent under the cursor."""
        return self.feed.view.agents.get(self._chosen or "")

    def addressed(self) -> list[AgentView]:
        """Those that are marked, else the one under the cursor or opened; says so where there is none."""
        names = self._marked if self.is_active else ()
        marked = [self.feed.view.agents[name] for name in names if name in self.feed.view.agents]
        agent = self.agent()
        if not marked and agent is None:
            self.say("Choose an agent first.")
        return marked or ([agent] if agent else [])

    def mark(self) -> None:
        """Marks the agent under the cursor, or takes the mark away."""
        agent = self.agent()
        if agent is not None and self._marked.pop(agent.id, self) is self:
            self._marked[agent.id] = None

    # --- what is said to the person ----------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A word to the person, in the last line for some seconds."""
        self._note = (text, time.monotonic() + NOTE_S)
        self._dirty = True

    def shown_note(self) -> str:
        """A key that waits to be pressed again, else what was said last; both for a while."""
        now = time.monotonic()
        _, armed, until = self._armed
        if now < until:
            return armed
        note, until = self._note
        if now >= until:
            self._note = ("", 0.0)
            return ""
        return note

    def twice(self, key: str, effect: str, agents: Sequence[AgentView] = ()) -> bool:
        """Whether the key was pressed a second time, for the same agents; the first time says what it will do."""
        now = time.monotonic()
        armed, _, until = self._armed
        meant = " ".join([key, *(agent.id for agent in agents)])
        if armed == meant and now < until:
            self._armed = ("", "", 0.0)
            return True
        self._armed = (meant, f"{effect}  Press {key} again.", now + AGAIN_S)
        return False

    # --- requests and their receipts ---------------------------------------------------------------------------------

    @work
    async def ask(self, verb: str, targets: Sequence[str | None] = (None,), **body: Any) -> None:
        """Leaves a request for each target; the receipts are said when they come."""
        client, run_id = self._door.client, self.feed.run_id
        if self.feed.replays:
            return self.say("This is a replay: nothing can be asked of it.")
        if not await client.is_live(run_id):
            return self.say(f"No process executes the run: counterpoint resume {run_id}")
        numbers = [await client.ask(run_id, verb, target, by=self._door.by, **body) for target in targets]
        which = f"request {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} requests"
        self.say(f"{verb}: asked ({which})")
        self._watch_receipts(verb, numbers)
        return None

    def _watch_receipts(self, verb: str, numbers: list[int]) -> None:
        told = ""

        def look() -> None:
            nonlocal told
            found = [self.feed.view.requests[number] for number in numbers if number in self.feed.view.requests]
            said = _receipts(verb, found, len(numbers))
            if found and said != told:
                told = said
                self.say(said)
            if self.feed.view.ended or sum(request.done_at is not None for request in found) == len(numbers):
                timer.stop()

        timer = self.set_interval(RECEIPTS_S, look)

    @work
    async def steer(self, agents: list[AgentView] | None) -> None:
        """None: every agent."""
        if agents is not None and not agents:
            return
        text = await self.asked(Line(f"Say something to {_who(agents)}", "It is heard at the next tool boundary."))
        if text and text.strip():
            self.ask("steer", [agent.id for agent in agents] if agents else (None,), text=text)

    def skip(self) -> None:
        agents = self.addressed()
        if agents and self.twice("x", f"Skips {_who(agents)}: the script gets null.", agents):
            self.ask("skip", [agent.id for agent in agents])

    def retry(self) -> None:
        agents = self.addressed()
        if agents and self.twice("r", f"Runs {_who(agents)} again.", agents):
            self._run_again(agents)

    @work
    async def retry_changed(self) -> None:
        """Again, with another prompt or another model."""
        agents = self.addressed()
        if not agents:
            return
        prompt = None
        if len(agents) == 1:
            prompt = str(await self._door.client.value(self.feed.run_id, agents[0].prompt))
        asked = await self.asked(Rerun(f"Run {_who(agents)} again", prompt, agents[0].model))
        if asked is not None:
            self._run_again(agents, asked.prompt if asked.prompt != prompt else None, asked.model or None)

    @work
    async def _run_again(self, agents: list[AgentView], prompt: str | None = None, model: str | None = None) -> None:
        names = [agent.id for agent in agents]
        if self.feed.replays or await self._door.client.is_live(self.feed.run_id):
            self.ask("retry", names, prompt=prompt, model=model)
            return None
        changes = [f"--{name}={value}" for name, value in (("prompt", prompt), ("model", model)) if value]
        try:
            await self._door.start(["retry", self.feed.run_id, *names, "--quiet", "--no-input", *changes])
        except CounterpointError as error:
            return self.say(error.message)
        self.say("retry: a process goes on with the run")
        return None

    def stop(self) -> None:
        agents = self.feed.view.own()
        running = sum(agent.state == "running" for agent in agents)
        kept = sum(agent.good for agent in agents)
        if self.twice("X", f"Stops the run: {running} agents are cancelled, {kept} results are kept."):
            self.ask("stop", drain=False)

    def pause(self) -> None:
        if not self.feed.live and not self.feed.replays:
            if self.twice("p", "Resumes the run: what has ended well stays, the rest runs."):
                self._resume()
        elif self.feed.view.status.value == "paused":
            self.ask("continue")
        else:
            self.ask("pause", stay=True)

    @work
    async def _resume(self) -> None:
        try:
            await self._door.client.refuse_resume(self.feed.run_id)
            await self._door.start(["execute", self.feed.run_id])
        except CounterpointError as error:
            return self.say(error.message)
        self.say("resume: a process goes on with the run")
        return None

    @work
    async def budget(self) -> None:
        text = await self.asked(Line("New ceilings", "600k  $9  20k/agent  100k/phase:Find"))
        if text and text.strip():
            self.ask("bounds", budgets=text.split())

    # --- questions of the run ----------------------------------------------------------------------------------------

    def _gate(self) -> GateView | None:
        gates = self.feed.view.open_gates()
        if not gates:
            self.say("Nobody is asked anything.")
        return gates[0] if gates else None

    @work
    async def answer(self) -> None:
        gate = self._gate()
        if gate is None:
            return
        if gate.options:
            names = [option if isinstance(option, str) else json.dumps(option) for option in gate.options]
            chosen = await self.asked(Choice(gate.question, names))
            if chosen is not None:
                self._decide(gate, gate.options[chosen])
        elif gate.schema:
            answered = await self.asked(Form(gate.question, gate.schema))
            if answered is not None:
                self._decide(gate, answered.value)
        elif await self.asked(Choice(gate.question, ["Approve", "Not now"])) == 0:
            self._decide(gate, True)

    def deny(self) -> None:
        gate = self._gate()
        if gate is not None and self.twice("D", f"Denies: {one_line(gate.question, 50)}."):
            self._decide(gate, None, denied=True)

    @work
    async def _decide(self, gate: GateView, answer: Any, *, denied: bool = False) -> None:
        client, run_id = self._door.client, self.feed.run_id
        if self.feed.replays or await client.is_live(run_id):
            self.ask("deny" if denied else "approve", [gate.id], **({} if denied else {"answer": answer}))
            return
        try:
            await client.answer(run_id, gate.id, answer, denied=denied, by=self._door.by)
        except CounterpointError as error:
            self.say(error.message)
        else:
            self.say(f"Recorded. Go on with: counterpoint resume {run_id}")


def _who(agents: list[AgentView] | None) -> str:
    if agents is None:
        return "every agent"
    return one_line(agents[0].label or agents[0].id, 50) if len(agents) == 1 else f"{len(agents)} agents"


def _receipts(verb: str, found: list[RequestView], asked: int) -> str:
    """One receipt in full; of several, how many are where, and why the first was refused."""
    if asked == 1 and found:
        request = found[0]
        state = "delivered" if request.done_at is None else "done" if request.ok else "refused"
        return f"{verb}: {state} {request.message}"
    refused = [request for request in found if request.done_at is not None and not request.ok]
    done = sum(request.done_at is not None and request.ok for request in found)
    waits = asked - done - len(refused)
    counts = [f"{n} {word}" for n, word in ((done, "done"), (len(refused), "refused"), (waits, "open")) if n]
    return f"{verb}: {', '.join(counts)}" + (f" ({refused[0].message})" if refused else "")
