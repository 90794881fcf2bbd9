"""The one session and its streaming answers, against servers on loopback."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from autohands.protocols.errors import ProviderError, RetryableError
from autohands.sdk.deadline import Deadlines
from autohands.sdk.faults import Service
from autohands.sdk.http import LARGE_BODY_BYTES, Endpoint, Http, get_json, post

QUICK = Deadlines(first_byte_seconds=0.8, idle_seconds=0.8, total_seconds=20.0)


def endpoint(url: str, deadlines: Deadlines = Deadlines()) -> Endpoint:  # noqa: B008  frozen
    return Endpoint(Service("acme", "ACME_API_KEY", url), f"{url}/x", {"Authorization": "Bearer k"}, deadlines)


@asynccontextmanager
async def serving(*handlers: tuple[str, object]) -> AsyncIterator[str]:
    """A web server on loopback with these paths; gives its address."""
    app = web.Application(client_max_size=1 << 26)
    for path, handler in handlers:
        app.router.add_route("*", path, handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    opened = Http()
    yield opened
    await opened.close()


async def two_events(request: web.Request) -> web.StreamResponse:
    await request.read()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: one\n\n: ping\n\n")
    await response.write(b"data: two\n\n")
    await response.write_eof()
    return response


def test_nothing_of_it_is_loaded_before_it_is_used() -> None:
    code = "import sys, autohands.sdk.http as h; h.Http(); sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0


async def test_one_session_opened_on_first_use_and_again_after_close() -> None:
    http = Http()
    await http.close()
    first = http()
    assert http() is first
    await http.close()
    assert first.closed
    assert http() is not first
    await http.close()


async def test_events_arrive_and_the_connection_serves_again(http: Http) -> None:
    async with serving(("/x", two_events)) as url:
        for _ in range(3):
            answer = await post(http, endpoint(url), b"{}")
            said = []
            while events := await answer.events():
                said += [event.data for event in events]
            await answer.drain()
            answer.close()
            assert said == ["one", "two"]
        connector = http().connector
        assert connector is not None
        assert sum(map(len, connector._conns.values())) == 1


async def test_no_cookies_no_proxies_no_redirects(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[web.Request] = []

    async def sets_a_cookie(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"data": []}, headers={"Set-Cookie": "a=b"})

    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/steal"})

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serving(("/x", sets_a_cookie), ("/away/x", elsewhere)) as url:
        for _ in range(2):
            assert await get_json(http, endpoint(url)) == {"data": []}
        with pytest.raises(ProviderError, match="redirected to http://127"):
            await post(http, endpoint(f"{url}/away"), b"{}")
    assert "Cookie" not in seen[1].headers
    assert seen[0].headers["Accept-Encoding"] == "identity"
    assert seen[0].headers["User-Agent"] == "autohands"


async def test_no_queue_at_a_hundred_connections(http: Http) -> None:
    all_here = asyncio.Event()
    waiting = 0

    async def wait_for_all(request: web.Request) -> web.Response:
        nonlocal waiting
        waiting += 1
        if waiting == 120:
            all_here.set()
        await all_here.wait()
        return web.json_response({})

    async with serving(("/x", wait_for_all)) as url, asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(120):
            group.create_task(get_json(http, endpoint(url)))


async def test_the_resolver_is_the_callers() -> None:
    class ToLoopback(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            if host != "model.test":
                raise OSError(-2, "Name or service not known")
            found = ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)
            return [found]

        async def close(self) -> None:
            return

    http = Http(ToLoopback)
    async with serving(("/x", two_events)) as url:
        port = url.rpartition(":")[2]
        (await post(http, endpoint(f"http://model.test:{port}"), b"{}")).close()
        with pytest.raises(RetryableError, match=r"other\.test:\d+: the name cannot be resolved") as caught:
            await post(http, endpoint(f"http://other.test:{port}"), b"{}")
        assert "network" in (caught.value.hint or "")
    await http.close()


async def test_pr13_nobody_listens_or_speaks_tls(http: Http) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(RetryableError, match="no connection"):
            await post(http, endpoint(f"http://127.0.0.1:{free.getsockname()[1]}"), b"{}")
    async with serving(("/x", two_events)) as url:
        with pytest.raises(ProviderError, match="no TLS connection"):
            await post(http, endpoint(url.replace("http:", "https:")), b"{}")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "no-url", "http://"])
async def test_a_url_that_is_none_is_named(http: Http, url: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await post(http, endpoint(url), b"{}")
    assert "base_url" in (caught.value.hint or "")


async def test_a_large_body_goes_out_whole(http: Http) -> None:
    async def size(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        assert request.content_length == len(body)
        return web.Response(body=f"data: {len(body)}\n\n".encode(), content_type="text/event-stream")

    async with serving(("/x", size)) as url:
        for body in (b"x" * 10, b"x" * (LARGE_BODY_BYTES + 1)):
            answer = await post(http, endpoint(url), body)
            assert [event.data for event in await answer.events()] == [str(len(body))]
            answer.close()


async def test_pr01_silence_before_the_headers_ends_at_the_first_deadline(http: Http) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(("/x", never)) as url, asyncio.timeout(10):
        with pytest.raises(RetryableError, match="no answer in time"):
            await post(http, endpoint(url, QUICK), b"{}")


async def test_pr04_a_pooled_connection_that_went_silent_is_not_used_again() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the first request of the first connection, then nothing more on it."""
        nonlocal connections
        connections += 1
        mute = connections == 1
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 11\r\n\r\ndata: one\n\n"
        asked = 0
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                asked += 1
                if mute and asked > 1:
                    await reader.read()
                    return
                writer.write(head)
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    http = Http()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def ask() -> str:
        answer = await post(http, endpoint(url, QUICK), b"")
        try:
            return (await answer.events())[0].data
        finally:
            await answer.drain()
            answer.close()

    async with asyncio.timeout(10):
        assert await ask() == "one"
        with pytest.raises(RetryableError, match="no answer in time"):
            await ask()
        assert await ask() == "one"
    assert connections == 2
    server.close()
    await http.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (
            lambda: web.Response(text="<html>Welcome</html>", content_type="text/html"),
            "a web page instead of an answer",
        ),
        (lambda: web.Response(text="not json"), "no JSON"),
        (lambda: web.Response(body=b"[" + b"1," * 3_000_000), "no JSON"),
        (lambda: web.json_response({"error": {"message": "no key"}}, status=401), "no key"),
    ],
)
async def test_a_listing_that_is_none_is_named(http: Http, response: object, text: str) -> None:
    async def give(request: web.Request) -> web.Response:
        made: web.Response = response()  # type: ignore[operator]
        return made

    async with serving(("/x", give)) as url:
        with pytest.raises(ProviderError, match=text):
            await get_json(http, endpoint(url))


async def test_an_answer_that_is_no_stream_is_named(http: Http) -> None:
    async def whole(request: web.Request) -> web.Response:
        return web.Response(text=json.dumps({"choices": []}), content_type="application/json")

    async with serving(("/x", whole)) as url:
        with pytest.raises(ProviderError, match="it answered with application/json, not a stream") as caught:
            await post(http, endpoint(url), b"{}")
    assert caught.value.kind == "broken"
