"""What the terminal can do, as far as its variables tell."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping


def takes_screens(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a terminal on which a cursor can be moved: a pipe is none, and neither is a dumb one."""
    return sys.stdin.isatty() and sys.stdout.isatty() and not is_dumb(environ)


def is_dumb(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written there can never be written over."""
    return environ.get("TERM", "") in ("dumb", "unknown")


def speaks_unicode(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether it shows more than ASCII. Where no variable says anything, it is taken for a present-day one."""
    if environ.get("TERM", "").startswith("vt"):
        return False
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "UTF-8"
    return "utf8" in locale.lower().replace("-", "")


def shows_colour(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether it has colours, by what the system knows of its kind; an unknown kind has them."""
    try:
        import curses
    except ImportError:  # Windows
        return True
    try:
        curses.setupterm(environ.get("TERM", "unknown"))
    except (curses.error, TypeError, ValueError, OSError):
        return True
    return curses.tigetnum("colors") > 0
