"""Names for files."""

from __future__ import annotations

import re
import unicodedata


def slug(text: str) -> str:
    """Small letters, figures and hyphens; letters lose their accents, anything else parts words."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
