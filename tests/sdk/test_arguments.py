"""A tool call's arguments: an object is taken, nothing is mended."""

import pytest

from autohands.sdk.arguments import ARGUMENT_BYTES, read_arguments


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("{}", {}),
        (' {"a": 1, "b": [null, 1.5, "ü🙂"]} ', {"a": 1, "b": [None, 1.5, "ü🙂"]}),
        ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
        ('{"smile": "\\ud83d\\ude42"}', {"smile": "🙂"}),
    ],
)
def test_an_object_is_taken(raw: str, value: dict[str, object]) -> None:
    assert read_arguments(raw, cut=False) == (value, None)
    assert read_arguments(raw, cut=True) == (value, None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('{"path": notes.txt}', "not valid JSON"),
        ('{"path": "no', "end too early"),
        ('{"path": "x",}', "trailing comma"),
        ('{"n": NaN}', "not valid JSON"),
        ('{"n": Infinity}', "not valid JSON"),
        ('{"n": 1e999}', "not valid JSON"),
        ("{'path': 'x'}", "not valid JSON"),
        ('{"a": 1}{"b": 2}', "trailing characters"),
        ('["x"]', "not a JSON object"),
        ("null", "not a JSON object"),
        ('"{\\"path\\": \\"x\\"}"', "inside a JSON string"),
        ('"x"', "not a JSON object"),
        ('{"path": "\\ud800"}', "not valid JSON"),
        ('{"path": "\ud800"}', "not valid JSON"),
        ("", "are empty"),
        (" \n", "are empty"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a":"' + "x" * ARGUMENT_BYTES + '"}', "larger than"),
    ],
)
def test_pr08_nothing_else_becomes_arguments(raw: str, reason: str) -> None:
    value, invalid = read_arguments(raw, cut=False)
    assert value == {}
    assert reason in (invalid or "")


@pytest.mark.parametrize("raw", ['{"path": "no', "", "{"])
def test_pr08_what_the_output_limit_cut_off_is_called_so(raw: str) -> None:
    value, invalid = read_arguments(raw, cut=True)
    assert value == {}
    assert "cut off" in (invalid or "")
