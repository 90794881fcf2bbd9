"""Named things: no duplicates, helpful misses, a stable order, snapshots."""

import pytest

from autohands.core.registry import Registries, Registry
from autohands.protocols.agent import Agent
from autohands.protocols.errors import Conflict, NotFound
from core.parts import named_tool


@pytest.fixture
def registry() -> Registry[int]:
    registry: Registry[int] = Registry("number")
    registry.add("mathematics", ("three", 3), ("one", 1))
    registry.add("cooking", ("pi", 4))
    return registry


def test_things_are_found_by_name_in_the_order_they_came(registry: Registry[int]) -> None:
    assert registry.items() == [("three", 3), ("one", 1), ("pi", 4)]
    assert (list(registry), registry.values(), len(registry)) == (["three", "one", "pi"], [3, 1, 4], 3)
    assert (registry.get("one"), registry.owner("pi"), "one" in registry, "two" in registry) == (
        1,
        "cooking",
        True,
        False,
    )


def test_a_taken_name_is_refused_naming_both_and_nothing_is_added(registry: Registry[int]) -> None:
    with pytest.raises(Conflict, match=r"number 'pi' of 'physics' is refused: 'cooking' has added it"):
        registry.add("physics", ("e", 2), ("pi", 3))
    assert "e" not in registry
    assert registry.get("pi") == 4


def test_the_same_name_twice_in_one_go_is_refused(registry: Registry[int]) -> None:
    with pytest.raises(Conflict, match="'physics' adds it twice"):
        registry.add("physics", ("e", 2), ("e", 3))
    assert "e" not in registry


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thre", "there is no number named 'thre'; did you mean 'three'?"),
        ("zzz", "there is no number named 'zzz'; there are: three, one, pi"),
    ],
)
def test_a_miss_names_the_nearest(registry: Registry[int], name: str, text: str) -> None:
    with pytest.raises(NotFound) as caught:
        registry.get(name)
    assert caught.value.text == text


def test_a_miss_among_many_names_some_and_among_none_says_so() -> None:
    registry: Registry[int] = Registry("number")
    with pytest.raises(NotFound, match="there are none"):
        registry.get("x")
    registry.add("mathematics", *((f"number-{number}", number) for number in range(1000)))
    with pytest.raises(NotFound, match="and 980 more"):
        registry.get("x")


def test_what_an_owner_added_is_withdrawn(registry: Registry[int]) -> None:
    registry.withdraw("mathematics")
    assert list(registry) == ["pi"]
    registry.add("physics", ("one", 11))
    assert registry.items() == [("pi", 4), ("one", 11)]


def test_who_follows_hears_of_each_change_and_sees_it(registry: Registry[int]) -> None:
    heard: list[list[str]] = []
    registry.follow(lambda: heard.append(list(registry)))
    registry.add("physics", ("e", 2))
    with pytest.raises(Conflict):
        registry.add("physics", ("pi", 3))
    registry.withdraw("nobody")
    registry.withdraw("mathematics")
    assert heard == [["three", "one", "pi", "e"], ["pi", "e"]]


def test_a_snapshot_does_not_see_later_changes(registry: Registry[int]) -> None:
    before = registry.snapshot()
    registry.withdraw("mathematics")
    registry.add("physics", ("one", 11))
    assert before.items() == [("three", 3), ("one", 1), ("pi", 4)]
    assert (before.get("one"), registry.get("one")) == (1, 11)
    assert registry.generation == before.generation + 2


def test_nothing_changed_is_no_new_generation(registry: Registry[int]) -> None:
    before = registry.snapshot()
    registry.withdraw("nobody")
    assert registry.snapshot() is before


def test_all_registries_are_pinned_and_withdrawn_together() -> None:
    registries = Registries()
    registries.tools.add("one", ("a", named_tool("a")))
    registries.agents.add("one", ("b", Agent(name="b", prompt="")))
    registries.agents.add("two", ("c", Agent(name="c", prompt="")))
    generation = registries.snapshot()
    registries.withdraw("one")
    assert (list(registries.tools), list(registries.agents)) == ([], ["c"])
    assert (list(generation.tools), list(generation.agents)) == (["a"], ["b", "c"])
