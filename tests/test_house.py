"""What AGENTS.md, the docs and pyproject.toml promise about this repository, as far as a program can check it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from importlinter.cli import lint_imports

import counterpoint
from counterpoint.cli.main import COMMANDS, HIDDEN
from counterpoint.script.parse import parse

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))["project"]


def scripts() -> list[Any]:
    """The JavaScript blocks of all pages."""
    texts = ((page.name, page.read_text(encoding="utf-8")) for page in PAGES)
    blocks = [(name, code) for name, text in texts for code in re.findall(r"^```js\n(.*?)^```", text, re.M | re.S)]
    return [pytest.param(code, id=f"{name}-{n}") for n, (name, code) in enumerate(blocks)]


def test_every_import_keeps_to_the_contracts() -> None:
    assert lint_imports(str(ROOT / "pyproject.toml"), no_logo=True, no_cache=True) == 0


def test_the_drawing_in_the_docs_is_the_contract_that_is_checked() -> None:
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    checked = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    drawn = re.findall(r"^```\n(__main__\n.*?)^```", read("docs/how-it-works.md"), re.M | re.S)

    assert drawn == ["".join(re.sub(r"[()]", "", layer) + "\n" for layer in checked)]


def test_the_changelog_has_this_version_or_what_is_unreleased() -> None:
    newest = re.findall(r"^## \[([^\]]+)\]", read("CHANGELOG.md"), re.M)[0]

    assert newest in ("Unreleased", counterpoint.__version__)


def test_the_readme_has_every_command() -> None:
    rows = "".join(re.findall(r"^\| (`.*?) \| ", read("README.md"), re.M))

    assert [name for name in COMMANDS if name not in HIDDEN and not re.search(rf"`{name}\b", rows)] == []


def test_every_dependency_is_justified() -> None:
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    declared = {re.split(r"[^A-Za-z0-9-]", line)[0] for group in groups for line in group} - {"counterpoint"}
    rows = re.findall(r"^\| (`.*?) \|", read("docs/dependencies.md"), re.M)
    justified = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}

    assert justified == declared


def test_the_guide_for_agents_is_short() -> None:
    assert len(read("AGENTS.md").splitlines()) <= 100


def test_links_between_pages_lead_somewhere() -> None:
    links = [
        (page, link) for page in PAGES for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    ]

    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("code", scripts())
def test_scripts_in_the_docs_are_workflows(code: str) -> None:
    assert parse(code, "docs.js").meta.name
