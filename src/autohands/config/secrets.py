"""Secrets: found by name, and shown as fingerprints, never as they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

_SECRET = r"(?i)(^|[_.-])(api_?key|key|token|secret|password|passphrase|credentials?|authorization)$"
_USER_IN_URL = r"(?<=://)[^/@\s]+(?=@)"
_SHOWN_FROM = 20


class Secrets:
    """Secrets and endpoints of the environment; one that is set to nothing counts as not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def get(self, name: str) -> str | None:
        """The secret, or None."""
        return self._environ.get(name) or None


def is_secret(name: str) -> bool:
    """Whether a key or a variable of that name holds a secret: `api_key`, `GITHUB_TOKEN`."""
    return re.search(_SECRET, name) is not None


def fingerprint(secret: str) -> str:
    """Enough to tell a secret from another: `sk-…a1b2 (sha256:1234abcd)`. Of short ones only the hash."""
    if not secret:
        return "(empty)"
    digest = hashlib.sha256(secret.encode()).hexdigest()[:8]
    ends = f"{secret[:3]}…{secret[-4:]}" if len(secret) >= _SHOWN_FROM else "…"
    return f"{ends} (sha256:{digest})"


def without_user(text: str) -> str:
    """A text with the user and password of its URLs as a fingerprint."""
    return re.sub(_USER_IN_URL, lambda found: fingerprint(found[0]), text)
