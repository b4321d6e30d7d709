"""The head of a Markdown file between two ``---`` lines.

Not YAML but the part of it that agent files use: ``key: text``, quoted text, ``[a, b]``, ``- a`` lists, ``|`` and ``>``
blocks, text that goes on in indented lines. A YAML library would be worse here: real files write
``description: Use this when: …`` without quotes, which is an error in YAML and plain to everybody else. Whatever is
nested deeper is kept as unread text: none of the keys that have it is honoured.
"""

from __future__ import annotations

import json
import re

Values = dict[str, str | list[str]]
"""Keys in lower case; a value is text or a list of texts."""

_KEY = re.compile(r"^([A-Za-z_][\w.-]*)[ \t]*:(?:[ \t]+(.*))?$")
_BLOCK = re.compile(r"^([|>])[+-]?\d?$")


class FrontMatterError(ValueError):
    """The file is no definition. The message says what is wrong, as a sentence."""


def split(text: str) -> tuple[Values, str]:
    """The values of the head, and the body. Raises FrontMatterError where there is no head."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != "---":
        raise FrontMatterError("it does not start with '---'; a definition starts with its name and description.")
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise FrontMatterError("its head has no closing '---'.")
    return _values(lines[1:end]), "\n".join(lines[end + 1 :])


def _values(lines: list[str]) -> Values:
    heads = [(n, found) for n, line in enumerate(lines) if (found := _KEY.match(line))]
    ends = [n for n, _ in heads[1:]] + [len(lines)]
    _nothing_before(lines[: heads[0][0]] if heads else lines)
    return {
        found[1].lower(): _value((found[2] or "").strip(), lines[n + 1 : end])
        for (n, found), end in zip(heads, ends, strict=True)
    }


def _nothing_before(lines: list[str]) -> None:
    stray = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), None)
    if stray is not None:
        raise FrontMatterError(f"its head has a line that is no 'key: value': {stray.strip()[:60]!r}.")


def _value(first: str, more: list[str]) -> str | list[str]:
    block = _BLOCK.match(first)
    if block:
        return _block(block[1], more)
    more = [line for line in more if line.strip() and not line.lstrip().startswith("#")]
    if not first and more and more[0].lstrip().startswith("- "):
        return [_scalar(item) for item in _items(more)]
    more = [line.strip() for line in more]
    if first[:1] in ("'", '"'):
        return _scalar(" ".join([first, *more]))
    whole = " ".join(filter(None, map(_scalar, [first, *more])))
    if whole.startswith("[") and whole.endswith("]"):
        return [_scalar(item.strip()) for item in whole[1:-1].split(",") if item.strip()]
    return whole


def _items(lines: list[str]) -> list[str]:
    """The entries of a list; lines that stand deeper go on with the entry before them."""
    margin = len(lines[0]) - len(lines[0].lstrip())
    items: list[str] = []
    for line in lines:
        text = line.strip()
        if text.startswith("- ") and len(line) - len(line.lstrip()) <= margin:
            items.append(text[2:].strip())
        else:
            items[-1] = f"{items[-1]} {text}"
    return items


def _block(style: str, lines: list[str]) -> str:
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    cut = min(indents, default=0)
    plain = [line[cut:].rstrip() for line in lines]
    return ("\n" if style == "|" else " ").join(plain).strip()


def _scalar(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    comment = text.find(" #")
    return text[:comment].rstrip() if comment >= 0 else text
