"""The HTTP API, and who may not use it."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from tests.e2e.conftest import Program
from tests.web.conftest import Served
from tests.web.journals import record

RUN = "/api/runs/@last"


@pytest.fixture(scope="module")
def run_id(program: Program) -> str:
    return record(program)


@pytest.fixture(scope="module")
def site(server: Served, run_id: str) -> Served:
    server.login()
    return server


def events(site: Served, path: str, **headers: str) -> tuple[list[int], list[dict[str, Any]]]:
    """Reads a stream until it says whether the run is live: the ids, and the events."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.request(
        "GET", path, headers={"Cookie": site.cookie, **{k.replace("_", "-"): v for k, v in headers.items()}}
    )
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    ids: list[int] = []
    found: list[dict[str, Any]] = []
    kind = ""
    while kind != "live":
        line = answer.readline().decode().strip()
        name, _, value = line.partition(": ")
        kind = value if name == "event" else kind
        if name == "id":
            ids.append(int(value))
        elif name == "data" and kind == "batch":
            found += json.loads(value)
    connection.close()
    return ids, found


def test_the_run_is_the_document_of_the_command_line(site: Served, program: Program, run_id: str) -> None:
    shown = program("show", run_id, "--json").json
    served = site.get(f"/api/runs/{run_id}")

    assert (served.pop("seq"), served.pop("live")) == (
        len(site.request("GET", f"{RUN}/export/jsonl")[2].splitlines()),
        False,
    )
    assert served == shown


def test_an_agent_comes_with_its_exact_prompt(site: Served, program: Program, run_id: str) -> None:
    assert site.get(f"{RUN}/agents/a3") == program("show", run_id, "a3", "--json").json


def test_the_stream_gives_every_event_in_order(site: Served) -> None:
    ids, found = events(site, f"{RUN}/events")

    assert [event["seq"] for event in found] == list(range(1, site.get(RUN)["seq"] + 1))
    assert ids[-1] == found[-1]["seq"]


def test_a_stream_goes_on_behind_the_last_event_that_was_seen(site: Served) -> None:
    _, found = events(site, f"{RUN}/events", Last_Event_ID="100")

    assert found[0]["seq"] == 101


def test_long_values_stay_out_of_the_stream(site: Served) -> None:
    _, found = events(site, f"{RUN}/events")
    longest = max(len(json.dumps(event)) for event in found)

    assert longest < 5000
    whole = max(site.request("GET", f"{RUN}/export/jsonl")[2].splitlines(), key=len)
    assert site.request("GET", f"{RUN}/events/{json.loads(whole)['seq']}")[2] == whole


def test_the_export_is_the_journal(site: Served, program: Program, run_id: str) -> None:
    assert site.request("GET", f"{RUN}/export/jsonl")[2].decode() == program("export", run_id, "--jsonl").out


def test_a_trace_has_no_two_slices_of_a_track_that_overlap_and_every_agent(site: Served) -> None:
    trace = site.get(f"{RUN}/export/perfetto")["traceEvents"]
    slices = [row for row in trace if row["ph"] == "X" and "agent" in row["args"]]
    tracks: dict[int, int] = {}
    for row in sorted(slices, key=lambda row: row["ts"]):
        assert tracks.get(row["tid"], 0) <= row["ts"]
        tracks[row["tid"]] = row["ts"] + row["dur"]

    assert {row["args"]["agent"] for row in slices} >= {row["id"] for row in site.get(RUN)["agent_list"]}


def test_spans_form_one_tree_and_hold_no_prompt(site: Served) -> None:
    status, _, body = site.request("GET", f"{RUN}/export/otlp")
    spans = json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    ids = {span["spanId"] for span in spans}

    assert status == 200
    assert len(ids) == len(spans)
    assert [span["name"] for span in spans if "parentSpanId" not in span] == ["invoke_workflow recorded"]
    assert all(span["parentSpanId"] in ids for span in spans if "parentSpanId" in span)
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)
    assert b"Look at part" not in body


def test_every_path_is_in_the_description(site: Served) -> None:
    paths = site.get("/api/openapi.json")["paths"]
    described = {path for path, does in paths.items() if "get" in does}

    assert {path.replace("{run}", "@last").replace("{agent}", "a3") for path in described} >= {RUN, f"{RUN}/agents/a3"}
    assert set(paths) - described == {f"/api/runs/{{run}}/{verb}" for verb in ("requests", "resume", "fork", "tags")}
    note = site.program("memory", "add", "Answers are short.", "--user").out.strip()
    for path in described - {"/api/runs/{run}/events"}:
        filled = path.format(run="@last", agent="a3", seq="1", form="html", request="1", note=note)
        assert site.request("GET", filled)[0] == 200, path


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/runs/none", 404),
        (f"{RUN}/agents/none", 404),
        (f"{RUN}/events/x", 409),
        (f"{RUN}/export/docx", 409),
        ("/static/..%2fapp.py", 404),
        ("/nothing", 404),
    ],
)
def test_what_is_not_there_is_said(site: Served, path: str, code: int) -> None:
    assert site.request("GET", path)[0] == code


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "explode"},
        {"verb": "steer", "text": " "},
        {"verb": "skip"},
        {"verb": "budget", "budgets": ["much"]},
        {"verb": "stop", "also": 1},
        {"verb": "stop"},
        {"verb": "approve", "target": "g9"},
        {"verb": "approve", "targets": ["g1", "g2"]},
        {"verb": "retry", "targets": ["a1", "a2"], "prompt": "one for two"},
        {"verb": "skip", "targets": ["a1"] * 1001},
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_a_reason(site: Served, body: dict[str, Any]) -> None:
    status, _, answer = site.request("POST", f"{RUN}/requests", body)

    assert status == 409
    assert json.loads(answer)["error"]["message"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"seq": 10**6}, "has no event"),
        ({"seq": 0}, "has no event"),
        ({"script": "return 1 +"}, "meta"),
        ({"model": "nobody:none"}, "nobody"),
        ({"budgets": ["much"]}, "much"),
        ({"also": 1}, "also"),
    ],
)
def test_a_fork_that_cannot_be_is_refused_with_a_reason(site: Served, body: dict[str, Any], why: str) -> None:
    status, _, answer = site.request("POST", f"{RUN}/fork", body)

    assert status == 409
    assert why in json.loads(answer)["error"]["message"].lower()


# --- who may not -----------------------------------------------------------------------------------------------------


def test_another_host_name_is_refused(site: Served) -> None:
    for host in (f"evil.example:{site.port}", "127.0.0.1", f"127.0.0.1.evil.example:{site.port}", ""):
        assert site.request("GET", "/api/runs", Host=host)[0] == 421, host


def test_another_origin_is_refused(site: Served) -> None:
    for origin in (
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{site.port}",
        f"http://127.0.0.1:{site.port + 1}",
    ):
        assert site.request("GET", "/api/runs", Origin=origin)[0] == 403, origin
        assert site.request("POST", f"{RUN}/requests", {"verb": "stop"}, Origin=origin)[0] == 403, origin


def test_a_request_that_another_page_makes_the_browser_send_is_refused(site: Served) -> None:
    assert site.request("GET", "/api/runs", Sec_Fetch_Site="cross-site")[0] == 403
    assert site.request("GET", "/api/runs", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 403


def test_a_form_of_another_page_cannot_ask(site: Served) -> None:
    status, _, _ = site.request("POST", f"{RUN}/requests", {"verb": "stop"}, Content_Type="text/plain")

    assert status == 415


def test_no_token_opens_nothing(site: Served) -> None:
    for path in ("/", "/api/runs", f"{RUN}/events", "/static/app.js", "/api/openapi.json"):
        assert site.request("GET", path, Cookie="")[0] == 401, path
    assert site.request("GET", "/login", Cookie="")[0] == 403
    assert site.request("POST", f"{RUN}/requests", {"verb": "stop"}, Cookie="")[0] == 401


def test_a_token_works_once(site: Served) -> None:
    assert site.request("GET", site.url.removeprefix(site.base), Cookie="")[0] == 403


def test_a_cookie_that_was_changed_is_worth_nothing(site: Served) -> None:
    name, _, value = site.cookie.partition("=")
    issued, rest = value.split(".", 1)
    for forged in (f"{int(issued) + 1}.{rest}", value[:-1] + ("0" if value[-1] != "0" else "1"), "", "..", "a.b.c"):
        assert site.request("GET", "/api/runs", Cookie=f"{name}={forged}")[0] == 401, forged


def test_nothing_of_the_page_comes_from_elsewhere_or_may_be_framed(site: Served) -> None:
    _, headers, body = site.request("GET", "/")
    policy = headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert b"http:" not in body.replace(b"http://www.w3.org/2000/svg", b"")
    assert b"https:" not in body


def test_a_body_without_end_is_not_read(site: Served) -> None:
    assert site.request("POST", f"{RUN}/requests", {"verb": "steer", "text": "x" * 2_000_000})[0] == 413
