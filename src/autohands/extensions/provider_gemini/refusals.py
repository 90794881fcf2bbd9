"""Google's errors (google.rpc.Status) in the words that every provider's errors have. No I/O.

Source: ai.google.dev/gemini-api/docs/troubleshooting and /rate-limits; google/rpc/error_details.proto.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from autohands.protocols.errors import ProviderError, RetryableError
from autohands.sdk.faults import Service, from_status

_JSON = msgspec.json.Encoder()
_OVERFLOW = re.compile(r"exceeds? the maximum (number of tokens|allowed)|token count .{0,40}exceeds|too many tokens")
_BAD_KEY = re.compile(r"(?i)API_KEY|API key (not valid|not found|expired)|unregistered callers")
_LONG_QUOTA = re.compile(r"PerDay|PerMonth|PerProjectSpend")
_NO_QUOTA = re.compile(r"limit: 0\b")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


class Refusal(Struct, frozen=True):
    """An error: its code in the common words, what was said, and how long to wait if that was said, too."""

    code: str
    message: str
    retry_after_seconds: float | None = None


def read_refusal(found: Any) -> Refusal | None:
    """What a decoded error means; None where it is not one of Google's."""
    if isinstance(found, list) and found:
        found = found[0]
    error = found.get("error", found) if isinstance(found, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("status"), str):
        return None
    message, status = str(error.get("message") or ""), error["status"]
    details = [each for each in error.get("details") or () if isinstance(each, dict)]
    reasons = " ".join(str(each["reason"]) for each in details if each.get("reason"))
    if status == "RESOURCE_EXHAUSTED":
        return _exhausted(message, details)
    if _BAD_KEY.search(f"{reasons} {message}"):
        return Refusal("invalid_api_key", message)
    if status == "INVALID_ARGUMENT" and _OVERFLOW.search(message):
        return Refusal("context_length_exceeded", message)
    return Refusal(f"{error.get('code', '')} {status}".strip(), message, _wait(details))


def refuse(service: Service, status: int, headers: Mapping[str, str], body: bytes) -> RetryableError | ProviderError:
    """The error for an HTTP status that is not 200."""
    try:
        refusal = read_refusal(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        refusal = None
    if refusal is None:
        return from_status(service, status, headers, body)
    if refusal.retry_after_seconds is not None:
        headers = {"Retry-After": str(refusal.retry_after_seconds)}
    plain = {"error": {"code": refusal.code, "message": refusal.message}}
    return from_status(service, status, headers, _JSON.encode(plain))


def _exhausted(message: str, details: list[dict[str, Any]]) -> Refusal:
    """A quota of minutes is worth waiting for; one of days, or one that was never granted, is not.

    The vendor says the same words of all of them, so that the quota itself is named instead.
    """
    wait = _wait(details)
    found = [each for detail in details for each in detail.get("violations") or () if isinstance(each, dict)]
    quotas = ", ".join(dict.fromkeys(str(each["quotaId"]) for each in found if each.get("quotaId")))
    if _LONG_QUOTA.search(quotas) or _NO_QUOTA.search(message):
        return Refusal("insufficient_quota", f"{quotas or 'the quota'} is used up: {message}")
    if wait is not None or quotas:
        return Refusal("rate_limit", f"{quotas or 'the quota'} is used up for now", wait)
    return Refusal("rate_limit", message)


def _wait(details: list[dict[str, Any]]) -> float | None:
    for detail in details:
        if found := _SECONDS.fullmatch(str(detail.get("retryDelay", ""))):
            return float(found[1])
    return None
