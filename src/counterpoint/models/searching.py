"""The web searches that providers make themselves: how one is offered to a model, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pydantic_ai.messages import ModelResponse, NativeToolCallPart, NativeToolReturnPart, TextPart
from pydantic_ai.models import Model
from pydantic_ai.native_tools import AbstractNativeTool, WebSearchTool
from pydantic_ai.settings import ModelSettings

from counterpoint.errors import ProviderError
from counterpoint.models.messages import Search, Source

MOST_SOURCES = 40
MAX_URL = 2000
MAX_TITLE = 300


def can_search(model: Model[Any]) -> bool:
    """Whether this model's provider searches the web for it, by this protocol."""
    return WebSearchTool in model.profile.get("supported_native_tools", frozenset[type[AbstractNativeTool]]())


def offered(search: Search | None, model: Model[Any]) -> list[AbstractNativeTool]:
    """The provider's tool. Raises ProviderError where it cannot search, or cannot leave out what it must."""
    if search is None:
        return []
    if not can_search(model):
        raise ProviderError("rejected", f"The provider of {model.model_name} does not search the web by this protocol.")
    allowed = [host for host in search.allowed if not below(host, search.blocked)]
    if search.allowed and not allowed:
        raise ProviderError("rejected", "All hosts that were asked for are blocked.")
    tool = WebSearchTool(
        allowed_domains=allowed or None,
        blocked_domains=None if allowed else search.blocked or None,  # Anthropic takes one of both
        max_uses=search.most,
    )
    unknown = model.unsupported_native_tool_settings(tool)
    if unknown - {"max_uses"}:
        raise ProviderError("rejected", "The provider's web search cannot be kept to hosts, or from them.")
    if "max_uses" in unknown:
        tool.max_uses = None
    return [tool]


def settings(search: Search | None) -> ModelSettings:
    """What a request with a search asks for besides: where its answer is from."""
    if search is None:
        return {}
    return cast("ModelSettings", {"citations": True, "openai_include_web_search_sources": True})


def made(response: ModelResponse) -> int:
    """How many searches the provider made."""
    return sum(isinstance(part, NativeToolCallPart) and part.tool_name == WebSearchTool.kind for part in response.parts)


def sources(response: ModelResponse) -> list[Source]:
    """The pages that its searches found and that its text refers to, each once."""
    found: dict[str, Source] = {}
    for url, title in _pages(response):
        if url.startswith(("http://", "https://")) and len(url) <= MAX_URL and len(found) < MOST_SOURCES:
            known = found.get(url)
            found[url] = known if known and known.title else Source(url, " ".join(title.split())[:MAX_TITLE])
    return list(found.values())


def _pages(response: ModelResponse) -> Iterator[tuple[str, str]]:
    for part in response.parts:
        if isinstance(part, TextPart):
            for citation in part.citations or ():
                for source in citation.sources:
                    if source.kind == "web":
                        yield source.url, source.title or ""
        elif isinstance(part, NativeToolReturnPart) and part.tool_name == WebSearchTool.kind:
            yield from _listed(part.content)


def _listed(content: Any) -> Iterator[tuple[str, str]]:
    """Whatever names a page in what a search gave, in the forms of all providers: a list, or one under `sources`."""
    if isinstance(content, dict):
        content = cast("dict[str, Any]", content).get("sources")
    for each in cast("list[Any]", content) if isinstance(content, list) else []:
        page: dict[str, Any] = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        url, title = page.get("url") or page.get("uri"), page.get("title")
        if isinstance(url, str):
            yield url, title if isinstance(title, str) else ""


def below(host: str, domains: list[str]) -> bool:
    """Whether a host is one of these, or below one."""
    return any(f".{host.lower()}".endswith(f".{domain.strip().lower().strip('.')}") for domain in domains)
