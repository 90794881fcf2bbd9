"""Entry points are read from folders as `importlib.metadata` does it, which is asked where folders do not tell all."""

import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from autohands.core.installed import EntryPoint, entry_points

GROUP = "autohands.test-group"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at the head of the import path."""
    path = tmp_path / "site"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    return path


def declare(folder: Path, text: str, name: str = "Some.Thing") -> None:
    """A distribution's metadata folder with entry points."""
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(text)


def known(group: str = GROUP) -> list[tuple[str, str]]:
    return [(point.name, point.value) for point in entry_points(group)]


@pytest.mark.parametrize("group", ["autohands.extensions", "console_scripts", "pytest11", "no.such.group"])
def test_the_same_is_found_as_the_standard_library_finds(group: str) -> None:
    def told(point: EntryPoint | metadata.EntryPoint) -> tuple[str, str, str, list[str]]:
        return point.name, point.value, point.module, list(point.extras)

    assert sorted(map(told, entry_points(group))) == sorted(map(told, metadata.entry_points(group=group)))


def test_only_the_groups_own_lines_count(site: Path) -> None:
    text = (
        f"# x = y:z\n[other]\na = a:b\n\n[{GROUP}]\n  b.c = m.n : f.g [one, two] \n# d = e:f\n[{GROUP}.more]\nz = z:z\n"
    )
    declare(site / "some_thing-1.0.dist-info", text)
    (point,) = entry_points(GROUP)
    assert (point.name, point.value, point.module, point.extras) == (
        "b.c",
        "m.n : f.g [one, two]",
        "m.n",
        ["one", "two"],
    )
    distribution = point.declared_by()
    assert distribution is not None
    assert distribution.name == "Some.Thing"


def test_a_target_is_loaded_through_its_attributes(site: Path) -> None:
    declare(site / "some_thing-1.0.dist-info", f"[{GROUP}]\na = os:path.join\nb = os.path\nc = os:nothing\n")
    path, module, missing = entry_points(GROUP)
    assert path.load() is __import__("os").path.join
    assert module.load() is __import__("os").path
    with pytest.raises(AttributeError, match="nothing"):
        missing.load()


def test_of_two_distributions_of_one_name_the_first_on_the_path_counts(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    monkeypatch.syspath_prepend(str(first))
    declare(site / "some_thing-1.0.dist-info", f"[{GROUP}]\nold = old:x\n")
    declare(site / "another-1.0.dist-info", f"[{GROUP}]\nother = other:x\n", name="another")
    declare(first / "Some.Thing.egg-info", f"[{GROUP}]\nnew = new:x\n")
    assert sorted(known()) == [("new", "new:x"), ("other", "other:x")]
    (first / "Some.Thing.egg-info" / "entry_points.txt").unlink()
    assert known() == [("other", "other:x")]


def test_a_damaged_file_hides_no_other(site: Path) -> None:
    declare(site / "bad-1.0.dist-info", "", name="bad")
    (site / "bad-1.0.dist-info" / "entry_points.txt").write_bytes(
        f"[{GROUP}]\nx\xff = \xff\nnothing\n".encode("latin-1")
    )
    declare(site / "good-1.0.dist-info", f"[{GROUP}]\ngood = good:x\n", name="good")
    assert ("good", "good:x") in known()
    with pytest.raises(ValueError, match="Empty module name"):
        next(point for point in entry_points(GROUP) if point.name == "nothing").load()


def test_a_distribution_in_an_archive_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("packed-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: packed\nVersion: 1.0\n")
        out.writestr("packed-1.0.dist-info/entry_points.txt", f"[{GROUP}]\npacked = json:dumps\n")
    assert known() == []
    monkeypatch.syspath_prepend(str(archive))
    (point,) = entry_points(GROUP)
    distribution = point.declared_by()
    assert distribution is not None
    assert distribution.name == "packed"
    assert point.load() is __import__("json").dumps


def test_a_finder_with_distributions_of_its_own_is_asked(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(site / "some_thing-1.0.dist-info", f"[{GROUP}]\na = a:b\n")
    hidden = metadata.Distribution.at(site / "some_thing-1.0.dist-info")

    class Finder(metadata.DistributionFinder):
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(
            self, context: metadata.DistributionFinder.Context | None = None
        ) -> list[metadata.Distribution]:
            return [hidden]

    sys.path.remove(str(site))
    assert known() == []
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert known() == [("a", "a:b")]
