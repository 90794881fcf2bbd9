"""CR03: a real `autohands serve`, a channel in a folder of its own, and a service outside that keeps what it gets.

Somebody says something in the channel, the program is killed before or after the answer is delivered, and started
again. The service is a directory: `said.jsonl` is what people say, `got.jsonl` what was sent to it, line by line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from msgspec import Struct

from autohands.protocols.outbox import Send
from autohands.storage import open as open_storage
from autohands.testing.script import Turn

from .processes import autohands, environment, serving
from .serving import Server, asked, eventually, server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ANSWER = "The answer is 42.\nGrüße ✓"
LABELLED = f"(may be a repeat) {ANSWER}"
MANIFEST = 'name = "channel-post"\nversion = "1.0.0"\nsummary = "Letters in a directory."\nentry = "post:extension"\n'
CODE = '''
"""A channel whose service is a directory."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec import Struct

from autohands.protocols.channel import Incoming, Outgoing
from autohands.protocols.errors import NotFound
from autohands.sdk import Extension, Host


class Settings(Struct, frozen=True):
    """The table [extensions.channel-post]."""

    directory: str = "."
    idempotent: bool = False
    searchable: bool = False


class Post:
    """Reads what is said, writes what is sent."""

    def __init__(self, settings: Settings) -> None:
        self.idempotent = settings.idempotent
        self._searchable = settings.searchable
        self._directory = Path(settings.directory)

    async def receive(self) -> AsyncIterator[Incoming]:
        told = 0
        while True:
            lines = (self._directory / "said.jsonl").read_text().splitlines()
            for line in lines[told:]:
                yield Incoming(**json.loads(line))
            told = len(lines)
            await asyncio.sleep(0.05)

    async def send(self, message: Outgoing) -> str:
        line = json.dumps({"key": message.key, "thread": message.thread, "text": message.text})
        file = os.open(self._directory / "got.jsonl", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line.encode() + b"\\n")
        finally:
            os.close(file)
        return f"receipt:{message.key}"

    async def find(self, key: str) -> str | None:
        if not self._searchable:
            return None
        if f'"key": "{key}"' not in (self._directory / "got.jsonl").read_text():
            raise NotFound("nothing with that key arrived")
        return f"receipt:{key}"


extension = Extension(name="channel-post", version="1.0.0", summary="Letters in a directory.", config=Settings)


@extension.setup
async def run(host: Host, config: Settings) -> AsyncIterator[None]:
    host.add_channel("post", Post(config))
    yield
'''


class Place(Struct, frozen=True):
    """A running server, its channel's service, and how to ask about both."""

    running: Server
    post: Path
    env: dict[str, str]
    workspace: Path

    def say(self, number: int = 1, thread: str = "kitchen") -> None:
        """Somebody says something, once more with the same id if it was said before."""
        line = json.dumps({"id": f"said-{number}", "peer": "ann", "thread": thread, "text": f"What is it? ({number})"})
        with (self.post / "said.jsonl").open("a") as file:
            file.write(f"{line}\n")

    def got(self) -> list[dict[str, str]]:
        """Every request that reached the service."""
        return [json.loads(line) for line in (self.post / "got.jsonl").read_text().splitlines()]

    def texts(self) -> list[str]:
        """What the service shows to people: one that knows keys drops repeated ones."""
        seen = {each["key"]: each["text"] for each in self.got()}
        return list(seen.values()) if self.env["KNOWS_KEYS"] else [each["text"] for each in self.got()]

    def messages(self) -> list[dict[str, Any]]:
        """The outbox."""
        items: list[dict[str, Any]] = asked("outbox", "list", env=self.env, cwd=self.workspace)["items"]
        return items

    def settled(self, count: int = 1) -> list[dict[str, Any]]:
        """The outbox, when so many messages have come to their end."""

        def look() -> list[dict[str, Any]] | None:
            messages = self.messages()
            return messages if [each["state"] in ("sent", "held") for each in messages] == [True] * count else None

        return eventually(look)

    def die(self) -> None:
        """Wait until the failpoint has killed it; the next start has none."""
        assert self.running.gone() == -9
        self.env.pop("AUTOHANDS_FAILPOINT")


Open: TypeAlias = Callable[..., AbstractContextManager[Place]]


@pytest.fixture
def place(tmp_path: Path, home: Path, workspace: Path) -> Open:
    """Start a server with the channel; `failpoint` kills it."""

    @contextmanager
    def _place(failpoint: str = "", outbox: str = "", **settings: bool) -> Iterator[Place]:
        post = tmp_path / "post"
        post.mkdir()
        for name in ("said.jsonl", "got.jsonl"):
            (post / name).touch()
        install(home, post, outbox, settings)
        with serving(tmp_path, [Turn(text=ANSWER), Turn(text="And more.")]) as service:
            env = environment(home, service, KNOWS_KEYS="yes" if settings.get("idempotent") else "")
            switch("enable", env, workspace)
            if failpoint:
                env["AUTOHANDS_FAILPOINT"] = failpoint
            with server(env, workspace) as running:
                yield Place(running, post, env, workspace)

    return _place


def install(home: Path, post: Path, outbox: str, settings: dict[str, bool]) -> None:
    """Write the extension and the configuration."""
    folder = home / "extensions" / "channel-post"
    folder.mkdir(parents=True, mode=0o700)
    table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    written = {
        folder / "extension.toml": MANIFEST,
        folder / "post.py": CODE,
        home / "config.toml": f'model = "openai/fake"\n\n[outbox]\n{outbox}\n\n[extensions.channel-post]\n'
        f'directory = "{post}"\n{table}',
    }
    for path, text in written.items():
        path.write_text(text)
        path.chmod(0o600)


def switch(how: str, env: dict[str, str], workspace: Path) -> None:
    """Enable or disable the channel's extension."""
    done = autohands("extension", how, "channel-post", env=env, cwd=workspace)
    assert done.returncode == 0, done.stderr


def test_cr03_what_is_said_is_answered_once_and_the_thread_goes_on(place: Open) -> None:
    with place() as there:
        there.say(1)
        there.say(1)  # the service delivers it twice
        there.say(2, "hall")
        messages = there.settled(2)
        assert there.texts() == [ANSWER] * 2
        assert {each["address"] for each in messages} == {"post:kitchen", "post:hall"}
        assert {each["state"] for each in messages} == {"sent"}
        first = next(each for each in messages if each["address"] == "post:kitchen")
        assert first["key"] == f"reply:{first['task']}"
        assert first["receipt"] == f"receipt:{first['key']}"
        task = asked("task", "show", first["task"], env=there.env, cwd=there.workspace)
        assert task["state"] == "done"
        assert there.running.end() == 0
        there.running.restart()
        there.say(3)
        there.settled(3)
        assert there.texts() == [ANSWER, ANSWER, "And more."]


PLAIN: dict[str, Any] = {}
SEARCH: dict[str, Any] = {"searchable": True}
KEYS: dict[str, Any] = {"idempotent": True}
LABEL: dict[str, Any] = {"outbox": 'doubtful = "label"'}


@pytest.mark.parametrize(
    ("failpoint", "how", "texts", "state"),
    [
        # before the answer is durable, before it is taken up, after it is recorded: nothing is in doubt
        ("outbox.after_row", PLAIN, [ANSWER], "sent"),
        ("courier.before_taken", PLAIN, [ANSWER], "sent"),
        ("courier.after_settled", PLAIN, [ANSWER], "sent"),
        # taken up and not sent: nobody knows that it was not
        ("courier.before_sent", PLAIN, [], "held"),
        ("courier.before_sent", SEARCH, [ANSWER], "sent"),
        ("courier.before_sent", KEYS, [ANSWER], "sent"),
        ("courier.before_sent", LABEL, [LABELLED], "sent"),
        # sent, and not acknowledged: nobody knows that it was
        ("courier.after_sent", PLAIN, [ANSWER], "held"),
        ("courier.after_sent", SEARCH, [ANSWER], "sent"),
        ("courier.after_sent", KEYS, [ANSWER], "sent"),
        ("courier.after_sent", LABEL, [ANSWER, LABELLED], "sent"),
    ],
)
def test_cr03_killed_around_the_send_nothing_is_lost_and_nothing_is_blindly_repeated(
    place: Open, failpoint: str, how: dict[str, Any], texts: list[str], state: str
) -> None:
    with place(failpoint, **how) as there:
        there.say()
        there.die()
        there.running.restart()
        messages = there.settled()
        assert [each["state"] for each in messages] == [state]
        assert there.texts() == texts
        assert len({(each["key"], each["text"]) for each in there.got()}) == len(set(texts)), "the same bytes again"
        assert messages[0]["text"] == ANSWER
        assert messages[0]["labelled"] is (LABELLED in texts)


def test_cr03_a_person_decides_what_is_held(place: Open) -> None:
    with place("courier.before_sent") as there:
        there.say()
        there.die()
        there.running.restart()
        (held,) = there.settled()
        assert held["doubtful"]
        assert "may have been delivered" in held["error"]
        decided = asked("outbox", "send", held["id"][:-2], env=there.env, cwd=there.workspace)
        assert decided["state"] in ("pending", "sending", "sent")
        eventually(lambda: there.texts() == [ANSWER])
        (sent,) = eventually(lambda: [each for each in there.messages() if each["state"] == "sent"])
        again = autohands("outbox", "send", sent["id"], env=there.env, cwd=there.workspace)
        assert again.returncode == 1
        assert f"message {sent['id']} is sent" in again.stderr


def test_an_answer_for_a_channel_that_was_disabled_waits_until_it_is_back(place: Open) -> None:
    with place("courier.before_taken") as there:
        there.say()
        there.die()
        switch("disable", there.env, there.workspace)
        there.running.restart()
        (waiting,) = eventually(lambda: [each for each in there.messages() if each["error"]])
        assert (waiting["state"], waiting["attempt"]) == ("pending", 0)
        assert "no extension offers the channel 'post'" in waiting["error"]
        there.running.end()
        switch("enable", there.env, there.workspace)
        there.running.restart()
        there.settled()
        assert there.texts() == [ANSWER]


async def test_the_outbox_is_listed_shown_and_dropped(home: Path, workspace: Path) -> None:
    env = environment(home)
    empty = autohands("outbox", "list", env=env, cwd=workspace)
    assert (empty.returncode, empty.stdout, empty.stderr.strip()) == (0, "", "no messages")
    async with open_storage(home / "autohands.db") as store:
        (message,) = await store.commit(Send(address="post:kitchen", text="Dinner\n  is ready" + "!" * 80))
    table = autohands("outbox", "list", "--state", "pending", env=env, cwd=workspace).stdout
    assert message.id in table
    assert "Dinner is ready!!!" in table
    assert "Dinner\n" in autohands("outbox", "show", message.id[:-3], env=env, cwd=workspace).stdout
    assert asked("outbox", "show", message.id, env=env, cwd=workspace)["due"]
    dropped = autohands("outbox", "drop", message.id, env=env, cwd=workspace)
    assert dropped.stdout == f"{message.id} is dead\n"
    assert asked("outbox", "list", "--state", "pending", env=env, cwd=workspace) == {"items": []}
    missing = autohands("outbox", "drop", "msg_nobody", "--json", env=env, cwd=workspace)
    assert missing.returncode == 2
    assert json.loads(missing.stderr)["error"]["type"] == "NotFound"
