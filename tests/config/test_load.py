"""Defaults ← file ← environment ← options, and every problem in one go."""

import sys
from pathlib import Path

import pytest
from msgspec import Struct

from autohands.config import Config, load
from autohands.config.load import problem_line, read_source, salvage, strays, variables
from autohands.config.schema import PolicyRule
from autohands.protocols.errors import ConfigError


class BrowserConfig(Struct, frozen=True):
    """What a test's extension takes."""

    headless: bool = True
    pages: int = 4


class KeyedConfig(Struct, frozen=True):
    """An extension's table with a key that must be there and a check of its own."""

    api_key: str
    retries: int = 0

    def __post_init__(self) -> None:
        if self.retries > 9:
            raise ValueError("retries: at most 9")


def write(home: Path, text: str) -> Path:
    path = home / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def problems(home: Path, text: str, environ: dict[str, str] | None = None, **more: object) -> list[str]:
    path = write(home, text)
    with pytest.raises(ConfigError) as caught:
        load(home, environ or {}, **more)  # type: ignore[arg-type]
    return caught.value.text.replace(str(path), "config.toml").splitlines()


def test_without_a_file_there_are_defaults(home: Path) -> None:
    loaded = load(home, {})
    assert loaded.config == Config()
    assert loaded.origin(("limits", "turns")) == "default"
    assert (loaded.config.limits.turns, loaded.config.budget.run_micro_usd, loaded.config.budget.day_micro_usd) == (
        100,
        5_000_000,
        20_000_000,
    )
    assert loaded.config.budget.month_micro_usd is None


def test_each_layer_stands_over_the_one_before(home: Path) -> None:
    path = write(home, 'model = "file/m"\n[limits]\nturns = 1\nparallel = 2\noutput_bytes = 2048\n')
    environ = {"AUTOHANDS_LIMITS_PARALLEL": "3", "AUTOHANDS_LIMITS_OUTPUT_BYTES": "4096", "AUTOHANDS_AGENT": ""}
    loaded = load(home, environ, options={"limits": {"output_bytes": 8192}, "model": None})
    limits = loaded.config.limits
    assert (loaded.config.model, limits.turns, limits.parallel, limits.output_bytes) == ("file/m", 1, 3, 8192)
    assert [loaded.origin(tuple(key.split("."))) for key in ("model", "limits.turns", "limits.time_seconds")] == [
        f"{path}:1",
        f"{path}:3",
        "default",
    ]
    assert loaded.origin(("limits", "parallel")) == "environment AUTOHANDS_LIMITS_PARALLEL"
    assert loaded.origin(("limits", "output_bytes")) == "option"
    assert loaded.origin(("agent",)) == "default"


def test_options_may_be_dotted(home: Path) -> None:
    loaded = load(home, {}, options={"limits.turns": 7, "providers.acme.base_url": "http://127.0.0.1:1"})
    assert loaded.config.limits.turns == 7
    assert loaded.config.providers["acme"].base_url == "http://127.0.0.1:1"


def test_another_file_may_be_named_and_must_exist(home: Path, tmp_path: Path) -> None:
    write(home, "nonsense")
    other = tmp_path / "other.toml"
    with pytest.raises(ConfigError, match=r"other\.toml: cannot be read"):
        load(home, {}, file=other)
    other.write_text('agent = "x"')
    other.chmod(0o600)
    assert load(home, {}, file=other).config.agent == "x"


EVERYTHING_WRONG = """\
modle = "${M:-openai/gpt-5}"
turns = 3
[limits]
turns = "many"
time_seconds = nan
parallel = 0
[budget]
run = -1
day = "nothing"
[server]
port = "${PORT:-80}"
[[policy.rule]]
tool = 3
[providers.acme]
api_key = "${ACME_KEY}"
base_url = "${"
[providers."Bad Name"]
[log]
level = "loud"
[skills]
paths = "one"
"""


def test_cr16_every_problem_is_named_at_once_with_line_and_key(home: Path) -> None:
    assert problems(home, EVERYTHING_WRONG) == [
        "config.toml:1: modle: unknown key; did you mean model?",
        "config.toml:2: turns: unknown key; did you mean limits.turns?",
        "config.toml:4: limits.turns: expected an integer, got text",
        "config.toml:5: limits.time_seconds: not a finite number",
        "config.toml:6: limits.parallel: expected an integer >= 1",
        "config.toml:8: budget.run: expected a number >= 0.0",
        "config.toml:9: budget.day: invalid enum value 'nothing', expected a number or \"none\"",
        "config.toml:12: policy.rule[0].then: missing",
        "config.toml:13: policy.rule[0].tool: expected text or nothing, got an integer",
        "config.toml:15: providers.acme.api_key: ${ACME_KEY} is not set; set it, or write ${ACME_KEY:-default}",
        "config.toml:16: providers.acme.base_url: write ${NAME} or ${NAME:-default}, and $${ for a plain ${",
        "config.toml:17: providers.Bad Name: expected text matching regex '^[a-z][a-z0-9]*([_-][a-z0-9]+)*$'",
        'config.toml:19: log.level: invalid enum value \'loud\', expected "debug" or "info" or "warning" or "error"',
        "config.toml:21: skills.paths: expected a list, got text",
    ]


def test_problems_of_environment_and_options_name_those(home: Path) -> None:
    found = problems(home, "", {"AUTOHANDS_LIMITS_TURNS": "many"}, options={"limits.output_bytes": 1, "bugdet.run": 1})
    assert found == [
        "option: bugdet: unknown key; did you mean budget?",
        "environment AUTOHANDS_LIMITS_TURNS: limits.turns: expected an integer, got text",
        "option: limits.output_bytes: expected an integer >= 1024",
    ]


def test_a_value_where_a_table_belongs(home: Path) -> None:
    found = problems(home, "limits = 3\nproviders = []\n", {"AUTOHANDS_LIMITS_TURNS": "3"})
    assert found == [
        "config.toml:1: limits: expected a table, got an integer",
        "config.toml:2: providers: expected a table, got a list",
    ]


def test_variables_are_put_in_after_parsing(home: Path) -> None:
    path = write(
        home, 'model = "${MODEL}"\nagent = "${A:-${x}"\nworkspace = "$${HOME}"\n[server]\nport = "${PORT:-80}"\n'
    )
    loaded = load(home, {"MODEL": 'a/b"\n[limits]\nturns = 1 #', "PORT": ""})
    assert loaded.config.model == 'a/b"\n[limits]\nturns = 1 #'
    assert loaded.config.limits.turns == 100
    assert (loaded.config.workspace, loaded.config.server.port) == ("${HOME}", 80)
    assert loaded.origin(("server", "port")) == f"{path}:5"


def test_text_is_no_number_unless_a_variable_held_it(home: Path) -> None:
    assert problems(home, '[server]\nport = "80"\n') == ["config.toml:2: server.port: expected an integer, got text"]
    write(home, '[server]\nport = "${PORT}"\n')
    assert load(home, {"PORT": "81"}).config.server.port == 81
    assert problems(home, '[server]\nport = "${PORT}"\n', {"PORT": "high"}) == [
        "config.toml:2: server.port: expected an integer, got text"
    ]


def test_policy_rules_in_order(home: Path) -> None:
    write(home, '[[policy.rule]]\ntool = "exec"\nthen = "ask"\n[[policy.rule]]\npath = "*.env"\nthen = "deny"\n')
    assert load(home, {}).config.policy.rule == (
        PolicyRule(tool="exec", then="ask"),
        PolicyRule(path="*.env", then="deny"),
    )


def test_tables_of_extensions_become_their_structs(home: Path) -> None:
    write(home, "[extensions.tools-browser]\nheadless = false\n[extensions.broken]\nanything = 1\n")
    loaded = load(home, {}, extensions={"tools-browser": BrowserConfig, "broken": dict, "agent-general": None})
    assert loaded.extensions == {"tools-browser": BrowserConfig(headless=False)}


def test_tables_of_extensions_are_located_like_the_rest(home: Path) -> None:
    text = """\
[extensions.tools-browser]
headles = true
pages = "x"
[extensions.agent-general]
a = 1
[extensions.tools-brwser]
[extensions.keyed]
retries = 10
[extensions.strict]
api_key = "k"
retries = 10
"""
    known = {"tools-browser": BrowserConfig, "agent-general": None, "keyed": KeyedConfig, "strict": KeyedConfig}
    assert problems(home, text, extensions=known) == [
        "config.toml:2: extensions.tools-browser.headles: unknown key; did you mean headless?",
        "config.toml:3: extensions.tools-browser.pages: expected an integer, got text",
        "config.toml:5: extensions.agent-general.a: unknown key; nothing can be set here",
        "config.toml:6: extensions.tools-brwser: there is no such extension; did you mean tools-browser?",
        "config.toml:7: extensions.keyed.api_key: missing",
        "config.toml:9: extensions.strict: retries: at most 9",
    ]


def test_without_known_extensions_their_tables_stay_as_they_are(home: Path) -> None:
    write(home, "[extensions.any]\nx = 1\n")
    loaded = load(home, {})
    assert (loaded.extensions, loaded.config.extensions) == ({}, {"any": {"x": 1}})


def test_fs20_a_config_file_that_others_may_write_is_refused(home: Path) -> None:
    write(home, "").chmod(0o666)
    with pytest.raises(ConfigError, match="everybody may write it"):
        load(home, {})


def test_each_plain_key_has_a_variable_of_its_own() -> None:
    names = [name for _, name in variables()]
    assert len(names) == len(set(names))
    assert "AUTOHANDS_LIMITS_TURNS" in names
    assert "AUTOHANDS_HOME" not in names


def test_the_start_path_imports_no_writer_and_no_yaml() -> None:
    import subprocess

    code = "import sys, autohands.config, autohands.core.kernel, autohands.core.discovery; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert set(done.stdout.split()) & {"tomlkit", "yaml", "aiohttp", "difflib", "importlib.metadata"} == set()


def test_a_default_in_a_table_that_is_there_is_a_default_still(home: Path) -> None:
    path = write(home, '[limits]\nturns = 50\n[providers]\nacme = { base_url = "http://x" }\n')
    loaded = load(home, {"AUTOHANDS_BUDGET_RUN": "1"})
    assert loaded.origin(("limits", "turns")) == f"{path}:2"
    assert loaded.origin(("limits", "runs")) == "default"
    assert loaded.origin(("providers", "acme", "base_url")) == f"{path}:4"
    assert loaded.origin(("providers", "acme", "kind")) == "default"
    assert loaded.origin(("budget", "run")) == "environment AUTOHANDS_BUDGET_RUN"


def test_what_makes_sense_of_a_wrong_file_is_salvaged(home: Path) -> None:
    text = 'model = 3\n[limits]\nturns = 5\nruns = "x"\n[agents.x]\nsummary = "${NONE}"\n[[policy.rule]]\nthen = "x"\n'
    path = write(home, text)
    loaded, problems = salvage(read_source(home, None), {})
    assert (loaded.config.model, loaded.config.limits.turns, loaded.config.limits.runs) == (None, 5, 256)
    assert (loaded.config.agents, loaded.config.policy.rule) == ({}, ())
    lines = [problem_line(each, loaded) for each in problems]
    for start in (f"{path}:1: model", f"{path}:4: limits.runs", f"{path}:6: agents.x.summary: ${{NONE}}"):
        assert any(line.startswith(start) for line in lines)


def test_variables_that_look_like_keys_are_named() -> None:
    environ = {"AUTOHANDS_LIMITS_TURNS": "1", "AUTOHANDS_HOME": "/x", "AUTOHANDS_DEBUG": "1", "PATH": "/bin"}
    assert strays(environ) == []
    (near,) = strays({"AUTOHANDS_LIMTS_TURNS": "1"})
    assert near.endswith("did you mean AUTOHANDS_LIMITS_TURNS?")
    (far,) = strays({"AUTOHANDS_SERVER_ZZZ": "1"})
    assert "config show" in far
