"""Builds the package and goes in by each door, from an empty folder: uvx, pipx, Python, pytest, an MCP client.

    make doors          # in a minute; needs the extra `release` (build, uv, pipx) and a package index

Nothing of the checkout is on the path: what is tested is what users will get. Prints what each door said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
FIVE_LINES = (ROOT / "examples" / "five_lines.py").read_text("utf-8").replace('"docs"', '"."')
PYTEST = """
from counterpoint.testing import ScriptedModel, Step


def test_the_first_workflow_greets(counterpoint_play):
    greeted = ScriptedModel(Step("Hello, world.", times=None))
    played = counterpoint_play(".counterpoint/workflows/hello.js", greeted, cwd=".")
    played.expect(status="completed", agents=1)
"""
MCP = """
import asyncio, sys
from mcp import Client, StdioServerParameters

async def main():
    server = StdioServerParameters(command=sys.executable, args=["-m", "counterpoint", "mcp"])
    async with Client(server) as client:
        started = await client.call_tool("run", {"workflow": "hello", "model": "sim"})
        over = await client.call_tool("wait", {"run": started.structured_content["run_id"]})
        print("MCP client:", over.structured_content["status"], over.structured_content["coverage"])

asyncio.run(main())
"""


def main() -> None:
    """Stops at the first door that is shut."""
    with tempfile.TemporaryDirectory(prefix="counterpoint-doors-") as folder:
        work = Path(folder)
        run([sys.executable, "-m", "build", "--outdir", str(work / "dist"), str(ROOT)], ROOT, shown=1)
        (wheel,) = (work / "dist").glob("*.whl")
        empty = work / "empty"
        empty.mkdir()
        uvx = [str(BIN / "uvx"), "--python", sys.executable, "--from", str(wheel), "counterpoint"]
        run([*uvx, "init"], empty)
        run([*uvx, "run", "hello", "--model", "sim"], empty, shown=3)
        run([str(BIN / "pipx"), "run", "--spec", str(wheel), "counterpoint", "check", ".counterpoint/workflows"], empty)
        (empty / "five_lines.py").write_text(FIVE_LINES, "utf-8")
        (empty / "test_hello.py").write_text(PYTEST, "utf-8")
        (empty / "client.py").write_text(MCP, "utf-8")
        run(uv(wheel, "", "python", "five_lines.py"), empty, shown=3)
        run(uv(wheel, "", "python", "-m", "pytest", "-q", "test_hello.py", also="pytest"), empty, shown=2)
        run(uv(wheel, "[mcp]", "python", "client.py"), empty, shown=1)
        (sdist,) = (work / "dist").glob("*.tar.gz")
        run([*uvx[:-2], str(sdist), "counterpoint", "--version"], empty, shown=1)
    print("all doors are open")


def uv(wheel: Path, extra: str, *command: str, also: str = "") -> list[str]:
    """A command in an environment of its own with the wheel, and perhaps one package more."""
    more = ["--with", also] if also else []
    chosen = ["--no-project", "--python", sys.executable, "--with", f"counterpoint{extra} @ {wheel.as_uri()}"]
    return [str(BIN / "uv"), "run", "-q", *chosen, *more, *command]


def run(command: list[str], folder: Path, *, shown: int = 5) -> None:
    """Runs it with a home of its own, and shows the end of what it said."""
    print("$", " ".join(Path(part).name if part.startswith("/") else part for part in command), flush=True)
    home = folder.parent / "home"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COUNTERPOINT_"))}
    ended = subprocess.run(
        command, cwd=folder, env={**kept, "HOME": str(home), "COUNTERPOINT_STATE": str(home / "state")}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    lines = [line for line in ended.stdout.splitlines() if line.strip()]
    print("\n".join(f"  {line[:200]}" for line in lines[-shown if ended.returncode == 0 else -40 :]), flush=True)
    if ended.returncode:
        sys.exit(f"exit code {ended.returncode}")


if __name__ == "__main__":
    for tool in ("uv", "uvx", "pipx"):
        if shutil.which(tool, path=str(BIN)) is None:
            sys.exit(f"{tool} is missing: pip install 'counterpoint[release]'")
    main()
