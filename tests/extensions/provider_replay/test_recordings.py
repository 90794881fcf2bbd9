"""The recordings that come with the program."""

import pytest

from autohands.extensions.provider_replay.fingerprint import Asked
from autohands.extensions.provider_replay.recording import RECORDINGS, VERSION, find, read, shipped_names
from autohands.protocols.errors import ProviderError


def test_the_demo_is_shipped_with_the_files_it_works_on() -> None:
    assert "demo" in shipped_names()
    assert find("demo") == RECORDINGS / "demo" / "recording.jsonl"
    assert (RECORDINGS / "demo" / "workspace" / "totals").is_file()


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_recording_is_strict_and_tells_its_prompt(name: str) -> None:
    recording = read(find(name))
    assert recording.head.recording == VERSION
    opening = f"user: {recording.head.prompt}"
    assert recording.reply(Asked(0, (opening,))).tool_calls
    with pytest.raises(ProviderError, match="differs from the recording"):
        recording.reply(Asked(0, ("user: something else",)))
    with pytest.raises(ProviderError, match="differs from the recording"):
        recording.reply(Asked(1, ("call: nothing",)))
