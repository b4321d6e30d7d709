"""Secrets, taken out of what leaves the machine: cassettes, traces, exports, answers to other programs. Pure.

Two ways of knowing one: by its value, where the environment has it under a name such as ``…_API_KEY``; and by its
shape, where providers give keys one. Neither finds a password in prose: what is secret should not be in a prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

MARK = "[secret removed]"
SHORTEST = 8
"""Characters of a value that is looked for: shorter ones stand in texts by chance."""

_NAMES = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|AUTH)(?:$|_)", re.IGNORECASE)
_SHAPES = re.compile(
    r"""
      (?<![A-Za-z0-9_-])(?:sk|pk|rk)[-_](?=[A-Za-z_-]{0,100}\d)[A-Za-z0-9_-]{16,512}
    | (?<![A-Za-z0-9_-])(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-)[A-Za-z0-9_-]{16,255}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | (?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{30,50}
    | (?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,4096}
    | -----BEGIN\ [A-Z ]{0,40}PRIVATE\ KEY-----(?:[^-"]|-(?!----)){0,20000}-----END\ [A-Z ]{0,40}PRIVATE\ KEY-----
    | (?<=[Bb]earer\ )[A-Za-z0-9._~+/=-]{16,4096}
    | (?<=://)[^\s/:@"'\\<>,{}]{1,100}:[^\s/:@"'\\<>,{}]{1,200}(?=@)
    """,
    re.VERBOSE,
)
"""None of them looks further than the secret is long, or twice at the same place: texts may be hostile. None goes
across a quotation mark: a whole JSON document may be searched, and is one afterwards."""


class Redaction:
    """Takes secrets out of texts. `environ` says by value which there are; `more` are further values."""

    def __init__(self, environ: Mapping[str, str], more: Iterable[str] = ()) -> None:
        known = {value for name, value in environ.items() if _NAMES.search(name)} | set(more)
        long = {value for value in known if len(value) >= SHORTEST}
        escaped = {json.dumps(value, ensure_ascii=False)[1:-1] for value in long}
        values = sorted(long | escaped, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, values))) if values else None

    def text(self, text: str) -> str:
        """The text, with a mark where a secret was.

        >>> Redaction({"X_API_KEY": "opensesame"}).text("say opensesame")
        'say [secret removed]'
        """
        if self._values is not None:
            text = self._values.sub(MARK, text)
        return _SHAPES.sub(MARK, text)

    def document(self, data: bytes) -> bytes:
        """The same for a whole file; what is not UTF-8 in it stays as it is."""
        return self.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def value(self, value: Any) -> Any:
        """The same for every text inside of a JSON value, names of members included."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(each) for each in cast("list[Any]", value)]
            case dict():
                members = cast("dict[str, Any]", value).items()
                return {self.text(name): self.value(each) for name, each in members}
            case _:
                return value
