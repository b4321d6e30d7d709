"""``export``: a run in another form."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import click

from counterpoint.cli.options import Output, Session, asynchronous, common, session
from counterpoint.errors import UsageError
from counterpoint.redaction import Redaction


@click.command()
@click.argument("run")
@click.option("--jsonl", is_flag=True, help="The run's events, one JSON object a line.")
@click.option("--html", is_flag=True, help="The web page with the run inside, as one file.")
@click.option("--perfetto", is_flag=True, help="A trace for Perfetto: slots, bars, tokens.")
@click.option("--otlp", is_flag=True, help="OpenTelemetry spans, as OTLP JSON.")
@click.option("--send", is_flag=True, help="With --otlp: to the collector of OTEL_EXPORTER_OTLP_ENDPOINT.")
@click.option("--content", is_flag=True, help="With --otlp: prompts, answers and messages too.")
@click.option("--sarif", is_flag=True, help="The findings that it returned, for code scanning.")
@click.option(
    "--output", "-o", "file", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of stdout."
)
@common
@asynchronous
async def export(
    run: str, send: bool, content: bool, file: Path | None, output: Output, state: Path | None, **chosen: bool
) -> int:
    """Write a run in another form.

    \b
    counterpoint export @last --html -o run.html
    """
    forms = [form for form, wanted in chosen.items() if wanted]
    if len(forms) != 1:
        raise UsageError(
            "export writes one form at a time." if forms else "export needs a form.",
            hint="counterpoint export RUN --html, --jsonl, --perfetto, --otlp or --sarif",
        )
    (form,) = forms
    if (send or content) and form != "otlp":
        raise UsageError("--send and --content go with --otlp.")
    async with session(state) as here:
        data = await _data(here, await here.client.find(run), form, content=content)
    # An export leaves the machine: keys and tokens in prompts and tool results do not.
    data = Redaction(os.environ).document(data)
    if send:
        output.say(f"{await asyncio.to_thread(_send, data)} spans sent")
    elif file is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        await asyncio.to_thread(file.write_bytes, data)
        output.say(f"{len(data):,} bytes written to {file}")
    return 0


async def _data(here: Session, run_id: str, form: str, *, content: bool) -> bytes:
    match form:
        case "html":
            from counterpoint.web.report import report

            return await report(here.client, run_id)
        case "perfetto":
            from counterpoint.web.perfetto import trace

            return trace(await here.client.events(run_id))
        case "otlp":
            from counterpoint.tracing.spans import spans

            return spans(await here.client.events(run_id), await _content(here, run_id) if content else None)
        case "sarif":
            from counterpoint.cli.sarif import sarif

            return sarif(await here.client.document(await here.client.view(run_id)))
        case _:
            return b"".join(recorded.line() + b"\n" for recorded in await here.client.events(run_id))


async def _content(here: Session, run_id: str) -> dict[str, tuple[Any, Any]]:
    """What each agent was asked, and what it gave."""
    client = here.client
    agents = (await client.view(run_id)).agents.values()
    return {a.id: (await client.value(run_id, a.prompt), await client.value(run_id, a.value)) for a in agents}


def _send(data: bytes) -> int:
    try:
        from counterpoint.tracing.collector import send
    except ImportError:
        raise UsageError("--send needs the SDK of OpenTelemetry.", hint="pip install 'counterpoint[otel]'") from None
    return send(data)
