"""What Ollama says of a model that it has loaded: with which context.

Of a conversation that is longer Ollama forgets the beginning and says nothing, and its context is small unless somebody
has set it otherwise. So it is asked, once the model is loaded; and an answer to a conversation that cannot have fitted
is no answer but an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from counterpoint.errors import ProviderError
from counterpoint.models.messages import Request

if TYPE_CHECKING:
    import httpx2

ASK_S = 5.0
MAX_BYTES = 1_000_000
MOST_BYTES_PER_TOKEN = 6
"""Of a request as JSON: one with more than that for each token of the context has certainly not fitted."""


class _Running(Struct):
    name: str = ""
    model: str = ""
    context_length: int = 0


class _List(Struct):
    models: list[_Running] = []


class Loaded:
    """One model of an Ollama server, whose address is that of its OpenAI protocol."""

    def __init__(self, http: httpx2.AsyncClient, address: str, key: str, name: str) -> None:
        self._http = http
        self._url = f"{address.rstrip('/').removesuffix('/v1')}/api/ps"
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._name = name
        self._asked = False
        self.window = 0
        """Tokens of its context; 0: it does not say, or was not asked yet."""

    async def check(self, request: Request) -> None:
        """To be called when a request was answered. Raises ProviderError where it cannot have fitted."""
        if not self._asked:
            self._asked = True
            self.window = await self._ask()
        if self.window and _bytes(request) > self.window * MOST_BYTES_PER_TOKEN:
            raise ProviderError(
                "too_long",
                f"Ollama has loaded {self._name} so that the maximum context length is {self.window} tokens, and "
                "silently forgets the beginning of what is longer.",
                hint="Give it more room: OLLAMA_CONTEXT_LENGTH=32768 ollama serve, or num_ctx in a Modelfile.",
            )

    async def _ask(self) -> int:
        """0 where the server does not know the question, or not the answer."""
        import httpx2

        try:
            response = await self._http.get(self._url, headers=self._headers, timeout=ASK_S)
            if response.status_code != 200 or len(response.content) > MAX_BYTES:
                return 0
            running = msgspec.json.decode(response.content, type=_List).models
        except (httpx2.HTTPError, msgspec.DecodeError):
            return 0
        names = {self._name, f"{self._name}:latest"}
        return next((each.context_length for each in running if names & {each.name, each.model}), 0)


def _bytes(request: Request) -> int:
    return len(msgspec.json.encode([request.system, request.messages, request.tools]))
