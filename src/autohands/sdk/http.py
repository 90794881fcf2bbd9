"""The program's one HTTP session, and answers that stream from it within deadlines."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from autohands.protocols.errors import ProviderError, RetryableError
from autohands.protocols.extension import HttpFactory
from autohands.sdk.deadline import Deadlines, ProgressTimer
from autohands.sdk.faults import Service, from_code, from_exception, from_status, read_error
from autohands.sdk.sse import Event, EventParser

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, StreamReader
    from aiohttp.abc import AbstractResolver

CONNECT_SECONDS = 10.0
ERROR_SECONDS = 10.0
LISTING_SECONDS = 30.0
LAST_WORDS_SECONDS = 0.2
ERROR_BYTES = 65_536
LISTING_BYTES = 5 * 1024 * 1024
LARGE_BODY_BYTES = 1 << 20
UNANSWERED_MILLISECONDS = 30_000


class Http:
    """Opens the session on first use, inside the loop; close it last. Calling it gives the session.

    No pool limit, no cookies, no proxies or credentials from the environment, no total time-out: an answer may take an
    hour, and `Deadlines` watch over it. `resolver` makes the connector's resolver, the system's where it is None.
    """

    def __init__(self, resolver: Callable[[], AbstractResolver] | None = None) -> None:
        self._resolver = resolver
        self._session: ClientSession | None = None

    def __call__(self) -> ClientSession:
        """The one session."""
        if self._session is None or self._session.closed:
            self._session = self._open()
        return self._session

    async def close(self) -> None:
        """Close the session and its connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=0, resolver=self._resolver() if self._resolver else None, socket_factory=_socket
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers={"User-Agent": "autohands", "Accept-Encoding": "identity"},
            trust_env=False,
        )


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that notices a peer gone without a word: a pooled connection must not swallow a request."""
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_USER_TIMEOUT", UNANSWERED_MILLISECONDS)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


class Parser(Protocol):
    """What cuts a stream into its events."""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes."""
        ...


class Endpoint(Struct, frozen=True):
    """Where a request goes, with which headers, how long its answer may take, and what cuts it into events."""

    service: Service
    url: str
    headers: Mapping[str, str]
    deadlines: Deadlines = Deadlines()
    parser: Callable[[], Parser] = EventParser


class Answer:
    """A streaming answer. Read `events` until it gives none, say `progress` when they meant something, then `close`."""

    def __init__(self, response: ClientResponse, endpoint: Endpoint, started: float) -> None:
        self._response = response
        self._service = endpoint.service
        self._parser = endpoint.parser()
        # Not a method of this answer: that would be a cycle, and keep all of it until the next collection.
        self._timer = ProgressTimer(endpoint.deadlines, started, partial(_break, response.content, endpoint.service))

    async def events(self) -> list[Event]:
        """The next events, at least one; none at the end of the stream.

        Raises:
            RetryableError: A deadline passed, or the connection broke.
            ProviderError: What came is no event stream.
        """
        self._timer.waiting = True
        try:
            while chunk := await self._response.content.readany():
                if events := self._parser.feed(chunk):
                    return events
        except _broken() as error:
            raise from_exception(self._service, error) from error
        finally:
            self._timer.waiting = False
        return []

    def progress(self) -> None:
        """What came was more than a sign of life."""
        self._timer.progress()

    def hurry(self, seconds: float) -> None:
        """All that matters has come: wait at most `seconds` for anything else."""
        self._timer.hurry(seconds)

    async def drain(self) -> None:
        """Read over what is left, if it comes at once, so that the connection can serve again."""
        if self._response.content.is_eof():
            return
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while await self._response.content.readany():
                    pass
        except RetryableError:
            return
        except _broken():
            return

    def close(self) -> None:
        """Stop reading. A connection with something unread on it is not used again."""
        self._timer.stop()
        self._response.close()


def _break(content: StreamReader, service: Service, text: str) -> None:
    """Let whoever reads the stream fail with `text`."""
    content.set_exception(RetryableError(f"{service.name}: {text}"))


async def post(http: HttpFactory, endpoint: Endpoint, body: bytes) -> Answer:
    """Send a JSON body and open the streaming answer.

    Raises:
        RetryableError: No connection, a passing fault of the service, or no answer within the first deadline.
        ProviderError: The service refuses, or is none.
    """
    started = asyncio.get_running_loop().time()
    deadlines = endpoint.deadlines
    try:
        async with asyncio.timeout(min(deadlines.first_byte_seconds, deadlines.total_seconds)):
            response = await http().post(
                endpoint.url,
                data=body if len(body) < LARGE_BODY_BYTES else io.BytesIO(body),
                headers=endpoint.headers,
                allow_redirects=False,
            )
    except _broken() as error:
        raise from_exception(endpoint.service, error) from error
    if response.status == 200 and response.content_type not in ("application/json", "text/html"):
        return Answer(response, endpoint, started)
    raise await _refusal(response, endpoint.service)


async def _refusal(response: ClientResponse, service: Service) -> RetryableError | ProviderError:
    body = await _read(response, ERROR_BYTES)
    if response.status != 200:
        return from_status(service, response.status, response.headers, body)
    code, message = read_error(body)
    if code:
        return from_code(service, code, message)
    said = message if message.startswith("a web page") else f"it answered with {response.content_type}, not a stream"
    return ProviderError(f"{service.name}: {said}", kind="broken", hint=f"check base_url, now {service.base_url}")


async def _read(response: ClientResponse, most_bytes: int) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(ERROR_SECONDS):
            while len(body) < most_bytes and (chunk := await response.content.readany()):
                body += chunk
    except _broken():
        pass
    finally:
        response.close()
    return body[:most_bytes]


async def get_json(http: HttpFactory, endpoint: Endpoint, body: bytes | None = None) -> Any:
    """The decoded JSON that a GET gives, or with a `body` a POST, at most 5 MB.

    Raises:
        RetryableError, ProviderError: As `post`.
    """
    try:
        async with asyncio.timeout(LISTING_SECONDS):
            response = await http().request(
                "GET" if body is None else "POST",
                endpoint.url,
                data=body,
                headers=endpoint.headers,
                allow_redirects=False,
            )
    except _broken() as error:
        raise from_exception(endpoint.service, error) from error
    if response.status != 200:
        raise await _refusal(response, endpoint.service)
    found = await _read(response, LISTING_BYTES)
    try:
        return msgspec.json.decode(found)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        code, message = read_error(found)
        said = f"{endpoint.service.name}: no JSON ({code or message})"
        raise ProviderError(said, kind="broken", hint=f"check base_url, now {endpoint.service.base_url}") from error


async def get_ids(http: HttpFactory, endpoint: Endpoint) -> list[str]:
    """The ids in the list that a GET gives, bare or under `data`, in order. Raises what `get_json` raises."""
    found = await get_json(http, endpoint)
    rows = found.get("data") if isinstance(found, dict) else found
    return sorted(row["id"] for row in rows or () if isinstance(row, dict) and isinstance(row.get("id"), str))


def ask_now(url: str, headers: Mapping[str, str], seconds: float) -> Any:
    """The decoded JSON that a GET gives; None where there is none.

    It blocks, at every step of the exchange for `seconds` at most: only for a server nearby, to see whether it is
    there, where nothing can be awaited.
    """
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=seconds)
    except (ValueError, HTTPException):
        return None
    try:
        connection.request("GET", parts.path or "/", headers=dict(headers))
        response = connection.getresponse()
        return msgspec.json.decode(response.read(LISTING_BYTES)) if response.status == 200 else None
    except (OSError, HTTPException, ValueError, msgspec.DecodeError, RecursionError):
        return None
    finally:
        connection.close()


def _broken() -> tuple[type[Exception], ...]:
    """What aiohttp raises where a connection cannot be made or breaks; asked for only once something was raised."""
    import aiohttp

    return (aiohttp.ClientError, OSError, RuntimeError, ValueError)
