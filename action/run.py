"""What the GitHub Action runs: one workflow, its summary, annotations for its findings, files to keep.

Inputs come as variables (``INPUT_…``), never inside of a shell's text. What strangers have written, in issues and pull
requests or in what agents answer, is data: it goes into the workflow's `args` and nowhere else, and no line of it can
act as a command of the job.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from counterpoint.redaction import Redaction

ANNOTATIONS = 50
SUMMARY_CHARS = 200_000
COMMAND = {"error": "error", "warning": "warning", "note": "notice"}
ORDER = ("note", "warning", "error")
RESUMABLE = frozenset(
    {"partial", "failed", "stopped", "paused", "budget_exceeded", "interrupted", "waiting", "running"}
)


def main() -> int:
    """Runs the workflow and gives the job's exit code: the run's, or 1 for findings and for nothing done."""
    state = Path(os.environ.get("COUNTERPOINT_STATE", ".counterpoint-state")).absolute()
    os.environ["COUNTERPOINT_STATE"] = str(state)
    try:
        run_id, code = execute(state)
    except ValueError as wrong:
        print(annotation("error", str(wrong)))
        return 2
    if run_id is None:
        print(annotation("error", f"The run did not start (exit code {code})."))
        return code or 1
    document = json.loads(told("result", run_id, "--json"))
    scanned = told("export", run_id, "--sarif")
    findings = json.loads(scanned)["runs"][0]["results"]
    out = Path(value("output") or "counterpoint-run").absolute()
    out.mkdir(parents=True, exist_ok=True)
    (out / "findings.sarif").write_text(scanned, "utf-8")
    for form in ("html", "jsonl"):
        told("export", run_id, f"--{form}", "-o", str(out / f"run.{form}"))
    for finding in sorted(findings, key=lambda finding: -ORDER.index(finding["level"]))[:ANNOTATIONS]:
        print(annotation_of(finding))
    write("GITHUB_STEP_SUMMARY", Redaction(os.environ).text(summary(document, findings)))
    write("GITHUB_OUTPUT", outputs(document, findings, out))
    code, why = judged(document, findings, code)
    print(annotation("error", why) if code else f"{document['status']}: {why}")
    return code


# --- the run ---------------------------------------------------------------------------------------------------------


def execute(state: Path) -> tuple[str | None, int]:
    """Runs the workflow, or goes on with what an earlier attempt of this job has left. Its id, and its exit code."""
    args = arguments()
    given = {"--model": value("model"), "--budget": value("budget")}
    options = [part for name, text in given.items() if text for part in (name, text)]
    workflow = value("workflow")
    if not workflow:
        raise ValueError("The input workflow is missing.")
    known = state / "ci.json"
    runs: dict[str, str] = json.loads(known.read_text("utf-8")) if known.exists() else {}
    digest = hashlib.sha256(
        json.dumps([workflow, args, options, os.environ.get("GITHUB_SHA", "")]).encode()
    ).hexdigest()
    earlier = runs.get(digest)
    if earlier and status(earlier) in RESUMABLE:
        print(f"Going on with run {earlier}: what is recorded is not asked again.", flush=True)
        return earlier, shielded(["resume", earlier, "--no-input", "--jsonl"], print)

    found: list[str] = []

    def begun(run_id: str) -> None:
        found.append(run_id)
        runs[digest] = run_id
        known.write_text(json.dumps(runs), "utf-8")

    told_args = ["--args", "-"] if args is not None else []
    command = ["run", workflow, *told_args, *options, "--no-input", "--jsonl"]
    code = shielded(command, begun, None if args is None else json.dumps(args))
    return (found[0] if found else None), code


def arguments() -> Any:
    """The input `args`, with the event's text as data under the name that `event-items` says."""
    text, name = value("args"), value("event_items")
    try:
        args = json.loads(text) if text else None
    except json.JSONDecodeError as error:
        raise ValueError(f"The input args is no JSON: {error}") from error
    if not name:
        return args
    if not isinstance(args, dict | None):
        raise ValueError("With event-items, args has to be a JSON object.")
    return {**cast("dict[str, Any]", args or {}), name: event_items()}


def event_items() -> list[dict[str, Any]]:
    """What somebody has written: the issue, pull request, discussion or comment that set the job off."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text("utf-8"))
    items: list[dict[str, Any]] = []
    for kind in ("issue", "pull_request", "discussion", "comment", "review"):
        about = cast("dict[str, Any]", event.get(kind) or {})
        if about:
            texts = [about.get("title"), about.get("body")]
            text = "\n\n".join(part for part in texts if isinstance(part, str))
            items.append({"id": about.get("number", about.get("id", 0)), "text": text})
    return items


def shielded(arguments: list[str], begun: Callable[[str], None], given: str | None = None) -> int:
    """Runs the program; `begun` gets the id of a new run.

    No line that it writes is taken for a command of the job, whoever made it write that.
    """
    word = secrets.token_hex(16)
    print(f"::stop-commands::{word}", flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "counterpoint", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        encoding="utf-8",
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(given or "")
    process.stdin.close()
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == "run_created":
            begun(event["run_id"])
    code = process.wait()
    print(f"::{word}::", flush=True)
    return code


def told(*arguments: str) -> str:
    """What the program prints, also where it fails: `result` fails as its run did. Raises CalledProcessError else."""
    command = [sys.executable, "-m", "counterpoint", *arguments, "--quiet", "--no-color"]
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if not ended.stdout:
        ended.check_returncode()
    return ended.stdout


def status(run_id: str) -> str:
    """How a run stands; nothing where its journal is not there any more."""
    try:
        return json.loads(told("result", run_id, "--json"))["status"]
    except subprocess.CalledProcessError:
        return ""


# --- the verdict -----------------------------------------------------------------------------------------------------


def judged(document: dict[str, Any], findings: list[dict[str, Any]], code: int) -> tuple[int, str]:
    """The exit code, and why. A run in which no agent ended well has shown nothing, whatever it says of itself."""
    ok, of = document["coverage"]["ok"], document["coverage"]["of"]
    if ok == 0:
        return code or 1, f"Nothing was done: {ok} of {of} agents ended well. That is no success."
    if code == 4 and value("allow_partial") == "true":
        code = 0
    if code:
        return code, f"The run ended as {document['status']}: {ok} of {of} agents ended well. {document['message']}"
    least = {"any": "note", "medium": "warning", "high": "error"}.get(value("fail_on"))
    bad = [each for each in findings if least and ORDER.index(each["level"]) >= ORDER.index(least)]
    if bad:
        return 1, f"{len(bad)} findings; fail-on is {value('fail_on')}."
    return 0, f"{ok} of {of} agents ended well, {len(findings)} findings."


# --- what people see -------------------------------------------------------------------------------------------------


def annotation(level: str, message: str, **properties: str) -> str:
    """One line that GitHub shows at a place in a file."""
    listed = ",".join(f"{name}={escaped(text, ':,')}" for name, text in properties.items() if text)
    return f"::{level}{' ' + listed if listed else ''}::{escaped(message)}"


def annotation_of(finding: dict[str, Any]) -> str:
    """The line for one finding."""
    place = finding["locations"][0]["physicalLocation"]
    line = str(place.get("region", {}).get("startLine", ""))
    title, verdict = finding["properties"]["title"], finding["properties"].get("verdict", "")
    shown = f"{title[:100]}{f' ({verdict})' if verdict else ''}"
    properties = {"file": place["artifactLocation"]["uri"], "line": line, "title": shown}
    return annotation(COMMAND[finding["level"]], finding["message"]["text"], **properties)


def escaped(text: str, also: str = "") -> str:
    """As a workflow command wants it: nothing in it ends the line or the property."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for sign in also:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def summary(document: dict[str, Any], findings: list[dict[str, Any]]) -> str:
    """The job's page: what the run was, what it found, and its report as plain text."""
    ok, of = document["coverage"]["ok"], document["coverage"]["of"]
    usage = document["usage"]
    cost = "cost unknown" if usage["usd"] is None else f"${usage['usd']:.2f}"
    lines = [
        f"### Counterpoint: {plain(document['name'])} — {document['status']}",
        "",
        f"{ok} of {of} agents ended well, {usage['output_tokens']:,} tokens out, {cost}, "
        f"{document['duration_s']:.0f} s, model {plain(document['model'])}, run `{document['run_id']}`",
        *(["", plain(document["message"])] if document["message"] else []),
    ]
    if findings:
        lines += ["", "| level | place | finding |", "| --- | --- | --- |"]
        for finding in findings:
            place = finding["locations"][0]["physicalLocation"]
            line = place.get("region", {}).get("startLine")
            shown = f"{place['artifactLocation']['uri']}{f':{line}' if line else ''}"
            lines.append(f"| {finding['level']} | {plain(shown)} | {plain(finding['properties']['title'])} |")
    report = document["result"]
    if isinstance(report, dict):
        report = cast("dict[str, Any]", report).get("report")
    if isinstance(report, str) and report:
        longest = max(map(len, re.findall(r"`+", report)), default=0)
        fence = "`" * max(3, longest + 1)
        lines += ["", f"{fence}text", report[:SUMMARY_CHARS], fence]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """A text of models or strangers, as one line in which Markdown and HTML do nothing."""
    shown = re.sub(r"([\\`*_{}\[\]()#+!|~@-])", r"\\\1", " ".join(text[:1000].split()))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def outputs(document: dict[str, Any], findings: list[dict[str, Any]], out: Path) -> str:
    """What later steps can use: words and numbers of ours, and no text of models."""
    facts = {"run-id": document["run_id"], "status": document["status"], "findings": len(findings), "output": out}
    return "".join(f"{name}={fact}\n" for name, fact in facts.items())


def value(name: str) -> str:
    """One input of the action."""
    return os.environ.get(f"INPUT_{name.upper()}", "").strip()


def write(variable: str, text: str) -> None:
    """Adds to one of the files that GitHub reads; elsewhere there is none."""
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main())
