"""The order of start: requirements first, and everything that stands in the way named at once."""

import pytest

from autohands.core.order import dependants, read_requirement, read_version, start_order
from core.parts import manifest


def test_requirements_come_first_and_the_rest_keeps_its_order() -> None:
    order = start_order([manifest("c", "b"), manifest("z"), manifest("b", "a>=1"), manifest("a"), manifest("d")])
    assert order.names == ("z", "a", "d", "b", "c")
    assert order.problems == {}


def test_everything_in_the_way_is_named_at_once_and_the_rest_starts() -> None:
    order = start_order(
        [
            manifest("needs-missing", "nowhere>=1"),
            manifest("needs-newer", "good>=2,<3"),
            manifest("first", "second"),
            manifest("second", "third"),
            manifest("third", "first"),
            manifest("on-the-circle", "third"),
            manifest("itself", "itself"),
            manifest("far", "needs-broken"),
            manifest("needs-broken", "needs-missing"),
            manifest("unreadable", "Good >= two"),
            manifest("twice", "nowhere", "good==9"),
            manifest("good", version="1.4"),
            manifest("user-of-good", "good"),
        ]
    )
    assert order.names == ("good", "user-of-good")
    assert order.problems == {
        "needs-missing": "requires nowhere>=1, which is not there",
        "needs-newer": "requires good>=2,<3, but 1.4 is there",
        "first": "requires itself: first → second → third → first",
        "second": "requires itself: second → third → first → second",
        "third": "requires itself: third → first → second → third",
        "on-the-circle": "requires third, which cannot start",
        "itself": "requires itself: itself → itself",
        "far": "requires needs-broken, which cannot start",
        "needs-broken": "requires needs-missing, which cannot start",
        "unreadable": "'Good >= two' is not a requirement; write it like tools-web>=1,<2",
        "twice": "requires nowhere, which is not there; requires good==9, but 1.4 is there",
    }


def test_a_long_chain_is_no_matter() -> None:
    chain = [manifest("e0"), *(manifest(f"e{number}", f"e{number - 1}") for number in range(1, 300))]
    assert start_order(reversed(chain)).names == tuple(each.name for each in chain)


def test_who_needs_it() -> None:
    loaded = [manifest("a"), manifest("b", "a>=1"), manifest("c", "b"), manifest("d"), manifest("e", "d", "c")]
    assert dependants("a", loaded) == ["b", "c", "e"]
    assert dependants("d", loaded) == ["e"]
    assert dependants("e", loaded) == []


@pytest.mark.parametrize(
    ("requirement", "version", "admitted"),
    [
        ("x", "0.0.1", True),
        ("x>=1", "1", True),
        ("x>=1.2", "1.10", True),
        ("x>=1,<2", "1.9.9", True),
        ("x>=1,<2", "2.0", False),
        ("x==1.2", "1.2.0", True),
        ("x==1.2", "1.2.1", False),
        ("x!=1.2", "1.2.0", False),
        ("x>1", "1.0.0", False),
        ("x<=1", "1.0", True),
        ("x>=1.2", "1.2rc1", False),
        ("x>=1.2rc1", "1.2", True),
        ("x > 1 , < 3", "2", True),
    ],
)
def test_bounds(requirement: str, version: str, *, admitted: bool) -> None:
    assert read_requirement(requirement).admits(version) is admitted


@pytest.mark.parametrize("text", ["", "A", "a>", "a>=x", "a>1 b", "a>=1,", "a=1", "a=>1", "a >= 1 <2", "ä>=1", "a>=١"])
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(ValueError, match="is not a requirement"):
        read_requirement(text)


@pytest.mark.parametrize("text", ["", "v1", "1.", "1..2", "latest", "1.2 ", "١"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version"):
        read_version(text)
