"""What one life of the program is to do, as the harness tells it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from autohands.protocols.task import OnUnknown


class Order(Struct, frozen=True, kw_only=True):
    """One task that the client wants done.

    `script` has an entry for each turn: the tools that the model calls in it, joined by `+`. `control` is what the
    client does with it on the way: `cancel`, `pause` or `speak`; `after` has it wait for another. With `reply` its
    answer is sent to the recorder.
    """

    key: str
    session: str
    script: tuple[str, ...]
    control: str = ""
    on_unknown: OnUnknown = "tell"
    reply: bool = False

    @property
    def prompt(self) -> str:
        """What the model is told."""
        return f"do {self.key} {','.join(self.script)} "


class Plan(Struct, frozen=True, kw_only=True):
    """One life. `finish` says to stop when all is done, `errands` that the client has some. `chore` is done at the end:
    `back_up` or `retain`. `broken` names a fault to build in.
    """

    directory: str
    orders: tuple[Order, ...]
    life: int = 1
    finish: bool = False
    errands: bool = False
    chore: str = ""
    broken: str = ""

    @property
    def home(self) -> Path:
        """The state directory."""
        return Path(self.directory, "home")

    @property
    def workspace(self) -> Path:
        """The directory that the tools see."""
        return Path(self.directory, "workspace")

    @property
    def sink(self) -> Path:
        """Where bodies tell what they do."""
        return Path(self.directory, "sink")

    @property
    def database(self) -> Path:
        """The journal."""
        return self.home / "autohands.db"


class Birth(Struct):
    """How the harness asks for a life."""

    plan: Plan
    environment: dict[str, str] = {}
