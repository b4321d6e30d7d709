"""The findings of a run as SARIF, the form in which code scanning takes them. Pure.

A workflow has findings where its result has a list `findings` (or `bugs`) of objects with a file and a title (`what`).
Everything in them comes from models: it is checked, cut, and never taken for a path outside of the project.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, cast

from counterpoint.version import VERSION

MOST = 1000
LONGEST = 2000
LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
DOUBTED = frozenset({"disputed", "unverified"})
"""Verdicts that make a finding a warning at most."""


def sarif(document: dict[str, Any]) -> bytes:
    """The findings in a run's document."""
    name = str(document["name"])
    driver = {
        "name": "Counterpoint", "version": VERSION,
        "rules": [{"id": name, "shortDescription": {"text": f"Found by the workflow {name}"}}],
    }  # fmt: skip
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"{name}/"},
        "properties": {"run_id": document["run_id"], "status": document["status"], "coverage": document["coverage"]},
        "results": list(_results(name, document["result"])),
    }
    whole = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(whole, ensure_ascii=False, indent=1).encode("utf-8", "replace")


def _results(name: str, result: Any) -> Iterator[dict[str, Any]]:
    for found in _findings(result)[:MOST]:
        path, title = _path(found.get("file")), found.get("title") or found.get("what")
        if path is None or not isinstance(title, str):
            continue
        line = found.get("line")
        place: dict[str, Any] = {"artifactLocation": {"uri": path}}
        if isinstance(line, int) and not isinstance(line, bool) and line > 0:
            place["region"] = {"startLine": line}
        why = found.get("why") or found.get("reason") or ""
        severity, verdict = str(found.get("severity", "")), str(found.get("verdict", ""))
        told = {"severity": severity[:40], "verdict": verdict[:40], "title": title[:LONGEST]}
        yield {
            "ruleId": name,
            "level": _level(severity, verdict),
            "message": {"text": f"{title}\n{why}".strip()[:LONGEST]},
            "locations": [{"physicalLocation": place}],
            "partialFingerprints": {"counterpoint/v1": _digest(path, str(found.get("quote") or title))},
            "properties": {key: value for key, value in told.items() if value},
        }


def _findings(result: Any) -> list[dict[str, Any]]:
    if not isinstance(result, dict):
        return []
    members = cast("dict[str, Any]", result)
    listed = members.get("findings", members.get("bugs"))
    if not isinstance(listed, list):
        return []
    return [cast("dict[str, Any]", each) for each in cast("list[Any]", listed) if isinstance(each, dict)]


def _path(given: Any) -> str | None:
    """A path below the project's folder; None for any other."""
    if not isinstance(given, str) or not given or len(given) > LONGEST or not given.isprintable():
        return None
    path = PurePosixPath(given)
    return None if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] else str(path)


def _level(severity: str, verdict: str) -> str:
    level = LEVELS.get(severity.lower(), "warning")
    return "warning" if level == "error" and verdict in DOUBTED else level


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
