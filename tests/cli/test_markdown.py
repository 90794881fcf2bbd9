"""Colours for Markdown that streams: nothing is lost, and cutting the text anywhere changes no style."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohands.cli.markdown import Markdown


def styled(*texts: str) -> list[tuple[str, str]]:
    """Every character with its style."""
    markdown = Markdown()
    pieces = [piece for text in texts for piece in markdown.feed(text)]
    return [(character, style) for text, style in [*pieces, (markdown.end(), "")] for character in text]


@pytest.mark.parametrize(
    ("text", "bright"),
    [
        ("plain words", ""),
        ("a `b` c", "`b`"),
        ("a **b** c", "**b**"),
        ("# Title\nnext", "# Title"),
        ("#hashtag", ""),
        ("```py\nx = `1`\n```\nafter", "```pyx = `1````"),
        ("`**`", "`**`"),
        ("a\n`open\nnext", "`open"),
        ("2 * 3 * 4", ""),
    ],
)
def test_what_has_a_style(text: str, bright: str) -> None:
    assert "".join(character for character, style in styled(text + " ") if style) == bright


@given(st.text(alphabet="ab #*`\n", max_size=40), st.data())
def test_a_cut_anywhere_changes_nothing(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    assert styled(text[:cut], text[cut:]) == styled(text)
    assert "".join(character for character, _ in styled(text)) == text
