"""A run's trace while the run goes on: an agent's spans leave when it has ended, the run's when the attempt has.

One trace a run, over all its attempts. Sending is a task of its own behind a queue: a collector that is slow or gone
never holds an agent up, and a trace that could not be sent can be sent afterwards (``export --otlp --send``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any

import msgspec

from counterpoint.errors import UsageError
from counterpoint.events import AgentFinished, Recorded, RunEnded, RunStarted, Value
from counterpoint.redaction import Redaction
from counterpoint.timeline import Timeline
from counterpoint.tracing.spans import MESSAGE, RUN, Content, Span, agent_spans, request, run_span
from counterpoint.tracing.spent import Spent
from counterpoint.view import RunView

GATHER_S = 0.5
"""What ends within this time goes in one request."""
LAST_S = 15.0
"""How long the end of a run waits for what is still to be sent, in seconds."""
MOST_WAITING = 200_000
"""Spans that wait for the collector; more are dropped, and counted."""

ReadValue = Callable[[Value], Awaitable[bytes]]
Export = Callable[[bytes], object]
"""Sends one request, blocking. Raises UsageError where it is not taken."""


class LiveTrace:
    """Makes spans of a run's events as they come. `take` is a listener of the journal."""

    def __init__(self, history: Iterable[Recorded]) -> None:
        self._view, self._timeline, self._spent = RunView(), Timeline(), Spent()
        for recorded in history:
            self._apply(recorded)
        self._sent = {name: len(lane.bars) for name, lane in self._timeline.lanes.items()}
        self._ready: list[tuple[Span, str | None]] = []
        """Each with the agent whose content belongs to it."""
        self.dropped = 0
        self.arrived = asyncio.Event()
        """Something is ready, or nothing will be any more."""
        self.closed = asyncio.Event()

    def take(self, events: list[Recorded]) -> None:
        """What has ended by these events is ready to be sent."""
        for recorded in events:
            self._apply(recorded)
            match recorded.event:
                case AgentFinished(agent=agent):
                    self._agent_ended(agent)
                case RunEnded():
                    self._keep([(run_span(self._view, self._timeline, None, key=self._root), None)])
                case _:
                    pass

    def close(self) -> None:
        """No more events will come."""
        self.closed.set()
        self.arrived.set()

    async def gathered(self, read: ReadValue | None) -> list[Span]:
        """The spans that are ready, with what was asked and answered where `read` is given. They are forgotten here."""
        ready, self._ready = self._ready, []
        self.arrived.clear()
        if read is not None:
            for span, agent in ready:
                if agent is not None:
                    span["attributes"] += await self._content(agent, read)
        return [span for span, _ in ready]

    @property
    def _root(self) -> str:
        """A later attempt has a span of its own: the first one's has left."""
        return RUN if self._view.attempt <= 1 else f"{RUN}/{self._view.attempt}"

    def _apply(self, recorded: Recorded) -> None:
        self._view.apply(recorded)
        self._timeline.apply(recorded)
        self._spent.apply(recorded)
        if isinstance(recorded.event, RunStarted) and recorded.event.attempt > 1:
            self._timeline.begin = recorded.at

    def _agent_ended(self, name: str) -> None:
        agent, bars = self._view.agents[name], self._timeline.lanes[name].bars
        fresh = list(enumerate(bars))[self._sent.get(name, 0) :]
        self._sent[name] = len(bars)
        if fresh:
            key = name if agent.attempt <= 1 else f"{name}#{agent.attempt}"
            own, *below = agent_spans(self._view, agent, fresh, None, self._spent, key=key, root=self._root)
            self._keep([(own, name), *((span, None) for span in below)])

    def _keep(self, made: list[tuple[Span, str | None]]) -> None:
        room = max(0, MOST_WAITING - len(self._ready))
        self.dropped += len(made[room:])
        self._ready += made[:room]
        self.arrived.set()

    async def _content(self, name: str, read: ReadValue) -> list[dict[str, Any]]:
        agent = self._view.agents[name]
        said: Content = {name: (msgspec.json.decode(await read(agent.prompt)), await _decoded(agent.value, read))}
        bar = [(0, bar) for bar in self._timeline.lanes[name].bars[:1]]
        asked = agent_spans(self._view, agent, bar, said, self._spent)[0]["attributes"]
        return [each for each in asked if each["key"].endswith(".messages")]


async def _decoded(value: Value | None, read: ReadValue) -> Any:
    return None if value is None else msgspec.json.decode(await read(value))


@contextlib.asynccontextmanager
async def traced(
    mode: str, history: Iterable[Recorded], read: ReadValue, warn: Callable[[str], None], export: Export | None = None
) -> AsyncGenerator[list[Callable[[list[Recorded]], None]]]:
    """Sends the run's trace while the body runs, and what is left at its end. Gives the listeners that it needs.

    `mode` is the setting: ``off``, ``on``, or ``content``. `export` is for whoever has an exporter already; left out,
    the variables ``OTEL_…`` say where the collector is. No trouble with it ends the run.
    """
    if mode != "off" and export is None:
        export = _to_collector()
        if export is None:
            warn("trace is on, and the SDK of OpenTelemetry is not here (counterpoint[otel]): nothing is sent.")
    if mode == "off" or export is None:
        yield []
        return
    live = LiveTrace(history)
    sender = _Sender(live, read if mode == "content" else None, warn, export)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sender.serve())
        try:
            yield [live.take]
        except Exception as error:  # a task group would wrap it
            failure = error
        finally:
            live.close()
            asyncio.get_running_loop().call_later(LAST_S, task.cancel)
    if failure is not None:
        raise failure


class _Sender:
    """Takes what is ready to the collector; complains once."""

    def __init__(self, live: LiveTrace, read: ReadValue | None, warn: Callable[[str], None], export: Export) -> None:
        self._live, self._read, self._warn, self._export = live, read, warn, export
        self._redaction = Redaction(os.environ)
        self._told = False

    async def serve(self) -> None:
        """Sends what gathers, until the trace is closed and all of it was sent."""
        while True:
            await self._live.arrived.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._live.closed.wait()
            last = self._live.closed.is_set()
            await self._send()
            if last:
                return

    async def _send(self) -> None:
        spans = await self._live.gathered(self._read)
        if not spans:
            return
        data = self._redaction.document(request(spans))
        try:
            await asyncio.to_thread(self._export, data)
        except UsageError as error:
            self._complain(error.message)
        except Exception as error:  # whatever is wrong with an address or a library: no run ends by it
            self._complain(f"The trace could not be sent: {type(error).__name__}: {str(error)[:MESSAGE]}.")
        if self._live.dropped:
            self._complain(f"{self._live.dropped:,} spans of the trace were dropped: the collector is too slow.")

    def _complain(self, message: str) -> None:
        if not self._told:
            self._told = True
            self._warn(f"{message} That harms no run; export --otlp --send sends all of its trace later.")


def _to_collector() -> Export | None:
    """What sends to the collector of the environment; None: the SDK is not installed."""
    try:
        from counterpoint.tracing.collector import send
    except ImportError:
        return None
    return send
