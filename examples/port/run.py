"""Ports a library of eight Python files to JavaScript: `python examples/port/run.py`.

The library is copied into a new folder, which becomes a git repository; then the bundled workflow `port` runs there.
Its model is a recorded one on loopback, unless you name another: `python examples/port/run.py --model anthropic:NAME`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.fakes.recorded import Recorded  # noqa: E402  the fakes stand in the repository, not in the package
from tests.fakes.server import Fake  # noqa: E402  as above

ARGS = {
    "from": "ledger",
    "to": "port",
    "pattern": "[a-z]*.py",
    "language": "JavaScript (ES modules, without packages)",
    "extension": "mjs",
    "rules": "names in camelCase; ValueError is RangeError; helpers that several files need stand in port/python.mjs",
    "build": "node build.mjs",
    "test": "node test_port.mjs",
}
RULES = ("--allow", "Edit(port/**)", "--allow", "Bash(node *)")


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=Example", "-c", "user.email=example@localhost", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603  our own words


def prepare(folder: Path) -> None:
    """The library in a repository with one commit."""
    shutil.copytree(HERE / "original", folder, ignore=shutil.ignore_patterns("__pycache__"))
    git(folder, "init", "--quiet", "-b", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "The library in Python")


def port(folder: Path, model: list[str]) -> int:
    command = [sys.executable, "-m", "counterpoint", "run", "port", "--args", json.dumps(ARGS), *RULES, *model]
    return subprocess.run(command, cwd=folder, check=False).returncode  # noqa: S603  our own words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("ledger-port"), help="a new one; ledger-port")
    parser.add_argument("--model", help="of a provider; without it, recorded answers are used")
    given = parser.parse_args()
    if shutil.which("node") is None:
        print("This example needs node: it runs the ported library.", file=sys.stderr)
        return 2
    if given.folder.exists():
        print(f"{given.folder} is there already; name a new folder.", file=sys.stderr)
        return 2
    prepare(given.folder)
    if given.model:
        return port(given.folder, ["--model", given.model])
    os.environ["ANTHROPIC_API_KEY"] = "no-key-is-needed"
    with Fake() as fake:
        fake.otherwise = Recorded(HERE / "answers").reply
        return port(given.folder, ["--model", "anthropic:recorded", "--base-url", fake.url])


if __name__ == "__main__":
    sys.exit(main())
