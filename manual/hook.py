"""What MkDocs is told besides `mkdocs.yml`: the reference is made here, and the repository's own pages are taken in."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "manual"))
import reference  # noqa: E402  (beside this file, which is no package)

TAKEN_IN = {
    "README.md": "readme",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "AGENTS.md": "agents",
}
"""Pages of the repository's root → their names below ``project/``."""


def on_files(files: Files, config: Any) -> Files:
    """Adds pages that lie in no file below docs/."""
    for name, make in reference.PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    for name, short in TAKEN_IN.items():
        text = (ROOT / name).read_text("utf-8").replace("](docs/README.md)", "](../README.md)")
        text = re.sub(r"\]\(docs/([^)]+)\)", r"](../\1)", text)
        text = re.sub(r'src="docs/', 'src="../../', text)
        for other, its in TAKEN_IN.items():
            text = text.replace(f"]({other})", f"]({its}.md)")
        files.append(File.generated(config, f"project/{short}.md", content=_without_other_links(text)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links from docs/ to the root lead to the pages that were taken in; to other files of it, they are only names."""
    if page.file.src_uri.startswith(("project/", "reference/")):
        return markdown
    for name, short in TAKEN_IN.items():
        markdown = markdown.replace(f"](../{name})", f"](project/{short}.md)")
    return re.sub(r"\[([^\]]+)\]\(\.\./(?!README\.md|[\w-]+\.md)[^)]*\)", r"\1", markdown)


def _without_other_links(text: str) -> str:
    """Folders and files of the repository that are no pages: their names without a link."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#|\.\./|[\w-]+\.md)[^)]*\)", r"\1", text)
