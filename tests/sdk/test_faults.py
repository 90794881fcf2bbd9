"""What a service's refusals and broken connections become in our error tree."""

import errno
import json
import ssl
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from autohands.protocols.errors import ProviderError, RetryableError
from autohands.sdk.faults import LONGEST_WAIT_SECONDS, Service, from_code, from_exception, from_status, retry_after

SERVICE = Service("acme", "ACME_API_KEY", "https://api.acme.test/v1")
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
KEY = ConnectionKey("api.acme.test", 443, True, True, None, None, None)


def body(message: str, code: str | None = None, kind: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "type": kind}}).encode()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("-5", None),
        ("86400", 86_400.0),
        ("999999999", LONGEST_WAIT_SECONDS),
        ("inf", None),
        ("nan", None),
        ("soon, perhaps", None),
        ("", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2036 12:00:00 GMT", LONGEST_WAIT_SECONDS),
        ("Sun, 22 Nov 2026 12:00:30", 30.0),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_pr05_retry_after_in_all_its_forms(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}, NOW) == seconds


def test_pr05_milliseconds_win_and_silence_is_none() -> None:
    assert retry_after({"retry-after-ms": "1500", "Retry-After": "9"}, NOW) == 1.5
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_pr05_passing_statuses_may_be_tried_again(status: int) -> None:
    error = from_status(SERVICE, status, {"Retry-After": "3"}, body("Overloaded"))
    assert isinstance(error, RetryableError)
    assert error.retry_after_seconds == 3.0
    assert error.text == f"acme: Overloaded (HTTP {status})"


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (401, body("Incorrect API key provided", "invalid_api_key"), "auth"),
        (403, body("Your key lacks this permission"), "auth"),
        (403, body("flagged by our content_policy", "content_policy_violation"), "refused"),
        (402, body("Insufficient Balance"), "spend"),
        (429, body("You exceeded your current quota, please check your plan", "insufficient_quota"), "spend"),
        (400, body("Your credit balance is too low to access the API"), "spend"),
        (400, body("You have reached your specified API usage limits."), "spend"),
        (400, body("This model's maximum context length is 128000 tokens.", "context_length_exceeded"), "overflow"),
        (400, body("prompt is too long: 210000 tokens > 200000 maximum"), "overflow"),
        (400, body("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"), "overflow"),
        (413, body("Request exceeds the maximum size", None, "request_too_large"), "overflow"),
        (400, body("Invalid prompt", "invalid_prompt"), "refused"),
        (400, body("Invalid value for 'temperature'"), "invalid"),
        (404, body("The model `x` does not exist", "model_not_found"), "invalid"),
        (422, b'{"detail": [{"msg": "extra fields not permitted"}]}', "invalid"),
        (407, b"", "auth"),
        (302, b"", "invalid"),
        (418, b"short and stout", "invalid"),
    ],
)
def test_pr05_final_statuses_say_who_has_to_act(status: int, said: bytes, kind: str) -> None:
    error = from_status(SERVICE, status, {"Location": "/elsewhere"}, said)
    assert isinstance(error, ProviderError)
    assert error.kind == kind
    assert error.text.startswith("acme: ")
    assert error.hint


def test_the_hint_names_the_secret_and_the_url() -> None:
    assert from_status(SERVICE, 401, {}, b"").hint == "check ACME_API_KEY"
    assert "https://api.acme.test/v1" in (from_status(SERVICE, 404, {}, b"").hint or "")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head>", "a web page instead of an answer: 502 Bad Gateway"),
        (b"<!DOCTYPE html><p>no title</p>", "a web page instead of an answer"),
        (b"upstream connect error", "upstream connect error"),
        (b"", "HTTP 502"),
        (b"\xff\xfe\x00", "HTTP 502"),
        (b'{"error": "Service is sleeping"}', "Service is sleeping"),
        (b'{"message": "try later"}', "try later"),
        (b'[{"error": {"message": "in a list"}}]', "in a list"),
        (b'{"error": {"message": "\\ud800"}}', "502"),
        (b"null", "None"),
        (b"[" * 100_000, "[[["),
    ],
)
def test_pr05_a_body_of_any_shape_gives_a_short_text(said: bytes, text: str) -> None:
    error = from_status(SERVICE, 502, {}, said)
    assert isinstance(error, RetryableError)
    assert text in error.text
    assert len(error.text) < 400
    assert error.text.encode()


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("overloaded_error", "Overloaded", None),
        ("rate_limit_exceeded", "slow down", None),
        ("server_error", "oops", None),
        ("502 provider_error", "upstream", None),
        ("429", "busy", None),
        ("", "who knows", None),
        ("insufficient_quota", "no money", "spend"),
        ("authentication_error", "who are you", "auth"),
        ("invalid_request_error", "prompt is too long", "overflow"),
        ("content_filter", "no", "refused"),
        ("400", "bad field", "invalid"),
    ],
)
def test_pr05_error_events_within_a_stream(code: str, message: str, kind: str | None) -> None:
    error = from_code(SERVICE, code, message)
    assert isinstance(error, RetryableError) is (kind is None)
    assert getattr(error, "kind", None) == kind


def expired() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("raised", "text", "hint"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")), "resolved", "network"),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "Connection refused")), "refused", "base_url"),
        (aiohttp.ConnectionTimeoutError("x"), "no connection within", "network"),
        (aiohttp.ServerDisconnectedError(), "connection was lost", ""),
        (aiohttp.ClientPayloadError("not all data"), "connection was lost", ""),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer", ""),
        (TimeoutError(), "no answer in time", ""),
    ],
)
def test_pr13_passing_faults_of_the_network_name_the_likely_cause(raised: Exception, text: str, hint: str) -> None:
    error = from_exception(SERVICE, raised)
    assert isinstance(error, RetryableError)
    assert error.text.startswith("api.acme.test: ")
    assert text in error.text
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("raised", "text", "hint"),
    [
        (aiohttp.ClientConnectorCertificateError(KEY, expired()), "has expired", "clock"),
        (aiohttp.ClientConnectorCertificateError(KEY, ValueError("self-signed")), "self-signed", "SSL_CERT_FILE"),
        (aiohttp.ClientConnectorSSLError(KEY, OSError(1, "wrong version number")), "no TLS", "http://"),
        (aiohttp.InvalidURL("htp:/x"), "htp:/x", "base_url"),
        (aiohttp.NonHttpUrlClientError("ftp://x"), "ftp://x", "base_url"),
        (ValueError("Newline in header"), "Newline in header", "base_url"),
    ],
)
def test_pr13_final_faults_of_the_network_name_the_remedy(raised: Exception, text: str, hint: str) -> None:
    error = from_exception(SERVICE, raised)
    assert isinstance(error, ProviderError)
    assert text in error.text
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    "said",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "Total tokens of image and text exceed max message tokens",
        "Prompt contains 33000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        "the request exceeds the available context size, try increasing it",
        "the input length exceeds the context length",
        "Trying to keep the first 5000 tokens when context overflows. However, the model is loaded with 4096 tokens",
        "Please reduce the length of the messages or completion.",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000",
        "Input is too long for requested model.",
    ],
)
def test_pr10_a_prompt_that_is_too_long_is_known_in_each_vendors_wording(said: str) -> None:
    error = from_status(SERVICE, 400, {}, body(said))
    assert isinstance(error, ProviderError)
    assert error.kind == "overflow"


@pytest.mark.parametrize("said", ["max_tokens must be at least 1", "messages: at least one message is required"])
def test_pr10_other_refusals_are_no_overflow(said: str) -> None:
    error = from_status(SERVICE, 400, {}, body(said))
    assert isinstance(error, ProviderError)
    assert error.kind == "invalid"
