"""What commands get to see."""

from autohands.sandbox.environment import FIXED, absolute_path, clean_environment


def test_sh10_only_what_is_allowed_passes() -> None:
    source = {"HOME": "/h", "PATH": "/bin", "LC_ALL": "C", "OPENAI_API_KEY": "k", "LD_PRELOAD": "x", "BASH_ENV": "y"}
    assert clean_environment(source) == {"HOME": "/h", "PATH": "/bin", "LC_ALL": "C"} | FIXED


def test_more_can_be_allowed_by_name() -> None:
    assert clean_environment({"HTTP_PROXY": "p", "SECRET": "s"}, also=["HTTP_PROXY"])["HTTP_PROXY"] == "p"


def test_sh08_nothing_asks_or_pages() -> None:
    seen = clean_environment({"PAGER": "less", "TERM": "xterm", "GIT_TERMINAL_PROMPT": "1"})
    assert (seen["PAGER"], seen["TERM"], seen["GIT_TERMINAL_PROMPT"]) == ("cat", "dumb", "0")


def test_programs_of_the_workspace_are_not_on_the_path() -> None:
    assert absolute_path(".:/bin::bin:/usr/bin") == "/bin:/usr/bin"
    assert absolute_path("") == "/usr/bin:/bin"
