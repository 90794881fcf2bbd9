"""The tools that change files: what they answer, what they show beforehand, what they can tell after a crash."""

from pathlib import Path

import pytest

from autohands.extensions.tools_filesystem import extension
from autohands.protocols.tool import Tool
from autohands.sdk import ToolContext, ToolError, ToolResult

TOOLS: dict[str, Tool] = {tool.schema.name: tool for tool in extension.tools}


async def call(ctx: ToolContext, name: str, **arguments: object) -> ToolResult:
    return await TOOLS[name].run(ctx, TOOLS[name].validate(arguments))


async def preview(ctx: ToolContext, name: str, **arguments: object) -> str:
    return await TOOLS[name].preview(ctx, TOOLS[name].validate(arguments))


async def reconciled(ctx: ToolContext, name: str, **arguments: object) -> str:
    """What an interrupted call came to, as its tool can tell: done, not done, unknown."""
    result = await TOOLS[name].reconcile(ctx, "task:1:0", TOOLS[name].validate(arguments))
    if result is None:
        return "unknown"
    return "not done" if result.failed else "done"


def data(result: ToolResult) -> dict[str, object]:
    assert result.data is not None
    return result.data


def test_the_extension_brings_seven_tools_with_their_effects() -> None:
    effects = {
        "read_file": "read",
        "write_file": "idempotent",
        "edit_file": "compensable",
        "list_directory": "read",
        "create_directory": "idempotent",
        "delete_file": "compensable",
        "move_file": "compensable",
    }
    assert {name: tool.effect({}) for name, tool in TOOLS.items()} == effects


async def test_writing_a_file(ctx: ToolContext, workspace: Path) -> None:
    result = await call(ctx, "write_file", path="new/sub/a.txt", content="ü\n")
    assert result.text == "Wrote 3 bytes to new/sub/a.txt."
    assert (workspace / "new/sub/a.txt").read_bytes() == "ü\n".encode()
    result = await call(ctx, "write_file", path="new/sub/a.txt", content="")
    assert result.text == "Wrote 0 bytes to new/sub/a.txt, over 3 before."
    assert (data(result)["size"], data(result)["replaced_size"]) == (0, 3)


async def test_writing_half_a_character_is_refused(ctx: ToolContext, workspace: Path) -> None:
    with pytest.raises(ToolError, match=r"^invalid_arguments: content"):
        await call(ctx, "write_file", path="a", content="x\ud800")
    assert list(workspace.iterdir()) == []


async def test_editing_a_file(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    result = await call(ctx, "edit_file", path="a", old_string="two", new_string="zwei\ndrei")
    assert (workspace / "a").read_bytes() == b"\xef\xbb\xbfone\r\nzwei\r\ndrei\r\n"
    diff = "--- a\n+++ a\n@@ -1,2 +1,3 @@\n one\n-two\n+zwei\n+drei"
    assert result.text == f"Edited a: 1 replacement.\n{diff}"
    assert data(result)["diff"] == diff
    assert data(result)["sha256_before"] != data(result)["sha256_after"]


async def test_several_edits_of_one_file(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_text("one\ntwo\n")
    edits = [{"old_string": "one", "new_string": "1"}, {"old_string": "two ", "new_string": "2"}]
    result = await call(ctx, "edit_file", path="a", edits=edits)
    assert (workspace / "a").read_text() == "1\n2\n"
    assert result.text.startswith("Edited a: 2 replacements, matched in spite of differences in whitespace.\n")
    with pytest.raises(ToolError, match=r"^edit_not_found: edit 2 of 2"):
        await call(ctx, "edit_file", path="a", edits=[{"old_string": "1", "new_string": "I"}, edits[0]])
    assert (workspace / "a").read_text() == "1\n2\n"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"old_string": "a"},
        {"edits": []},
        {"old_string": "a", "new_string": "b", "edits": [{"old_string": "a", "new_string": "b"}]},
    ],
)
async def test_an_edit_in_neither_form_is_refused(
    ctx: ToolContext, workspace: Path, arguments: dict[str, object]
) -> None:
    (workspace / "a").write_text("a")
    with pytest.raises(ToolError, match=r"^invalid_arguments: give old_string and new_string, or edits"):
        await call(ctx, "edit_file", path="a", **arguments)


@pytest.mark.parametrize(
    ("raw", "new", "word"),
    [(b"a\0b", "x", "not_text"), ("Grüße a".encode("latin-1"), "日本", "not_encodable"), (b"x", "y", "edit_not_found")],
)
async def test_an_edit_that_cannot_be_made_leaves_the_file(
    ctx: ToolContext, workspace: Path, raw: bytes, new: str, word: str
) -> None:
    (workspace / "a").write_bytes(raw)
    with pytest.raises(ToolError, match=f"^{word}: "):
        await call(ctx, "edit_file", path="a", old_string="a", new_string=new)
    assert (workspace / "a").read_bytes() == raw


async def test_a_file_in_latin_1_stays_in_it(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_bytes("Grüße\nhier\n".encode("latin-1"))
    await call(ctx, "edit_file", path="a", old_string="Grüße", new_string="Schöne Grüße")
    assert (workspace / "a").read_bytes() == "Schöne Grüße\nhier\n".encode("latin-1")


async def test_a_file_too_large_to_be_edited_is_told(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_bytes(b"x\n" * (5 << 20))
    with pytest.raises(ToolError, match=r"^file_too_large: a has 10,485,760 bytes"):
        await call(ctx, "edit_file", path="a", old_string="x", new_string="y")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("edit_file", {"old_string": "b", "new_string": "B"}), ("write_file", {"content": "mine"})],
)
async def test_fs15_a_file_that_changed_since_it_was_read_is_a_conflict(
    ctx: ToolContext, workspace: Path, tool: str, arguments: dict[str, object]
) -> None:
    (workspace / "a").write_text("b")
    await call(ctx, "read_file", path="a")
    (workspace / "a").write_text("b as they want it")
    with pytest.raises(ToolError, match=r"^conflict: a has changed"):
        await call(ctx, tool, path="./a", **arguments)
    assert (workspace / "a").read_text() == "b as they want it"
    await call(ctx, "read_file", path="a")
    await call(ctx, tool, path="a", **arguments)
    await call(ctx, "write_file", path="a", content="what I wrote last is known")


async def test_fs15_twin_a_file_nobody_read_may_be_changed(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_text("b")
    await call(ctx, "edit_file", path="a", old_string="b", new_string="c")
    (workspace / "b").write_text("b")
    await call(ctx, "write_file", path="b", content="c")


async def test_fs15_what_is_known_moves_and_ends_with_the_file(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "d").mkdir()
    await call(ctx, "write_file", path="d/a", content="1")
    await call(ctx, "move_file", source="d", destination="e")
    (workspace / "e" / "a").write_text("2")
    with pytest.raises(ToolError, match=r"^conflict: e/a"):
        await call(ctx, "write_file", path="e/a", content="3")
    await call(ctx, "delete_file", path="e", recursive=True)
    await call(ctx, "write_file", path="e/a", content="3")
    (workspace / "e" / "a").unlink()
    await call(ctx, "write_file", path="e/a", content="4")


async def test_listing_a_directory(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "src").mkdir()
    (workspace / "src" / "a b.py").write_text("x" * 1234)
    (workspace / "src-x").touch()
    (workspace / "li\nnk").symlink_to("src")
    result = await call(ctx, "list_directory", depth=2)
    assert result.text == "li\\x0ank -> src\nsrc/\nsrc/a b.py  1,234\nsrc-x  0"
    assert data(result) == {
        "path": ".",
        "entries": [
            {"path": r"li\x0ank", "kind": "symlink", "target": "src"},
            {"path": "src", "kind": "directory"},
            {"path": "src/a b.py", "kind": "file", "size": 1234},
            {"path": "src-x", "kind": "file", "size": 0},
        ],
        "truncated": False,
        "unreadable": [],
    }
    (workspace / "empty").mkdir()
    assert (await call(ctx, "list_directory", path="empty")).text == "[the directory is empty]"
    with pytest.raises(ToolError, match=r"^invalid_arguments: depth"):
        await call(ctx, "list_directory", depth=0)


async def test_fs16_a_long_listing_is_cut_and_says_so(ctx: ToolContext, workspace: Path) -> None:
    for number in range(1100):
        (workspace / f"{number:04}").touch()
    result = await call(ctx, "list_directory")
    assert result.text.endswith("0999  0\n[more than the 1,000 entries shown; list a directory further down]")
    assert data(result)["truncated"] is True


async def test_directories_are_made_deleted_and_moved(ctx: ToolContext, workspace: Path) -> None:
    assert (await call(ctx, "create_directory", path="a/b")).text == "Made a/b/."
    assert data(await call(ctx, "create_directory", path="a/b")) == {"path": "a/b", "created": False}
    with pytest.raises(ToolError, match=r"^not_found: "):
        await call(ctx, "create_directory", path="x/y", parents=False)
    assert (await call(ctx, "move_file", source="a/b", destination="c")).text == "Moved a/b to c."
    with pytest.raises(ToolError, match=r"^exists: c"):
        await call(ctx, "move_file", source="a", destination="c")
    assert (await call(ctx, "delete_file", path="c")).text == "Deleted c."
    await call(ctx, "write_file", path="a/x", content="")
    result = await call(ctx, "delete_file", path="a", recursive=True)
    assert (result.text, data(result)) == ("Deleted a and all in it, 2 entries.", {"path": "a", "deleted": 2})
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("path", [".", "/", "~", ""])
async def test_fs19_the_root_is_not_deleted(ctx: ToolContext, path: str) -> None:
    with pytest.raises(ToolError, match=r"^(protected_root|path_outside_workspace): "):
        await call(ctx, "delete_file", path=path, recursive=True)


async def test_previews_show_what_would_happen(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "a").write_text("one\ntwo\n")
    (workspace / "bin").write_bytes(b"\0" * 9)
    (workspace / "d").mkdir()
    (workspace / "d" / "x").touch()
    diff = "--- a\n+++ a\n@@ -1,2 +1,2 @@\n one\n-two\n+2"
    assert await preview(ctx, "edit_file", path="a", old_string="two", new_string="2") == diff
    assert await preview(ctx, "write_file", path="a", content="one\n2\n") == diff
    assert await preview(ctx, "write_file", path="a", content="one\ntwo\n") == "leave a as it is"
    assert await preview(ctx, "write_file", path="n", content="") == "make an empty file n"
    assert await preview(ctx, "write_file", path="n", content="x\n") == "--- n\n+++ n\n@@ -0,0 +1,1 @@\n+x"
    assert (await preview(ctx, "write_file", path="bin", content="x")).startswith("replace 9 bytes of bin by:\n")
    assert await preview(ctx, "create_directory", path="x/y") == "make the directory x/y and those above it"
    assert await preview(ctx, "delete_file", path="a") == "delete the file a, 8 bytes"
    assert await preview(ctx, "delete_file", path="d") == "delete the directory d if it is empty"
    assert await preview(ctx, "delete_file", path="d", recursive=True) == "delete the directory d with 1 entries:\nd/x"
    assert await preview(ctx, "delete_file", path="n") == "delete n, which is not there"
    assert await preview(ctx, "move_file", source="a", destination="z") == "move a to z"
    text = await preview(ctx, "move_file", source="a", destination="bin", overwrite=True)
    assert text == "move a to bin, replacing 9 bytes"
    with pytest.raises(ToolError, match=r"^edit_not_found: "):
        await preview(ctx, "edit_file", path="a", old_string="three", new_string="3")
    assert sorted(path.name for path in workspace.rglob("*")) == ["a", "bin", "d", "x"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("write_file", {"path": "a", "content": "new\n"}),
        ("edit_file", {"path": "a", "old_string": "old", "new_string": "new"}),
        ("create_directory", {"path": "d"}),
        ("delete_file", {"path": "a"}),
        ("move_file", {"source": "a", "destination": "b"}),
    ],
)
async def test_after_a_crash_the_files_tell_what_was_done(
    ctx: ToolContext, workspace: Path, tool: str, arguments: dict[str, object]
) -> None:
    (workspace / "a").write_text("old\n")
    before = await reconciled(ctx, tool, **arguments)
    await call(ctx, tool, **arguments)
    assert (before, await reconciled(ctx, tool, **arguments)) == (
        "unknown" if TOOLS[tool].effect({}) == "idempotent" else "not done",
        "done",
    )


async def test_after_a_crash_what_cannot_be_told_is_unknown(ctx: ToolContext, workspace: Path) -> None:
    (workspace / "d").mkdir()
    (workspace / "a").write_text("something else")
    assert await reconciled(ctx, "delete_file", path="d", recursive=True) == "unknown"
    assert await reconciled(ctx, "move_file", source="x", destination="y") == "unknown"
    assert await reconciled(ctx, "edit_file", path="a", old_string="old", new_string="new") == "unknown"
    assert await reconciled(ctx, "write_file", path="a", content="new") == "unknown"
