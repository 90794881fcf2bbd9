"""Which line a key stands on."""

import tomllib

import pytest

from autohands.config.lines import LineIndex, dotted

DOCUMENT = '''\
# a comment with = and [brackets]
model = "a" # x = 1
"quoted name".b = """
[not_a_table]
a = 1
"""
list = [ 1, # ]
  { a = "}" },
]
[limits] # hi
turns = 3
  [ a . 'b.c' ]
x.y = {q=1, r=[2]}
[[policy.rule]]
then = 'deny'
[[policy.rule]]
then = """allow"""
[policy.rule.sub]
z = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("model",), 2),
        (("quoted name", "b"), 3),
        (("list",), 7),
        (("list", 1, "a"), 7),
        (("limits",), 10),
        (("limits", "turns"), 11),
        (("limits", "absent"), 10),
        (("a", "b.c"), 12),
        (("a", "b.c", "x", "y", "r", 0), 13),
        (("policy", "rule", 0), 14),
        (("policy", "rule", 0, "then"), 15),
        (("policy", "rule", 1, "then"), 17),
        (("policy", "rule", 1, "sub", "z"), 19),
        (("absent",), None),
    ],
)
def test_a_key_is_on_its_line(path: tuple[str | int, ...], line: int | None) -> None:
    tomllib.loads(DOCUMENT)
    assert LineIndex(DOCUMENT).find(path) == line


def test_a_document_without_repetition_has_none() -> None:
    assert LineIndex(DOCUMENT).again == []


def test_what_is_set_twice_is_named_with_both_lines() -> None:
    assert LineIndex("[a]\nb = 1\nc = 2\nb = 3\n").again == [("a.b", 2, 4)]
    assert LineIndex("[a]\n[b]\n[a]\n").again == [("a", 1, 3)]


@pytest.mark.parametrize(
    "text", ["", "= 1", "a", "[", 'a = "', "\x00", "a = '''", "a = [[[[", "[a]]\nb=1", '"""=1', "'"]
)
def test_a_damaged_document_is_read_as_far_as_it_goes(text: str) -> None:
    LineIndex(text)


def test_keys_are_written_as_people_write_them() -> None:
    assert dotted(("policy", "rule", 0, "tool")) == "policy.rule[0].tool"
    assert dotted(()) == ""
