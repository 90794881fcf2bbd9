"""What went wrong between us and a model service, in our error tree, with the likely cause and the remedy."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from autohands.protocols.errors import ProviderError, RetryableError

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_WAIT_SECONDS = 86_400.0
SHOWN_CHARACTERS = 300

_PASSING_STATUS = frozenset({408, 409, 425, 429})
# Text, compiled by `re` when a fault is first read: most programs never read one.
_PASSING_CODES = (
    r"(?i)rate_?limit|overloaded|server_error|internal_?service_?error|api_error|timeout|unavailable|slow_down|"
    r"try_again"
)
_PASSING_NUMBER = r"(408|429|5\d\d)\b"
_SPEND = (
    r"(?i)insufficient_quota|billing|credit balance|spend(ing)?.limit|exceeded your current quota|usage limits?\b|"
    r"insufficient.(balance|credits|funds)|payment.required|AccountOverdue|SetLimitExceeded|QuotaExceeded"
)
_OVERFLOW = (
    r"(?i)context.?(length|window).{0,20}exceed|exceed\w*.{0,40}context|maximum context length|prompt is too long|"
    r"too many (input )?tokens|input is too long|request_too_large|reduce the length|longer than the model|"
    r"input length .{0,20}exceeds?|greater than the context length|token count .{0,20}exceeds|maximum prompt length|"
    r"exceeds? max message tokens|context (size|length) (is )?too small|context.overflow|max_new_tokens. must be <="
)
_REFUSED = r"(?i)content_filter|sensitive_?content|content_policy|policy_violation|invalid_prompt|safety|cyber_policy"
_AUTH = r"(?i)invalid_api_key|authentication_error|permission_error|invalid x-api-key"


class Service(msgspec.Struct, frozen=True):
    """How a service is called in messages: its name, the secret that opens it, its base URL."""

    name: str
    key: str
    base_url: str


def from_status(
    service: Service, status: int, headers: Mapping[str, str], body: bytes
) -> RetryableError | ProviderError:
    """The error for an HTTP status that is not 200."""
    code, message = read_error(body)
    said = f"{service.name}: {message or f'HTTP {status}'}" + (f" (HTTP {status})" if message else "")
    about = f"{code} {message}"
    if status in _PASSING_STATUS or status >= 500:
        if status == 429 and re.search(_SPEND, about):
            return _spent(service, said)
        return RetryableError(said, retry_after_seconds=retry_after(headers))
    if 300 <= status < 400:
        where = headers.get("Location", "somewhere else")
        return ProviderError(f"{service.name}: redirected to {where[:200]}", kind="invalid", hint=_base_url(service))
    if status == 407:
        return ProviderError(said, kind="auth", hint="a proxy on the way wants credentials")
    if status == 402 or (status == 403 and re.search(_SPEND, about)):
        return _spent(service, said)
    if status in (401, 403) and not re.search(_REFUSED, about):
        return _locked(service, said)
    if status == 404:
        hint = f"is the model's name right? If so: {_base_url(service)}"
        return ProviderError(said, kind="invalid", hint=hint)
    return final(service, said, about)


def from_code(service: Service, code: str, message: str) -> RetryableError | ProviderError:
    """The error for an error event within a stream that began with 200."""
    said = f"{service.name}: {message or code or 'an error without a name'}"
    about = f"{code} {message}"
    if re.search(_SPEND, about):
        return _spent(service, said)
    if re.search(_AUTH, code):
        return _locked(service, said)
    if re.search(_PASSING_CODES, code) or not code or re.match(_PASSING_NUMBER, code):
        return RetryableError(said)
    return final(service, said, about)


def final(service: Service, said: str, about: str) -> ProviderError:
    """The error for a request that will not succeed as it is; `about` is the service's code and message."""
    if re.search(_SPEND, about):
        return _spent(service, said)
    if re.search(_OVERFLOW, about):
        return ProviderError(said, kind="overflow", hint="the conversation is longer than the model takes")
    if re.search(_REFUSED, about):
        return ProviderError(said, kind="refused", hint="the service will not answer this; word it differently")
    if re.search(_AUTH, about):
        return _locked(service, said)
    return ProviderError(said, kind="invalid", hint="the service does not accept this request as it is")


def read_error(body: bytes) -> tuple[str, str]:
    """Code and message of an error body, whichever of the usual shapes it has; a web page is named as such."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        text = " ".join(body[:4096].decode("utf-8", "replace").split())
        if text.startswith("<"):
            title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE)
            return "", f"a web page instead of an answer{f': {title[1][:80]}' if title else ''}"
        return "", _shown(text)
    return error_fields(found)


def error_fields(found: Any) -> tuple[str, str]:
    """Code and message of a decoded error: `{"error": {…}}`, `{"error": "…"}`, `{"message": …}` or a list of one."""
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict):
        found = found.get("error") or found.get("detail") or found
    if not isinstance(found, dict):
        return "", _shown(str(found))
    kinds = [str(found[name]) for name in ("code", "type", "status") if found.get(name)]
    return " ".join(kinds), _shown(str(found.get("message") or ""))


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that the service asks to wait (RFC 9110, section 10.2.3), at most a day; None if it does not say.

    `retry-after-ms` wins where present. A negative or unreadable value says nothing; a date gone by means now.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST_WAIT_SECONDS)
    value = headers.get("Retry-After")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None:
        seconds = _until(value, now)
    return None if seconds is None else min(seconds, LONGEST_WAIT_SECONDS)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(value: str, now: datetime | None) -> float | None:
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - (now or datetime.now(UTC))).total_seconds(), 0.0)


def from_exception(service: Service, error: Exception) -> RetryableError | ProviderError:
    """The error for a connection that could not be made or broke: aiohttp's `ClientError`, `OSError`, `ValueError`."""
    import aiohttp

    where = _host(service)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _distrusted(where, error)
    if isinstance(error, aiohttp.ClientSSLError):
        hint = f"does {service.base_url} speak TLS? Use http:// for a local server without it"
        return ProviderError(f"{where}: no TLS connection ({_reason(error)})", kind="broken", hint=hint)
    if isinstance(error, aiohttp.NonHttpUrlClientError | ValueError):
        return ProviderError(f"{where}: {_shown(str(error))}", kind="invalid", hint=_base_url(service))
    if isinstance(error, aiohttp.ClientResponseError):
        said = f"{where}: the answer is not HTTP ({_shown(error.message)})"
        return ProviderError(said, kind="broken", hint=_base_url(service))
    return _passing(service, where, error)


def _passing(service: Service, where: str, error: Exception) -> RetryableError:
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorDNSError):
        hint = f"is there a network? If so: {_base_url(service)}"
        return RetryableError(f"{where}: the name cannot be resolved", hint=hint)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        said = f"{where}: no connection within the time allowed"
        return RetryableError(said, hint="is there a network, or a firewall in the way?")
    if isinstance(error, aiohttp.ClientConnectorError):
        return RetryableError(f"{where}: no connection ({_reason(error)})", hint=_base_url(service))
    if isinstance(error, TimeoutError):
        return RetryableError(f"{where}: no answer in time")
    return RetryableError(f"{where}: the connection was lost ({_reason(error)})")


def _distrusted(where: str, error: Exception) -> ProviderError:
    import ssl

    cause = getattr(error, "certificate_error", error)
    reason = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)
    hint = "an intercepting proxy? Point SSL_CERT_FILE at its certificate"
    if "expired" in reason or "not yet valid" in reason:
        hint = "is this machine's clock right?"
    return ProviderError(f"{where}: its certificate is not trusted ({_shown(reason)})", kind="broken", hint=hint)


def _spent(service: Service, said: str) -> ProviderError:
    return ProviderError(said, kind="spend", hint=f"add credit or raise the limit of your account at {service.name}")


def _locked(service: Service, said: str) -> ProviderError:
    return ProviderError(said, kind="auth", hint=f"check {service.key}")


def _base_url(service: Service) -> str:
    return f"check base_url, now {service.base_url}"


def _host(service: Service) -> str:
    return service.base_url.partition("://")[2].partition("/")[0].rpartition("@")[2] or service.name


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error.__cause__ or error
    return _shown(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__)


def _shown(text: str) -> str:
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
