"""A run's trace while it goes on, at a real collector on the loopback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.fakes.collector import collector
from tests.fakes.replies import Says
from tests.fakes.server import Fake

import counterpoint
from counterpoint import Result, Workflow
from counterpoint.cli.main import program
from counterpoint.redaction import MARK
from counterpoint.testing import Cassette, run_script
from counterpoint.tracing.collector import readable, send
from counterpoint.tracing.spans import spans

META = "export const meta = { name: 'flow', description: 'a test' }\n"
HUNDRED = Workflow(
    META
    + """
const first = await agent('The first part', { label: 'first' })
await counterpoint.tool('arrived', { name: 'invoke_agent first' })
const part = (n) => () => agent(`Part ${n} of the plan`, { label: `part ${n}` })
return (await parallel(Array.from({ length: 99 }, (_, n) => part(n)))).length
"""
)
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
KEY = "planted-secret-4711-of-the-environment"


async def exported(result: Result, state: Path) -> dict[int, str]:
    """Span id → name, of the trace that is made of the whole journal afterwards, through the SDK's own exporter."""
    events = [recorded async for recorded in counterpoint.watch(result.run_id, state=state)]
    kept = InMemorySpanExporter()
    send(spans(events), kept)
    return {span.context.span_id: span.name for span in kept.get_finished_spans() if span.context}


def number(span: Any) -> int:
    return int.from_bytes(span.span_id)


async def test_agents_arrive_while_the_run_goes_on_and_all_hundred_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with collector() as got:

        def arrived(name: str) -> bool:
            """Whether the collector has that span: the run cannot end before it has."""
            return got.wait(name)

        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.url)
        result = await counterpoint.run(HUNDRED, model="sim", trace="on", tools=[arrived], state=tmp_path)
    assert result.value == 99
    assert len(got.spans) == len({number(span) for span in got.spans})
    assert {number(span): span.name for span in got.spans} == await exported(result, tmp_path)
    assert len({span.trace_id for span in got.spans}) == 1
    assert b"of the plan" not in got.raw
    assert got.spans[-1].name == "invoke_workflow flow"


async def test_without_being_asked_nothing_is_sent_and_a_collector_that_refuses_harms_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    flow = Workflow(META + "return await agent('x')")
    with collector() as got:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.url)
        assert (await counterpoint.run(flow, model="sim", state=tmp_path)).ok
    assert got.spans == []
    slow = Workflow(META + "const a = await agent('x'); await counterpoint.tool('refused', {}); return a")
    with collector(400) as got:

        def refused() -> bool:
            """Waits until the collector has said no."""
            return got.wait("invoke_agent a1")

        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.url)
        result = await counterpoint.run(slow, model="sim", trace="on", tools=[refused], state=tmp_path)
    assert result.ok
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "no address")
    assert (await counterpoint.run(flow, model="sim", trace="on", state=tmp_path)).ok
    events = [recorded.event async for recorded in counterpoint.watch(result.run_id, state=tmp_path)]
    assert type(events[-1]).__name__ == "RunEnded"


async def test_a_resume_goes_on_in_the_same_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flow = Workflow(META + "return await parallel([() => agent('a'), () => agent('b', { model: 'sim:fail=1' })])")
    with collector() as got:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.url)
        first = await counterpoint.run(flow, model="sim", trace="on", state=tmp_path)
        before = len(got.spans)
        await counterpoint.resume(first.run_id, state=tmp_path)
    roots = [span for span in got.spans if span.name.startswith("invoke_workflow")]
    again = [span.name for span in got.spans[before:] if span.name.startswith("invoke_agent")]
    assert len({number(span) for span in got.spans}) == len(got.spans)
    assert len({span.trace_id for span in got.spans}) == 1
    assert len(roots) == 2
    assert again == ["invoke_agent a2"]


async def test_a_planted_secret_is_in_no_trace_no_cassette_and_no_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SERVICE_PASSWORD", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(f"the token is {TOKEN}", "utf-8")
    flow = Workflow(META + f"log('{TOKEN}'); return agent('Use {KEY} to look up the word zebra')")
    cassette = tmp_path / "cassettes" / "flow.json"
    with collector() as got, Fake() as fake:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.url)
        monkeypatch.setenv("COUNTERPOINT_BASE_URL", fake.url)
        fake.will(Says(calls=[("Read", {"file_path": "notes.txt"})]), Says(f"It says {TOKEN} and {KEY}."))
        played = await run_script(
            flow, Cassette(cassette, record="anthropic:m"), cwd=tmp_path, state=tmp_path / "s", trace="content"
        )
    assert TOKEN in played.value, "the run itself has it"
    trace = got.raw
    assert b"zebra" in trace
    assert MARK.encode() in trace
    run_id = played.result.run_id
    events = [recorded async for recorded in counterpoint.watch(run_id, state=tmp_path / "s")]
    assert readable(spans(events))
    left = {"trace": trace, "cassette": cassette.read_bytes()}
    for form in ("jsonl", "html", "perfetto", "sarif", "otlp"):
        left[form] = await _export(run_id, form, tmp_path)
    for name, data in left.items():
        assert data, name
        for secret in (TOKEN, KEY):
            assert secret.encode() not in data, name


async def _export(run_id: str, form: str, folder: Path) -> bytes:
    import asyncio

    path = folder / f"run.{form}"
    arguments = ["export", run_id, f"--{form}", "-o", str(path), "--state", str(folder / "s")]
    ended = await asyncio.to_thread(lambda: CliRunner().invoke(program, arguments, env=dict(os.environ)))
    assert ended.exit_code == 0, ended.output
    return path.read_bytes()
