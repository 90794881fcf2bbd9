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

    turns: Annotated[Count, Meta(description="Turns of one run: replies of the model.")] = 100
    time_seconds: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="How long one run may work, over all its attempts; what it waits for others does not count.",
            examples=[3600],
        ),
    ] = None
    model_calls: Annotated[
        Count | None, Meta(description="Model calls of one run, retries and those of its tools too.", examples=[200])
    ] = None
    tool_calls: Annotated[Count | None, Meta(description="Tool calls of one run.", examples=[500])] = None
    tokens: Annotated[
        Count | None, Meta(description="Tokens that one run may use, read and written.", examples=[5_000_000])
    ] = None
    sent_bytes: Annotated[
        Count | None, Meta(description="Bytes that one run may send to models.", examples=[50_000_000])
    ] = None
    runs: Annotated[
        Count, Meta(description="Runs that go on side by side, and a quarter of that in the background; others wait.")
    ] = 256
    parallel: Annotated[Count, Meta(description="Reading tool calls of one reply that run side by side.")] = 8
    output_bytes: Annotated[
        Annotated[int, Meta(ge=1024)],
        Meta(description="Bytes of one tool's output that reach the model; of longer ones the two ends."),
    ] = 32_768
    depth: Annotated[Count, Meta(description="How deep tasks may start further tasks.")] = 8
    children: Annotated[Count, Meta(description="How many tasks one task may start.")] = 1000
    descendants: Annotated[
        Count, Meta(description="How many tasks may be started beneath one that nobody started.")
    ] = 10_000
    drain_seconds: Annotated[
        Annotated[float, Meta(ge=0)],
        Meta(description="How long runs may go on after SIGTERM, before they are interrupted (and resumed later)."),
    ] = 10.0


class Compaction(Struct, frozen=True, kw_only=True):
    """How a conversation is kept within what its model takes."""

    model: Annotated[
        str | None,
        Meta(
            description="Who writes summaries, as provider/model; without it the run's own model.",
            examples=["anthropic/claude-haiku-5-5"],
        ),
    ] = None
    share: Annotated[
        Annotated[float, Meta(gt=0, le=0.95)],
        Meta(description="The share of the model's window at which old results, and then old turns, make room."),
    ] = 0.75
    keep_turns: Annotated[Count, Meta(description="How many of the last turns stay as they are.")] = 4
    unchanged: Annotated[
        bool, Meta(description="A read whose result stands above word for word is answered with where it stands.")
    ] = True


class Budget(Struct, frozen=True, kw_only=True):
    """What may be spent, in USD; `"none"` takes a cap away. A model call that could exceed one is not made."""

    run: Annotated[Cap, Meta(description="One run, with the runs it starts.")] = 5.0
    day: Annotated[Cap, Meta(description="All runs of a day.")] = 20.0
    month: Annotated[Cap, Meta(description="All runs of a month.")] = "none"
    session: Annotated[Cap, Meta(description="All runs of one session, with the runs they start.")] = "none"
    agent: Annotated[Cap, Meta(description="All runs of one agent in a day.")] = "none"
    schedule: Annotated[Cap, Meta(description="All runs of one schedule in a day, with the runs they start.")] = "none"
    unknown_price: Annotated[
        Annotated[float, Meta(ge=0)] | Literal["refuse"],
        Meta(
            description="What a million tokens written count as (a quarter of it: read) where a model's price is not "
            'known; `"refuse"` does not ask such a model.'
        ),
    ] = 40.0

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

    @property
    def session_micro_usd(self) -> int | None:
        """The cap of a session in micro-USD; None: no cap."""
        return _micro_usd(self.session)

    @property
    def agent_micro_usd(self) -> int | None:
        """The cap of an agent's day in micro-USD; None: no cap."""
        return _micro_usd(self.agent)

    @property
    def schedule_micro_usd(self) -> int | None:
        """The cap of a schedule's day in micro-USD; None: no cap."""
        return _micro_usd(self.schedule)

    @property
    def unknown_micro_usd(self) -> int | None:
        """What a million tokens of unknown price count as, in micro-USD; None: such models are refused."""
        return None if self.unknown_price == "refuse" else round(self.unknown_price * _MICRO)


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
    program: Annotated[
        str | None, Meta(description="The program that the command's first word means.", examples=["/usr/bin/git"])
    ] = None
    expires: Annotated[
        Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?$")] | None,
        Meta(description="Until when it holds (UTC without an offset).", examples=["2027-01-31"]),
    ] = None


class Policy(Struct, frozen=True, kw_only=True):
    """What the agent may do: deny over ask over allow, then the narrower rule, then the later one."""

    approval_seconds: Annotated[
        Annotated[float, Meta(gt=0)],
        Meta(description="How long a question to a person stands before it counts as a no."),
    ] = 86_400.0
    approvals_per_hour: Annotated[
        Count | None,
        Meta(description="Questions to people in an hour; a run that wants to ask more rests until it may."),
    ] = 60
    on_unknown: Annotated[
        Literal["tell", "ask"],
        Meta(description="An effect was interrupted: the model is told to check, or a person decides."),
    ] = "tell"
    rule: tuple[PolicyRule, ...] = ()


class Retention(Struct, frozen=True, kw_only=True):
    """How long things are kept; blobs stay as long as something refers to them."""

    sessions_days: Annotated[Count, Meta(description="Days since a session was last used.")] = 90
    sessions: Annotated[Count, Meta(description="How many sessions; the least recently used go first.")] = 10_000
    journal_days: Annotated[Count, Meta(description="Days of a task's events since it ended.")] = 30
    messages_days: Annotated[Count, Meta(description="Days of messages since they were sent or given up.")] = 30


class Storage(Struct, frozen=True, kw_only=True):
    """The database."""

    backups: Annotated[
        Annotated[int, Meta(ge=0)], Meta(description="Daily copies that `serve` keeps in `backups/`; 0 makes none.")
    ] = 3


class Queue(Struct, frozen=True, kw_only=True):
    """How fast tasks of one queue are worked off, whoever serves it; `default` and `background` are served."""

    concurrency: Annotated[Count | None, Meta(description="Tasks that run at once.", examples=[4])] = None
    rate: Annotated[Count | None, Meta(description="Tasks that start within a period.", examples=[10])] = None
    period_seconds: Annotated[Annotated[float, Meta(gt=0)], Meta(description="The period of `rate`.")] = 1.0
    depth: Annotated[Count | None, Meta(description="Tasks that may wait; more are refused for the time.")] = 100_000


class Outbox(Struct, frozen=True, kw_only=True):
    """Messages on their way out."""

    doubtful: Annotated[
        Literal["hold", "label"],
        Meta(description="One that may have been sent already: a person decides, or it is sent again and says so."),
    ] = "hold"
    attempts: Annotated[Count, Meta(description="How often a message is tried before it is given up.")] = 8


class Watch(Struct, frozen=True, kw_only=True):
    """A folder whose changes are work. `{paths}` in the prompt stands for the files."""

    path: Annotated[str, Meta(description="The folder.", examples=["~/inbox"])]
    prompt: Annotated[str, Meta(description="What to do.", examples=["Sort these files: {paths}"])]
    patterns: Annotated[tuple[str, ...], Meta(description="Files that count (globs).", examples=[["*.pdf"]])] = ("**",)
    ignore: Annotated[
        tuple[str, ...], Meta(description="Files that do not, as in .gitignore.", examples=[["*.tmp"]])
    ] = ()
    debounce_seconds: Annotated[
        Annotated[float, Meta(ge=0.05)], Meta(description="How long it must be quiet before the changes are handed on.")
    ] = 2.0
    agent: Annotated[str | None, Meta(description="Who does it.", examples=["general"])] = None
    session: Annotated[
        str | None, Meta(description="The session; without it a new one each time.", examples=["daily"])
    ] = None
    enabled: Annotated[bool, Meta(description="Whether it is watched.")] = True


class Heartbeat(Struct, frozen=True, kw_only=True):
    """A look around at intervals, in a session of its own; without a prompt there is none."""

    prompt: Annotated[str | None, Meta(description="What to look at.", examples=["Is anything waiting for me?"])] = None
    every_seconds: Annotated[Annotated[float, Meta(ge=1)], Meta(description="The interval.")] = 1800.0
    session: Annotated[str, Meta(description="The session.")] = "heartbeat"


class Subscription(Struct, frozen=True, kw_only=True):
    """What is published under a topic is work. `{topic}` and `{payload}` in the prompt stand for it."""

    topic: Annotated[str, Meta(description="The topic; `*` is one word, a last `**` any.", examples=["build.failed"])]
    prompt: Annotated[str, Meta(description="What to do.", examples=["Find out why: {payload}"])]
    agent: Annotated[str | None, Meta(description="Who does it.", examples=["general"])] = None
    session: Annotated[
        str | None, Meta(description="The session; without it a new one each time.", examples=["daily"])
    ] = None


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


class Webhook(Struct, frozen=True, kw_only=True):
    """What a webhook's deliveries ask for: `{payload}`, `{source}` and `{delivery}` in the prompt stand for one."""

    prompt: Annotated[str, Meta(description="What to do.", examples=["Look into this build: {payload}"])]
    agent: Annotated[str | None, Meta(description="Who does it.", examples=["general"])] = None
    session: Annotated[
        str | None, Meta(description="The session; without it a new one each time.", examples=["builds"])
    ] = None


class SourceLimit(Struct, frozen=True, kw_only=True):
    """How much each source may submit; the first table whose `source` matches counts."""

    source: Annotated[str, Meta(description="Whose tasks (a glob).", examples=["channel:*"])] = "webhook:*"
    rate: Annotated[Annotated[float, Meta(gt=0)], Meta(description="Tasks in a period, in the long run.")] = 60.0
    period_seconds: Annotated[Annotated[float, Meta(gt=0)], Meta(description="The period.")] = 60.0
    burst: Annotated[Count, Meta(description="Tasks at once.")] = 20
    runs_per_day: Annotated[Count | None, Meta(description="Tasks a day (UTC).", examples=[1000])] = None


class Schedule(Struct, frozen=True, kw_only=True):
    """A task at set times; `autohands schedule add` makes further ones."""

    prompt: Annotated[str, Meta(description="What to do.", examples=["What is on my list today?"])]
    cron: Annotated[str | None, Meta(description="When: five fields.", examples=["0 7 * * 1-5"])] = None
    every: Annotated[str | None, Meta(description="Or an interval: 90s, 15m, 6h, 1d.", examples=["6h"])] = None
    at: Annotated[str | None, Meta(description="Or once.", examples=["2027-01-01T09:00:00+01:00"])] = None
    timezone: Annotated[
        str | None, Meta(description="Whose clock; the machine's without it.", examples=["Europe/Berlin"])
    ] = None
    catch_up: Annotated[
        Literal["skip", "once", "all"], Meta(description="Times missed: none, the last, or the last `catch_up_most`.")
    ] = "once"
    catch_up_most: Annotated[Count, Meta(description="How many `all` makes up for.")] = 10
    overlap: Annotated[
        Literal["forbid", "queue", "allow"],
        Meta(description="The last one still runs: leave this one out, let it wait, or run both."),
    ] = "forbid"
    jitter_seconds: Annotated[Annotated[float, Meta(ge=0)], Meta(description="Starts are put off by up to this.")] = 0.0
    max_failures: Annotated[
        Annotated[int, Meta(ge=0)], Meta(description="Failures in a row after which it pauses; 0 is never.")
    ] = 5
    agent: Annotated[str | None, Meta(description="Who does it.", examples=["general"])] = None
    model: Annotated[str | None, Meta(description="Its model.", examples=["openai/gpt-5"])] = None
    session: Annotated[
        str | None, Meta(description="The session; without it a new one each time.", examples=["daily"])
    ] = None
    workspace: Annotated[str | None, Meta(description="Its directory.", examples=["~/projects"])] = None
    reply_to: Annotated[
        str | None, Meta(description="Where the answer goes, as channel:thread.", examples=["telegram:12345"])
    ] = None
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
    compaction: Compaction = Compaction()
    budget: Budget = Budget()
    policy: Policy = Policy()
    retention: Retention = Retention()
    storage: Storage = Storage()
    outbox: Outbox = Outbox()
    heartbeat: Heartbeat = Heartbeat()
    server: Server = Server()
    skills: Skills = Skills()
    log: Log = Log()
    providers: dict[Name, Provider] = field(default_factory=dict)
    agents: dict[Name, AgentEntry] = field(default_factory=dict)
    schedules: dict[Name, Schedule] = field(default_factory=dict)
    queues: dict[Name, Queue] = field(default_factory=dict)
    watch: dict[Name, Watch] = field(default_factory=dict)
    subscriptions: dict[Name, Subscription] = field(default_factory=dict)
    webhooks: dict[Name, Webhook] = field(default_factory=dict)
    sources: dict[Name, SourceLimit] = field(default_factory=lambda: {"webhooks": SourceLimit(runs_per_day=1000)})
    extensions: dict[str, Any] = field(default_factory=dict)


def _micro_usd(cap: float | Literal["none"]) -> int | None:
    return None if cap == "none" else round(cap * _MICRO)
