"""WebSearch: the user's own service, by a rule, with the key where it belongs and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.search import Search, searching

from counterpoint.errors import DeniedError, SettingsError, ToolError
from counterpoint.tools.base import Guard, ToolContext
from counterpoint.tools.policy import Permissions, Policy
from counterpoint.tools.registry import invoke
from counterpoint.tools.websearch import Service, WebSearch, service_of

KEY = "opensesame-123"
NAMED = "WebSearch(domain:127.0.0.1)"


@pytest.fixture
def search() -> Generator[Search]:
    with searching() as server:
        yield server


async def find(search: Search, *allow: str, kind: str = "searxng", path: str = "/search", **input: Any) -> str:
    tool = WebSearch(Service(f"{search.url}{path}", kind, KEY))
    guard = Guard(Policy.of(Permissions(allow=list(allow))))
    return await invoke(tool, {"query": "how to brew tea", **input}, ToolContext(Path(), guard=guard))


@pytest.mark.parametrize(
    ("kind", "path", "header", "value"),
    [
        ("searxng", "/search?language=en", "authorization", f"Bearer {KEY}"),
        ("brave", "/brave", "x-subscription-token", KEY),
        ("tavily", "/tavily", "authorization", f"Bearer {KEY}"),
    ],
)
async def test_each_kind_of_service_is_asked_in_its_own_form(
    search: Search, kind: str, path: str, header: str, value: str
) -> None:
    found = await find(search, NAMED, kind=kind, path=path)
    assert found == (
        "1. Brewing tea\n   https://tea.example.org/brew\n   Boil & wait. Then pour.\n"
        "2. Coffee\n   https://coffee.example.com/"
    )
    method, _, headers, sent = search.asked[-1]
    assert headers[header] == value
    if kind == "tavily":
        assert (method, json.loads(sent)) == ("POST", {"query": "how to brew tea", "max_results": 10})
    else:
        assert (method, search.query()["q"]) == ("GET", ["how to brew tea"])
    if kind == "searxng":
        assert search.query() | {"q": []} == {"q": [], "format": ["json"], "language": ["en"]}


async def test_results_are_of_the_hosts_that_are_wanted(search: Search) -> None:
    assert "coffee" not in await find(search, NAMED, allowed_domains=["example.org"])
    assert "tea" not in await find(search, NAMED, blocked_domains=["www.example.org"])
    assert await find(search, NAMED, allowed_domains=["ample.org"]) == "[Nothing was found.]"


async def test_without_a_rule_nobody_is_asked(search: Search) -> None:
    for allow in ((), ("WebFetch",), ("WebSearch(domain:example.com)",)):
        with pytest.raises(DeniedError, match=r"WebSearch\(127\.0\.0\.1\)"):
            await find(search, *allow)
    assert search.asked == []


async def test_a_service_on_a_private_address_needs_a_rule_that_names_it(search: Search) -> None:
    with pytest.raises(DeniedError, match="private network"):
        await find(search, "WebSearch")
    assert search.asked == []


async def test_an_answer_is_capped_in_results_and_in_words(search: Search) -> None:
    search.hits = [{"url": f"https://a.example/{n}", "title": "t" * 9000, "content": "w " * 3000} for n in range(40)]
    found = await find(search, NAMED)
    assert "10. ttt" in found
    assert "11. " not in found
    assert len(found) < 10 * 800
    search.body = b" " * (1024 * 1024 + 1)
    with pytest.raises(ToolError, match="more than 1,048,576 bytes"):
        await find(search, NAMED)


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (429, b"", "answered 429"),
        (302, b"", "answered 302"),
        (200, b"<html>", "did not answer as one of the kind searxng"),
        (200, b'{"results": [7]}', "did not answer as one of the kind searxng"),
        (200, b"[" * 100_000, "did not answer as one of the kind searxng"),
    ],
)
async def test_what_is_no_answer_is_told_and_no_redirect_takes_the_key_along(
    search: Search, status: int, body: bytes, complaint: str
) -> None:
    search.status, search.body = status, body
    with pytest.raises(ToolError, match=complaint) as told:
        await find(search, NAMED)
    assert KEY not in told.value.message
    assert len(search.asked) == 1


async def test_a_key_that_the_service_sends_back_is_taken_out(search: Search) -> None:
    search.hits = [{"url": "https://a.example/", "title": f"your key is {KEY}", "content": ""}]
    assert "your key is [secret removed]" in await find(search, NAMED)


def test_the_key_comes_from_the_environment_and_is_shown_to_nobody() -> None:
    service = service_of("https://a.example", "brave", {"COUNTERPOINT_SEARCH_KEY": f" {KEY}\n"})
    assert service == Service("https://a.example", "brave", KEY)
    assert KEY not in repr(service)
    assert service_of(None, "searxng", {}) is None
    with pytest.raises(SettingsError, match="characters that no key has"):
        service_of("https://a.example", "brave", {"COUNTERPOINT_SEARCH_KEY": "a\nHost: b"})
