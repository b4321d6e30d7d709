"""A model of a real provider, as the engine has it, before a fake server."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from tests.fakes.server import Fake

from counterpoint.models.messages import Model, Request, ToolSpec, UserTurn
from counterpoint.models.registry import Models
from counterpoint.settings import Settings

KEY = "sk-test-0123456789abcdef"
KEYS = {
    "ANTHROPIC_API_KEY": KEY,
    "OPENAI_API_KEY": KEY,
    "GOOGLE_API_KEY": KEY,
    "MISTRAL_API_KEY": KEY,
    "GROQ_API_KEY": KEY,
    "OPENROUTER_API_KEY": KEY,
    "DEEPSEEK_API_KEY": KEY,
    "AZURE_OPENAI_API_KEY": KEY,
    "ANTHROPIC_FOUNDRY_API_KEY": KEY,
    "AWS_ACCESS_KEY_ID": "AKIAFAKE",
    "AWS_SECRET_ACCESS_KEY": KEY,
    "GOOGLE_CLOUD_PROJECT": "project",
}
CLAUDE, GPT, SERVER = "anthropic:claude-sonnet-5-5", "openai:gpt-6.1-terra", "openai-compatible:qwen3"
WHERE = {
    "openai": "/v1",
    "openai-compatible": "/v1",
    "ollama": "/v1",
    "openrouter": "/v1",
    "groq": "/v1",
    "deepseek": "/v1",
    "azure": "/openai/v1",
    "foundry": "/anthropic",
}
"""What belongs to an address besides the host."""

READ = ToolSpec("Read", "Reads a file.", {"type": "object", "properties": {"file_path": {"type": "string"}}})
NUMBER: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
OUTPUT = ToolSpec("StructuredOutput", "Returns the result.", NUMBER)


def needs(package: str, library: str) -> pytest.MarkDecorator:
    """Skips a test where an optional library is missing."""
    installed = importlib.util.find_spec(package) and importlib.util.find_spec(library)
    return pytest.mark.skipif(not installed, reason=f"{library} is not installed")


GEMINI = pytest.param("google:gemini-3.8-flash", marks=needs("google", "google.genai"))
MISTRAL = pytest.param("mistral:mistral-medium-latest", marks=needs("mistralai", "mistralai"))


@pytest.fixture
def fake() -> Generator[Fake]:
    with Fake() as server:
        yield server


@contextlib.asynccontextmanager
async def model(fake: Fake, spec: str, **environ: str) -> AsyncGenerator[Model]:
    """The model of that name, its provider at the fake's address."""
    address = fake.url + WHERE.get(spec.partition(":")[0], "")
    async with Models(Settings(model=spec, base_url=address), {**KEYS, **environ}) as models:
        yield models.get(spec)


def ask(text: str = "Say hello.", **options: Any) -> Request:
    return Request("Be brief.", [UserTurn(text)], **options)
