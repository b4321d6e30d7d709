"""Sends a run's trace to an OpenTelemetry collector, through the SDK and by its own variables (``OTEL_…``)."""

from __future__ import annotations

import json
import logging
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from counterpoint.errors import UsageError

BATCH = 512
"""Spans of one request: collectors refuse large ones."""
_KINDS = {1: SpanKind.INTERNAL, 3: SpanKind.CLIENT}
_CODES = {0: StatusCode.UNSET, 1: StatusCode.OK, 2: StatusCode.ERROR}


def send(data: bytes, exporter: SpanExporter | None = None) -> int:
    """Sends an ``ExportTraceServiceRequest`` in its JSON form, and gives the number of spans. Raises UsageError.

    Sent again, it is the same trace: all ids are in it.
    """
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what fails is said by us, once
    exporter = exporter or OTLPSpanExporter()
    spans = readable(data)
    try:
        for start in range(0, len(spans), BATCH):
            if exporter.export(spans[start : start + BATCH]) is not SpanExportResult.SUCCESS:
                raise UsageError(
                    f"The collector has not taken the trace; {start} of {len(spans)} spans had arrived.",
                    hint="Where it is, OTEL_EXPORTER_OTLP_ENDPOINT says; sending again makes nothing double.",
                )
    finally:
        exporter.shutdown()
    return len(spans)


def readable(data: bytes) -> list[ReadableSpan]:
    """The spans of such a request, as the SDK has them."""
    found: list[ReadableSpan] = []
    for group in json.loads(data)["resourceSpans"]:
        resource = Resource.create(_attributes(group["resource"]["attributes"]))
        for scoped in group["scopeSpans"]:
            scope = InstrumentationScope(scoped["scope"]["name"], scoped["scope"]["version"])
            found += [_readable(span, resource, scope) for span in scoped["spans"]]
    return found


def _readable(span: dict[str, Any], resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    trace, parent = int(span["traceId"], 16), span.get("parentSpanId")
    status = span.get("status", {})
    return ReadableSpan(
        name=span["name"],
        context=_context(trace, span["spanId"]),
        parent=_context(trace, parent) if parent else None,
        resource=resource,
        attributes=_attributes(span["attributes"]),
        kind=_KINDS[span["kind"]],
        status=Status(_CODES[status.get("code", 0)], status.get("message")),
        start_time=int(span["startTimeUnixNano"]),
        end_time=int(span["endTimeUnixNano"]),
        instrumentation_scope=scope,
    )


def _context(trace: int, span: str) -> SpanContext:
    return SpanContext(trace, int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _attributes(listed: list[dict[str, Any]]) -> dict[str, str | int | float]:
    return {each["key"]: _value(each["value"]) for each in listed}


def _value(value: dict[str, Any]) -> str | int | float:
    match value:
        case {"intValue": number}:
            return int(number)
        case {"doubleValue": number}:
            return float(number)
        case _:
            return str(value["stringValue"])
