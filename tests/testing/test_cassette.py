"""Recorded agents: asked once over real HTTP, answered from the file with the server gone; no secret in the file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.fakes.replies import Fails, Gives, Says
from tests.fakes.server import Fake

from counterpoint import UsageError, Workflow
from counterpoint.redaction import MARK, Redaction
from counterpoint.testing import Cassette, ScriptMismatch, run_script

FLOW = Workflow("""export const meta = { name: 'flow', description: 'a test' }
const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }
return [await agent('count', { schema }), await agent('read notes.txt'), await agent('the last')]
""")
KEY = "planted-secret-4711-in-the-environment"
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(f"the token is {TOKEN}", "utf-8")
    return tmp_path


def serve(fake: Fake) -> None:
    fake.will(
        Gives({"n": 3}),
        Says(calls=[("Read", {"file_path": "notes.txt", "limit": 9})]),
        Says(f"It says {TOKEN}, and the key is {KEY}; the name is Zebedee-17."),
        Fails(400, "the last one fails"),
    )


async def record(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with Fake() as fake:
        serve(fake)
        monkeypatch.setenv("COUNTERPOINT_BASE_URL", fake.url)
        path = project / "cassettes" / "flow.json"
        played = await run_script(FLOW, Cassette(path, record="anthropic:m", secrets=["Zebedee-17"]), cwd=project)
        monkeypatch.delenv("COUNTERPOINT_BASE_URL")
    played.expect(status="partial", agents=3)
    return path


async def test_a_recorded_run_is_the_same_without_its_provider(project: Path, monkeypatch: pytest.MonkeyPatch):
    path = await record(project, monkeypatch)
    played = await run_script(FLOW, Cassette(path), cwd=project)
    played.expect(
        status="partial",
        value=[{"n": 3}, f"It says {MARK}, and the key is {MARK}; the name is {MARK}.", None],
        agents=3,
        coverage=(2, 3),
    )
    assert played.view.agents["a2"].tools == 1
    assert played.result.usage["requests"] == 3


def without_port(path: Path) -> str:
    """What the file says, but for the port of the fake provider, which a failure names."""
    return re.sub(r"127\.0\.0\.1:\d+", "", path.read_text("utf-8"))


async def test_no_secret_is_in_the_file_and_it_is_the_same_every_time(project: Path, monkeypatch: pytest.MonkeyPatch):
    path = await record(project, monkeypatch)
    first, before = path.read_bytes(), without_port(path)
    for secret in (KEY, TOKEN, "Zebedee-17"):
        assert secret.encode() not in first
    assert [spoken["gist"] for spoken in json.loads(first)["spoken"]].count("read notes.txt") == 2
    assert without_port(await record(project, monkeypatch)) == before


async def test_what_was_not_recorded_fails_the_test_and_is_named(project: Path, monkeypatch: pytest.MonkeyPatch):
    path = await record(project, monkeypatch)
    changed = Workflow(FLOW.text.replace("the last", "a new one"))
    with pytest.raises(ScriptMismatch, match=r"(?s)a new one.*--counterpoint-record"):
        await run_script(changed, Cassette(path), cwd=project)


async def test_a_missing_and_a_broken_cassette_say_so(tmp_path: Path):
    with pytest.raises(UsageError, match="There is no cassette"):
        await run_script(FLOW, Cassette(tmp_path / "none.json"))
    (tmp_path / "odd.json").write_text("[]", "utf-8")
    with pytest.raises(UsageError, match="is no cassette"):
        await run_script(FLOW, Cassette(tmp_path / "odd.json"))


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-" + "a1B2c3D4" * 5, TOKEN, "AKIAIOSFODNN7EXAMPL3", "AIza" + "b2" * 17,
        "xoxb-" + "1234567890-abc-q",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "glpat-" + "x9" * 10,
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nabc+/=\n-----END RSA PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_keys_are_known_by_their_shape(secret: str):
    assert Redaction({}).text(f"use '{secret}' here") == f"use '{MARK}' here"


def test_secrets_are_known_by_the_names_of_their_variables():
    environ = {"MY_DB_PASSWORD": "correct horse", "HOME": "/home/somebody", "API_TOKEN": "short"}
    said = {"a correct horse": ["/home/somebody", "short", 7, None]}
    assert Redaction(environ).value(said) == {f"a {MARK}": ["/home/somebody", "short", 7, None]}
    assert Redaction({}).text("postgresql://me:hunter2@db/x, Bearer abcdefghijklmnop12") == (
        f"postgresql://{MARK}@db/x, Bearer {MARK}"
    )


def test_ordinary_text_stays_as_it_is():
    text = "risk-assessment-of-something-long, task_0123456789, https://example.org:8080/a@b, sk-learn, wf_1072dc96-6a2"
    assert Redaction({"SHELL": "/bin/bash"}).text(text) == text


def test_long_hostile_texts_are_searched_quickly():
    for part in ("eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "sk-", "eyJ-", "://a:", "Bearer x"):
        Redaction({}).text(part * 60_000)
