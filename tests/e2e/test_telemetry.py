"""A run's trace: whole, by the conventions, without content unless asked, and at a collector."""

from __future__ import annotations

import json

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.e2e.conftest import Program
from tests.fakes.collector import collector
from tests.fakes.replies import Says
from tests.fakes.server import Fake

from counterpoint.tracing.collector import send

TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
KEY = "planted-secret-4711-of-the-environment"
HUNDRED = """
const part = (n) => () => agent(`Part ${n} of the plan`, {label: `part ${n}`})
return (await parallel(Array.from({length: 100}, (_, n) => part(n)))).length
"""


def spans_of(data: str) -> list[ReadableSpan]:
    """What the SDK's own exporter has after the trace was sent to it."""
    kept = InMemorySpanExporter()
    assert send(data.encode(), kept) > 0
    return list(kept.get_finished_spans())


def test_a_trace_of_a_hundred_agents_arrives_whole(cpt: Program):
    assert cpt.run(HUNDRED).json["result"] == 100
    exported = cpt("export", "@last", "--otlp")
    spans = spans_of(exported.out)
    contexts = {span.context.span_id: span for span in spans if span.context}
    agents = [span for span in spans if span.name.startswith("invoke_agent part ")]
    (root,) = [span for span in spans if span.parent is None]

    assert len({span.context.trace_id for span in spans if span.context}) == 1
    assert len(contexts) == len(spans)
    assert all(span.parent.span_id in contexts for span in spans if span.parent)
    assert root.name == "invoke_workflow flow"
    assert len({span.name for span in agents}) == 100
    assert "Part 7 of" not in exported.out

    with collector() as got:
        sent = cpt("export", "@last", "--otlp", "--send", OTEL_EXPORTER_OTLP_ENDPOINT=got.url)
    assert sent.code == 0, sent.err
    assert {span.span_id.hex() for span in got.spans} == {f"{number:016x}" for number in contexts}


def test_spans_speak_by_the_conventions_and_say_what_failed(cpt: Program):
    (cpt.folder / "a.txt").write_text("text", "utf-8")
    with Fake() as fake:
        fake.will(Says(calls=[("Read", {"file_path": "a.txt"})]), Says("done", tokens=(50, 20, 7)))
        script = cpt.script(
            "return [await agent('look', {label: 'reader'}), await agent('x', {label: 'dies', model: 'sim:fail=1'})]"
        )
        run = cpt("run", script, "--model", "anthropic:m", "--base-url", fake.url, "--json", ANTHROPIC_API_KEY="k")
    assert run.code == 4, run.err
    listed = spans_of(cpt("export", "@last", "--otlp").out)
    spans = {span.name: span for span in listed}
    reader, dead = spans["invoke_agent reader"], spans["invoke_agent dies"]
    facts = dict(reader.attributes or {})
    assert (facts["gen_ai.operation.name"], facts["gen_ai.provider.name"], facts["gen_ai.agent.id"]) == (
        "invoke_agent", "anthropic", "a1",
    )  # fmt: skip
    assert facts["gen_ai.usage.output_tokens"] == 17
    assert reader.status.status_code is StatusCode.OK
    assert (dead.status.status_code, dead.status.description) == (StatusCode.ERROR, "ProviderError")
    assert (dead.attributes or {})["error.type"] == "rejected"
    assert (spans["execute_tool Read"].attributes or {})["gen_ai.tool.name"] == "Read"
    assert spans["chat m"].kind is SpanKind.CLIENT
    chats = [dict(span.attributes or {}) for span in listed if span.name == "chat m"]
    assert [(chat["gen_ai.usage.input_tokens"], chat["gen_ai.usage.output_tokens"]) for chat in chats] == [
        (100, 10), (50, 7),
    ]  # fmt: skip


def test_no_content_is_in_a_trace_unless_asked_and_no_secret_is_in_any_export(cpt: Program):
    def said(*arguments: str) -> str:
        return cpt(*arguments, ANTHROPIC_API_KEY="k", SERVICE_PASSWORD=KEY).out

    (cpt.folder / "a.txt").write_text(f"the token is {TOKEN}", "utf-8")
    with Fake() as fake:
        fake.will(Says(calls=[("Read", {"file_path": "a.txt", "limit": 5})]), Says(f"It says {TOKEN} and {KEY}."))
        script = cpt.script(f"log('{TOKEN}'); return agent('Use {KEY} to look up the word zebra')")
        run = json.loads(said("run", script, "--model", "anthropic:m", "--base-url", fake.url, "--json", "--quiet"))
    assert TOKEN in run["result"], "the run itself has it"
    traces = said("export", "@last", "--otlp")
    assert "zebra" not in traces
    assert "Use " not in traces
    asked = said("export", "@last", "--otlp", "--content")
    assert "zebra" in asked
    assert "It says [secret removed] and [secret removed]." in asked
    others = [said("export", "@last", f"--{form}") for form in ("jsonl", "html", "perfetto", "sarif")]
    for exported in (traces, asked, *others):
        assert exported
        assert TOKEN not in exported
        assert KEY not in exported
    assert all(json.loads(line)["seq"] for line in others[0].splitlines())


def test_a_trace_that_could_not_be_sent_is_said_also_where_the_run_has_ended_before(cpt: Program):
    with collector(400) as got:
        flow = cpt.script("return await agent('x')")
        ended = cpt("run", flow, "--model", "sim", COUNTERPOINT_TRACE="on", OTEL_EXPORTER_OTLP_ENDPOINT=got.url)
    assert ended.code == 0
    assert ended.err.count("warning: The collector has not taken the trace") == 1
    assert "export --otlp --send" in ended.err


def test_a_collector_that_refuses_is_said(cpt: Program):
    cpt.run("return agent('a')")
    with collector(400) as got:
        refused = cpt("export", "@last", "--otlp", "--send", OTEL_EXPORTER_OTLP_ENDPOINT=got.url)
    assert refused.code == 2
    assert "has not taken the trace" in refused.err
    assert cpt("export", "@last", "--html", "--send").code == 2
