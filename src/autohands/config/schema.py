"""Every key of `config.toml`: its type, its default, and what it means. `config.example.toml` is made from this."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

Count: TypeAlias = Annotated[int, Meta(ge=1)]
Cap: TypeAlias = Annotated[float, Meta(ge=0)] | Literal["none"]
Name: TypeAlias = Annotated[str, Meta(pattern="^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", max_length=64)]
Secret: TypeAlias = Annotated[str, Meta(extra={"secret": True})]
_MICRO = 1_000_000


class Limits(Struct, frozen=True, kw_only=True):
    """What one run may take, and how many there may be."""

    turns: Annotated[Count, Meta(description="Model calls of one run.")] = 100
    time_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="How long one run may take; without it for ever.", examples=[3600]),
    ] = None
    runs: Annotated[Count, Meta(description="Runs that go on side by side; further tasks wait.")] = 256
    parallel: Annotated[Count, Meta(description="Reading tool calls of one reply that run side by side.")] = 8
    output_bytes: Annotated[
        Annotated[int, Meta(ge=1024)],
        Meta(description="Bytes of one tool's output that reach the model; of longer ones the two ends."),
    ] = 32_768


class Budget(Struct, frozen=True, kw_only=True):
    """What may be spent, in USD; `"none"` takes a cap away. A model call that could exceed one is not made."""

    run: Annotated[Cap, Meta(description="One run, with the runs it starts.")] = 5.0
    day: Annotated[Cap, Meta(description="All runs of a day.")] = 20.0
    month: Annotated[Cap, Meta(description="All runs of a month.")] = "none"

    @property
    def run_micro_usd(self) -> int | None:
        """The cap of a run in micro-USD; None: no cap."""
        return _micro_usd(self.run)

    @property
    def day_micro_usd(self) -> int | None:
        """The cap of a day in micro-USD; None: no cap."""
        return _micro_usd(self.day)

    @property
    def month_micro_usd(self) -> int | None:
        """The cap of a month in micro-USD; None: no cap."""
        return _micro_usd(self.month)


class PolicyRule(Struct, frozen=True, kw_only=True):
    """What becomes of the calls that match every given pattern (globs)."""

    then: Annotated[Literal["allow", "ask", "deny"], Meta(description="What becomes of the call.", examples=["deny"])]
    tool: Annotated[str | None, Meta(description="The tool's name.", examples=["exec"])] = None
    effect: Annotated[
        str | None,
        Meta(description="What it does: read, idempotent, compensable or irreversible.", examples=["irreversible"]),
    ] = None
    path: Annotated[str | None, Meta(description="A file it names.", examples=["secrets/*"])] = None
    command: Annotated[str | None, Meta(description="The command it runs.", examples=["git push*"])] = None
    host: Annotated[str | None, Meta(description="The host of the URL it names.", examples=["*.example.com"])] = None
    source: Annotated[
        str | None, Meta(description="Where the task came from: cli, api, schedule, …", examples=["schedule"])
    ] = None


class Policy(Struct, frozen=True, kw_only=True):
    """What the agent may do: deny over ask over allow, then the narrower rule, then the later one."""

    approval_seconds: Annotated[
        Annotated[float, Meta(gt=0)],
        Meta(description="How long a question to a person stands before it counts as a no."),
    ] = 86_400.0
    rule: tuple[PolicyRule, ...] = ()


class Retention(Struct, frozen=True, kw_only=True):
    """How long things are kept; blobs stay as long as something refers to them. Not read yet."""

    sessions_days: Annotated[Count, Meta(description="Days since a session was last used.")] = 90
    sessions: Annotated[Count, Meta(description="How many sessions; the least recently used go first.")] = 10_000
    journal_days: Annotated[Count, Meta(description="Days of a task's events since it ended.")] = 30


class Storage(Struct, frozen=True, kw_only=True):
    """The database; nothing of it can be set yet."""


class Server(Struct, frozen=True, kw_only=True):
    """Where `autohands serve` listens. Not read yet."""

    host: Annotated[str, Meta(description="The address; 127.0.0.1 is this machine alone.")] = "127.0.0.1"
    port: Annotated[Annotated[int, Meta(ge=0, le=65_535)], Meta(description="The port; 0 takes a free one.")] = 8080


class Provider(Struct, frozen=True, kw_only=True):
    """A model service under a name of its own, used as `NAME/model`."""

    kind: Annotated[str, Meta(description="Whose protocol it speaks.", examples=["openai"])] = "openai"
    base_url: Annotated[
        str | None, Meta(description="Where it is; known services need none.", examples=["http://127.0.0.1:8000/v1"])
    ] = None
    api_key: Annotated[Secret | None, Meta(description="Its key.", examples=["${ACME_API_KEY}"])] = None
    model: Annotated[
        str | None, Meta(description="The model that is meant where none is named.", examples=["large"])
    ] = None


class AgentEntry(Struct, frozen=True, kw_only=True):
    """An agent; longer ones are written as `agents/NAME.md`."""

    prompt: Annotated[str, Meta(description="Its system prompt.", examples=["You review Python code."])]
    summary: Annotated[str, Meta(description="What it is for.", examples=["Reviews code."])] = ""
    model: Annotated[str | None, Meta(description="Its model.", examples=["openai/gpt-5"])] = None
    tools: Annotated[tuple[str, ...], Meta(description="Tools it may use: names and globs.")] = ("*",)
    skills: Annotated[tuple[str, ...], Meta(description="Skills it is offered: names and globs.")] = ("*",)
    max_turns: Annotated[Count | None, Meta(description="Model calls of one run.", examples=[20])] = None


class Schedule(Struct, frozen=True, kw_only=True):
    """A task at set times. Not read yet."""

    schedule: Annotated[str, Meta(description="When: a cron expression.", examples=["0 7 * * 1-5"])]
    prompt: Annotated[str, Meta(description="What to do.", examples=["What is on my list today?"])]
    timezone: Annotated[
        str | None, Meta(description="Whose clock; the machine's without it.", examples=["Europe/Berlin"])
    ] = None
    agent: Annotated[str | None, Meta(description="Who does it.", examples=["general"])] = None
    enabled: Annotated[bool, Meta(description="Whether it fires.")] = True


class Skills(Struct, frozen=True, kw_only=True):
    """Where skills are found. Not read yet."""

    paths: Annotated[
        tuple[str, ...], Meta(description="Folders of skills besides the state directory's own `skills`.")
    ] = ()


class Log(Struct, frozen=True, kw_only=True):
    """What the program writes about itself."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important that is written.")
    ] = "info"


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration."""

    model: Annotated[
        str | None,
        Meta(
            description="The model, as provider/model; without it the first provider that has a key.",
            examples=["anthropic/claude-sonnet-5-5"],
        ),
    ] = None
    agent: Annotated[str, Meta(description="The agent that works where none is named.")] = "general"
    workspace: Annotated[
        str | None,
        Meta(
            description="The directory whose files the agent works on; without it the current one.",
            examples=["~/projects"],
        ),
    ] = None
    limits: Limits = Limits()
    budget: Budget = Budget()
    policy: Policy = Policy()
    retention: Retention = Retention()
    storage: Storage = Storage()
    server: Server = Server()
    skills: Skills = Skills()
    log: Log = Log()
    providers: dict[Name, Provider] = field(default_factory=dict)
    agents: dict[Name, AgentEntry] = field(default_factory=dict)
    schedules: dict[Name, Schedule] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)


def _micro_usd(cap: float | Literal["none"]) -> int | None:
    return None if cap == "none" else round(cap * _MICRO)
