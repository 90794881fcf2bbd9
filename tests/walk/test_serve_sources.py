"""`autohands serve` hears everything that may bring work: one task for each, asked of the model as it was told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from msgspec import Struct

import autohands as product
from autohands.protocols.errors import TooBusy
from autohands.testing.script import Turn

from .processes import Service, autohands, environment, serving
from .serving import Server, asked, eventually, reload, server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MODEL = 'model = "openai/fake"\n'
MANIFEST = 'name = "beats"\nversion = "1.0.0"\nsummary = "Beats."\nentry = "beats:extension"\n'
CODE = '''
"""A source that reads lines from a file, and an observer that writes one when the loop goes to sleep."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from autohands.sdk import Extension, Host, Observer, Phase, Task

HERE = Path(os.environ["BEATS"])


class Lines:
    modes = ("default", "background")

    async def tasks(self) -> AsyncIterator[Task]:
        while True:
            for line in (HERE / "in.txt").read_text().splitlines():
                if line == "break":
                    raise RuntimeError("the line is broken")
                yield Task(prompt=line, idempotency_key=line)
            await asyncio.sleep(0.05)


def sleeps(phase: Phase) -> None:
    with (HERE / "sleeps.txt").open("a") as file:
        file.write("z")


extension = Extension(name="beats", version="1.0.0", summary="Beats.")


@extension.setup
async def run(host: Host, config: None) -> AsyncIterator[None]:
    host.add_source("lines", Lines())
    host.add_observer(Observer(name="sleeps", notice=sleeps, phases=Phase.BEFORE_WAITING))
    yield
'''


class Place(Struct, frozen=True):
    """A running server with a model that always says the same, and how to ask about both."""

    running: Server
    service: Service
    home: Path
    workspace: Path
    env: dict[str, str]

    def asked(self, *arguments: str) -> Any:
        """A command's JSON."""
        return asked(*arguments, env=self.env, cwd=self.workspace)

    def prompts(self) -> list[str]:
        """What the model was asked, each conversation's first words."""
        return [_first_words(each["body"]) for each in self.service.requests()]

    def said(self, words: str) -> list[str]:
        """Lines of its log with these words."""
        return [each["text"] for each in self.running.told() if words in each.get("text", "")]

    def watches(self, folders: int = 1) -> None:
        """Wait until it watches so many folders: what came before that was there before."""
        files = Path(f"/proc/{self.running.process.pid}/fdinfo")
        if files.exists():
            eventually(lambda: sum("inotify wd:" in _read(each) for each in files.iterdir()) == folders)

    def done(self, prompt: str) -> None:
        """Wait until a task with that prompt is done."""
        eventually(lambda: any(each["prompt"] == prompt and each["state"] == "done" for each in self.tasks()))

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks, newest first."""
        items: list[dict[str, Any]] = self.asked("task", "list")["items"]
        return items


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # closed meanwhile
        return ""


def _first_words(body: dict[str, Any]) -> str:
    said = next(each for each in body.get("messages") or body["input"] if each.get("role") == "user")
    content = said["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return text.partition("<environment>")[0]


Open: TypeAlias = Callable[..., AbstractContextManager[Place]]


@pytest.fixture
def place(tmp_path: Path, home: Path, workspace: Path) -> Open:
    """Serve with a configuration."""

    @contextmanager
    def _place(config: str, **more: str) -> Iterator[Place]:
        (home / "config.toml").write_text(MODEL + config)
        with serving(tmp_path, [Turn(text="Done.")] * 3) as service:
            env = environment(home, service, **more)
            with server(env, workspace) as running:
                yield Place(running, service, home, workspace, env)

    return _place


def watch(path: Path, prompt: str = "Sort {paths}", **more: object) -> str:
    lines = [f'path = "{path}"', f'prompt = "{prompt}"', "debounce_seconds = 0.1"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    return "[watch.inbox]\n" + "\n".join(lines) + "\n"


def test_a_file_that_is_dropped_into_a_watched_folder_is_one_task(place: Open, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "old.txt").write_text("was there before")
    with place(watch(inbox, patterns=["*.txt"])) as there:
        there.watches()
        (inbox / "no.pdf").write_text("does not count")
        (inbox / "letter.txt").write_text("Dear all")
        prompt = f"Sort {inbox / 'letter.txt'}"
        there.done(prompt)
        assert there.prompts() == [prompt]
        (task,) = there.tasks()
        assert task["source"] == "watch:inbox"
        assert there.running.told("task.ended", task=task["id"], state="done", source="watch:inbox")


def test_what_is_published_under_a_topic_is_a_task_also_while_nobody_serves(place: Open) -> None:
    with place('[subscriptions.builds]\ntopic = "build.*"\nprompt = "{topic}: {payload}"\n') as there:
        there.asked("topic", "publish", "build.failed", '{"n": 1}')
        there.done('build.failed: {"n":1}')
        assert there.running.end() == 0
        there.asked("topic", "publish", "build.fixed", '{"n": 2}')
        there.asked("topic", "publish", "other.fixed", '{"n": 3}')
        there.running.restart()
        there.done('build.fixed: {"n":2}')
        assert [each["source"] for each in there.tasks()] == ["topic:builds"] * 2


def test_bu09_a_delivery_that_comes_twice_is_one_run(place: Open) -> None:
    with place('[webhooks.ci]\nprompt = "Look at {payload}"\n') as there:
        first, again = (there.asked("webhook", "deliver", "ci", '{"job": 7}', "--id", "d1") for _ in range(2))
        assert first["id"] == again["id"]
        there.done('Look at {"job":7}')
        other = autohands("webhook", "deliver", "ci", '{"job": 8}', "--id", "d1", env=there.env, cwd=there.workspace)
        assert (other.returncode, "idempotency key" in other.stderr) == (1, True)
        assert there.prompts() == ['Look at {"job":7}']
        assert [each["source"] for each in there.tasks()] == ["webhook:ci"]


async def test_bu09_a_storm_is_told_to_come_back_later(home: Path, workspace: Path) -> None:
    webhook = {"webhooks": {"ci": {"prompt": "Look"}}}
    async with product.open(home, workspace, webhook, serve=False) as hands:
        for number in range(20):
            await hands.deliver("ci", str(number), {})
        with pytest.raises(TooBusy, match="webhook:ci submits more than 60 tasks in 60 s") as refused:
            await hands.deliver("ci", "one more", {})
        assert refused.value.retry_after_seconds > 0
        assert len(await hands.storage.tasks()) == 20


def test_bu09_more_runs_than_a_day_may_have_wait_for_the_next(home: Path, workspace: Path) -> None:
    limited = '[webhooks.ci]\nprompt = "Look"\n[sources.webhooks]\nruns_per_day = 2\n'
    (home / "config.toml").write_text(MODEL + limited)
    env = environment(home)
    for number in range(2):
        asked("webhook", "deliver", "ci", "{}", "--id", str(number), env=env, cwd=workspace)
    third = autohands("webhook", "deliver", "ci", "{}", "--id", "3", env=env, cwd=workspace)
    assert third.returncode == 1
    assert "webhook:ci has started 2 runs today, of 2; it goes on at midnight UTC" in third.stderr


def test_the_heart_beats_in_a_session_of_its_own(place: Open) -> None:
    with place('[heartbeat]\nprompt = "Look around"\nevery_seconds = 1\n') as there:
        eventually(lambda: len([each for each in there.tasks() if each["state"] == "done"]) >= 2)
        assert {each["source"] for each in there.tasks()} == {"heartbeat"}
        assert len({each["session"] for each in there.tasks()}) == 1


def test_a_task_begins_when_the_one_it_comes_after_has_ended(place: Open) -> None:
    with place("") as there:
        first = there.asked("task", "submit", "First", "--not-before", "1s")["id"]
        second = there.asked("task", "submit", "Second", "--after", first)["id"]
        there.done("Second")
        ended = there.asked("task", "show", first)["ended"]
        begun = [
            each for each in there.asked("task", "show", second, "--events")["events"] if each["type"] == "run.started"
        ]
        assert datetime.fromtimestamp(begun[0]["at"] / 1000, UTC) >= datetime.fromisoformat(ended)
        assert there.prompts() == ["First", "Second"]


def test_a_source_and_an_observer_of_an_extension_are_heard_until_it_is_disabled(
    place: Open, home: Path, workspace: Path, tmp_path: Path
) -> None:
    beats = tmp_path / "beats"
    beats.mkdir()
    (beats / "in.txt").write_text("One\n")
    folder = home / "extensions" / "beats"
    folder.mkdir(parents=True, mode=0o700)
    for name, text in (("extension.toml", MANIFEST), ("beats.py", CODE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    env = environment(home, BEATS=str(beats))
    assert autohands("extension", "enable", "beats", env=env, cwd=workspace).returncode == 0
    with place("", BEATS=str(beats)) as there:
        there.done("One")
        assert there.tasks()[0]["source"] == "lines"
        assert (beats / "sleeps.txt").exists()
        (beats / "in.txt").write_text("break\n")
        failed = eventually(lambda: there.running.told(level="error"))
        assert "source lines failed: RuntimeError: the line is broken" in failed[0]["text"]
        (beats / "in.txt").write_text("Two\n")  # it is begun again
        there.done("Two")
        assert autohands("extension", "disable", "beats", env=there.env, cwd=workspace).returncode == 0
        assert there.running.end() == 0
        (beats / "in.txt").write_text("Three\n")
        (beats / "sleeps.txt").unlink()
        there.running.restart()
        there.asked("task", "submit", "Four")
        there.done("Four")
        assert not (beats / "sleeps.txt").exists()
        assert "Three" not in {each["prompt"] for each in there.tasks()}


# --- SIGHUP ----------------------------------------------------------------------------------------------------------


def follow(there: Place, config: str) -> None:
    """Have it follow another configuration."""
    before = len(there.running.told(text="the configuration was read anew"))
    (there.home / "config.toml").write_text(MODEL + config)
    reload(there.running)
    eventually(lambda: len(there.running.told(text="the configuration was read anew")) > before)


def test_sighup_another_folder_is_watched_and_the_same_one_goes_on_undisturbed(place: Open, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with place(watch(first)) as there:
        there.watches()
        (first / "a").write_text("a")
        there.done(f"Sort {first / 'a'}")
        (first / "b").write_text("b")  # told of, and not yet handed on, while everything else changes
        follow(there, watch(first) + "[limits]\nturns = 7\n")
        there.done(f"Sort {first / 'b'}")
        follow(there, watch(second))
        there.watches()
        (first / "c").write_text("c")
        (second / "d").write_text("d")
        there.done(f"Sort {second / 'd'}")
        follow(there, watch(second, enabled=False))
        there.watches(0)
        (second / "e").write_text("e")
        there.asked("task", "submit", "Last")
        there.done("Last")
        assert len(there.prompts()) == 4


def test_sighup_limits_of_queues_the_heartbeat_and_the_log(place: Open) -> None:
    with place("") as there:
        limited = "[queues.background]\nconcurrency = 3\n"
        follow(there, limited + '[heartbeat]\nprompt = "Look around"\nevery_seconds = 1\n')
        there.done("Look around")
        queue = next(each for each in there.asked("queue", "list")["items"] if each["queue"] == "background")
        assert queue["concurrency"] == 3
        follow(there, '[limits]\nruns = 3\n[log]\nlevel = "warning"\n')
        beats = len(there.running.told("task.began"))
        assert there.running.told(text="limits.runs has changed: it is taken in when the program starts again")
        there.asked("task", "submit", "Quietly")
        there.done("Quietly")
        assert len(there.running.told("task.began")) == beats


def test_sighup_a_subscription_that_is_gone_piles_nothing_up(place: Open) -> None:
    subscription = '[subscriptions.builds]\ntopic = "{}"\nprompt = "{{payload}}"\n'
    with place(subscription.format("build.failed")) as there:
        follow(there, subscription.format("build.fixed"))
        there.asked("topic", "publish", "build.failed", '{"n": 1}')
        there.asked("topic", "publish", "build.fixed", '{"n": 2}')
        there.done('{"n":2}')
        assert [each["pattern"] for each in there.asked("topic", "list")["items"]] == ["build.fixed"]
        follow(there, "")
        assert there.asked("topic", "list")["items"] == []
        assert there.prompts() == ['{"n":2}']


def test_cr16_a_broken_configuration_is_refused_whole_and_the_last_good_one_stays(place: Open) -> None:
    good = '[schedules.daily]\ncron = "0 7 * * *"\nprompt = "Go"\n'
    broken: list[tuple[bytes | None, str]] = [
        (b"model = 7\n", "config.toml:1: model"),
        (b"\xff\xfe\x00", "config.toml:1: byte 0xff is not UTF-8"),
        (b'model = "openai/fake"\n[watch.x]\npath = "/x"\n', "config.toml:2"),
        (b'model = "${NOBODY_HAS_SET_THIS}"\n', "NOBODY_HAS_SET_THIS"),
        (
            b'[queues.background]\nconcurrency = 1\n[schedules.daily]\ncron = "61 7 * * *"\nprompt = "Go"\n',
            "config.toml:3: schedules.daily: cron",
        ),
        (
            b'[queues.background]\nconcurrency = 1\n[watch.x]\npath = "."\nprompt = "x"\npatterns = [""]\n',
            "config.toml:3: watch.x",
        ),
        (None, "config.toml is gone"),
    ]
    with place(good) as there:
        path = there.home / "config.toml"
        for content, reason in broken:
            path.unlink() if content is None else path.write_bytes(content)
            reload(there.running)
            refused = eventually(partial(there.said, reason))
            assert refused[0].startswith("the configuration in force stays: "), refused
        path.write_text("")  # for the commands that ask
        assert [each["name"] for each in there.asked("schedule", "list")["items"]] == ["daily"]
        assert not [each for each in there.asked("queue", "list")["items"] if each.get("concurrency")]
        assert there.running.process.poll() is None
        assert not there.running.told(text="the configuration was read anew")
