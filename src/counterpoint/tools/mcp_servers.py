"""The MCP servers that ``.mcp.json`` files name, with what they take from the environment, and what of that is secret.

Keys stand there by reference (``${GITHUB_TOKEN}``). They go to the server and nowhere else: whatever a server says,
also in an error, or where it gives back what it was sent, has the reference in their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

SHORTEST = 8
"""Characters of a value that is looked for in what a server says: shorter ones stand in texts by chance."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|COOKIE|SESSION", re.IGNORECASE)
"""In the name of a variable or header: its value is nobody else's business."""


class Server(msgspec.Struct, frozen=True):
    """One entry of ``mcpServers``."""

    command: str = ""
    args: list[str] = []
    env: dict[str, str] = {}
    url: str = ""
    headers: dict[str, str] = {}
    type: str = ""
    secrets: dict[str, str] = {}
    """Value → what is shown in its place. Not of the file: what it says there is not used."""

    def hushed(self, text: str) -> str:
        """The text without the server's secrets."""
        for value in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(value, self.secrets[value])
        return text


class _File(msgspec.Struct, rename="camel"):
    mcp_servers: dict[str, Server] = {}


def load_servers(cwd: Path, environ: Mapping[str, str]) -> tuple[dict[str, Server], list[str]]:
    """The servers of ``.mcp.json`` between a folder and its repository's root, the nearest winning; and complaints."""
    found: dict[str, Server] = {}
    wrong: list[str] = []
    for folder in (cwd, *cwd.parents):
        path = folder / ".mcp.json"
        if path.is_file():
            try:
                entries = msgspec.json.decode(path.read_bytes(), type=_File).mcp_servers
            except (OSError, msgspec.DecodeError) as error:
                wrong.append(f"{path}: {error}")
                entries = {}
            for name, server in entries.items():
                try:
                    found.setdefault(_ODD.sub("_", name), _expanded(server, environ))
                except KeyError as error:
                    wrong.append(f"{path}: {name} needs the environment variable {error.args[0]}, which is not set.")
        if (folder / ".git").exists():
            break
    return found, wrong


def _expanded(server: Server, environ: Mapping[str, str]) -> Server:
    """Raises KeyError for a variable that is not set and has no default."""
    used: set[str] = set()

    def text(value: str) -> str:
        return _VARIABLE.sub(put, value)

    def put(found: re.Match[str]) -> str:
        used.add(found[1])
        return environ[found[1]] if found[2] is None else environ.get(found[1], found[2])

    headers = {name: text(value) for name, value in server.headers.items()}
    private = {name for name in used if name in environ}
    whole = Server(
        command=text(server.command),
        args=[text(arg) for arg in server.args],
        env={name: text(value) for name, value in server.env.items()},
        url=text(server.url),
        headers=headers,
        type=server.type,
    )
    private |= {name for name in used if name in environ and _SECRET.search(name)}
    return msgspec.structs.replace(whole, secrets=_secrets(whole, {name: environ[name] for name in private}))


def _secrets(server: Server, private: Mapping[str, str]) -> dict[str, str]:
    """What is not to be shown: what headers take from the environment, and whatever has the name of a secret."""
    found: dict[str, str] = {}
    for name, value in [*server.env.items(), *server.headers.items()]:
        if _SECRET.search(name):
            found |= dict.fromkeys((value, value.rpartition(" ")[2]), f"[{name}]")
    found |= {value: f"${{{name}}}" for name, value in private.items()}
    return {value: shown for value, shown in found.items() if len(value) >= SHORTEST}
