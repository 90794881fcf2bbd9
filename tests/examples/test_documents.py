"""The documents hang together: links lead somewhere, all pages can be reached, each extension and tool is described."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from architecture.source import ROOT, SOURCE

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHER_FILES = re.compile(r"^(\[project\]|entry = )", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# One, two\n[x](#one-two) [y](b.md) [z](a.md#three) [w](https://example.com)\n")
    assert broken_links(tmp_path / "a.md") == ["b.md", "a.md#three"]


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    assert {page for page in ROOT.glob("docs/**/*.md") if page != index} - linked == set()


def test_every_extension_and_each_of_its_tools_is_described() -> None:
    for folder in sorted(path.parent for path in SOURCE.glob("extensions/*/__init__.py")):
        page = ROOT / "docs" / "extensions" / f"{folder.name.replace('_', '-')}.md"
        assert page.is_file(), f"{page.relative_to(ROOT)} is missing"
        for module in folder.glob("*.py"):
            for name in re.findall(r"^@tool.*?^async def (\w+?)_?\(", module.read_text(), re.MULTILINE | re.DOTALL):
                assert f"`{name}{{" in page.read_text(), f"{page.relative_to(ROOT)} does not describe {name}"


def test_every_word_has_its_home() -> None:
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| (`[^|]+`) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    homes = {home for row in rows for home in re.findall(r"`([^`]+)`", row)}
    assert len(homes) > 30
    assert {home for home in homes if not (SOURCE / home).exists()} == set()


def test_the_loop_is_shown_as_it_is() -> None:
    loop = (SOURCE / "runtime" / "agent_loop.py").read_text()
    assert f"```python\n{loop[loop.index('async def') :]}```" in (ROOT / "ARCHITECTURE.md").read_text()


def test_every_configuration_shown_is_valid(home: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [text for page in PAGES for text in TOML.findall(page.read_text()) if not OTHER_FILES.search(text)]
    assert len(shown) > 4
    for name in ("OPENAI_API_KEY", "ACME_API_KEY"):
        monkeypatch.setenv(name, "sk-test")
    for text in shown:
        (workspace / "config.toml").write_text(text)
        command = [sys.executable, "-m", "autohands", "config", "check", "--config", "config.toml"]
        done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
