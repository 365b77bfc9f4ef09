"""URLs without their secrets: whatever is shown, logged or saved goes through here."""

from __future__ import annotations

import re

_SECRET = re.compile(r"([?&][^=&#]*(?:pass|pwd|token|key|secret|sig|auth|user)[^=&#]*=)[^&#]*", re.IGNORECASE)


def redact(text: str) -> str:
    """Return a URL without its user name, password and secret-looking query values; other text as it is."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # a password with a slash in it ends the host early: then cut at the last @ of all
    broken = "@" in rest and "@" not in host and re.search(r":(?!\d*$)", host) is not None
    cut = rest.rpartition("@")[2] if broken else host.rpartition("@")[2] + rest[len(host) :]
    rest = f"***@{cut}" if cut != rest else rest
    return scheme + mark + _SECRET.sub(r"\1***", rest)
