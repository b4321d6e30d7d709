"""The sandbox of macOS: a profile for ``sandbox-exec``, made from the same description of a cell as the others. Pure.

Of the rules of a profile that speak of an operation the last one holds, and a path is known by its name alone. So what
lies deeper comes later; and where something inside of the workspace is hidden or kept, no folder on the way to it may
be renamed, or it would have another name. Paths are parameters (``-D``), never text of the profile: what stands in one
cannot end a rule.

Written after Apple's public profiles, and tried here only by a reader of our own (there is no macOS to run it on).
Where ``sandbox-exec`` does not take it, there is no sandbox, and the run asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SCRATCH = "SCRATCH"
"""The parameter for the command's folder of temporary files."""
Use = Literal["hidden", "passed", "readable", "writable", "pinned", "kept"]
"""`passed` is on the way to the workspace and says no more than that it is there; `pinned` keeps its name."""

_ALWAYS = """\
(version 1)
(deny default)
(allow process-exec process-fork)
(allow process-info* signal (target same-sandbox))
(allow sysctl-read)
(allow ipc-posix-sem)
(allow mach-lookup
  (global-name "com.apple.system.opendirectoryd.libinfo")
  (global-name "com.apple.system.logger")
  (global-name "com.apple.system.notification_center"))
(allow file-read*)
(allow file-write-data
  (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty") (literal "/dev/dtracehelper"))
(allow file-ioctl (literal "/dev/tty") (literal "/dev/dtracehelper"))"""
_NETWORK = """\
(allow network-outbound network-inbound network-bind)
(allow system-socket)
(allow mach-lookup
  (global-name "com.apple.SystemConfiguration.configd")
  (global-name "com.apple.dnssd.service")
  (global-name "com.apple.trustd")
  (global-name "com.apple.trustd.agent"))"""
_RULES: dict[Use, str] = {
    "hidden": "(deny file* (subpath {}))",
    "passed": "(allow file-read-metadata (literal {}))",
    "readable": "(allow file-read* (subpath {}))",
    "writable": "(allow file-read* file-write* (subpath {}))",
    "pinned": "(deny file-write-unlink (literal {}))",
    "kept": "(deny file-write* file-link (subpath {}))",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What a command may do in one place, and in all that is in it. The path is the real one, without links."""

    path: Path
    use: Use


def profile(grounds: Sequence[Ground], *, network: bool) -> tuple[str, dict[str, str]]:
    """The text of a profile, and its parameters; the folder for temporary files is one more, `SCRATCH`."""
    names: dict[Path, str] = {}
    rules: list[str] = []
    for ground in sorted({*grounds, *_ways(grounds)}, key=_place):
        name = names.setdefault(ground.path, f"P{len(names)}")
        rules.append(_RULES[ground.use].format(f'(param "{name}")'))
    scratch = f'(allow file-read* file-write* (subpath (param "{SCRATCH}")))'
    text = "\n".join([_ALWAYS, *([_NETWORK] if network else []), *rules, scratch, ""])
    return text, {name: str(path) for path, name in names.items()}


def _place(ground: Ground) -> tuple[int, int, str]:
    """What lies deeper comes later; for the same place, in the order of `_RULES`."""
    return len(ground.path.parts), list(_RULES).index(ground.use), str(ground.path)


def _ways(grounds: Sequence[Ground]) -> Iterator[Ground]:
    """The folders on the way to what has rules of its own inside of something else."""
    hidden = [ground.path for ground in grounds if ground.use == "hidden"]
    writable = [ground.path for ground in grounds if ground.use == "writable"]
    for ground in grounds:
        around, use = (writable, "pinned") if ground.use in ("hidden", "kept") else (hidden, "passed")
        for parent in ground.path.parents:
            if any(parent.is_relative_to(path) for path in around):
                yield Ground(parent, use)
