"""Messages are encoded once, images are loaded where they are new, and what is kept stays bounded."""

import msgspec

from autohands.protocols.errors import NotFound
from autohands.protocols.messages import BlobRef, Image, Message, ToolReturn, user
from autohands.protocols.provider import ToolSchema
from autohands.sdk.fragments import LARGEST_KEPT_BYTES, Fragments, Images, Kept

PNG = BlobRef("a" * 64, "image/png", 3)
GONE = BlobRef("b" * 64, "image/png", 3)
FILM = BlobRef("c" * 64, "video/mp4", 3)


class Counting:
    """An encoder that counts how often it was asked, and a store that counts how often it was read."""

    def __init__(self) -> None:
        self.encoded: list[Message] = []
        self.loaded: list[BlobRef] = []

    def encode(self, message: Message, tag: str, images: Images) -> bytes:
        self.encoded.append(message)
        return msgspec.json.encode([tag, message.text, dict(images)])

    async def load(self, ref: BlobRef) -> bytes:
        self.loaded.append(ref)
        if ref == GONE:
            raise NotFound("gone")
        return b"abc"

    def fragments(self, kept_bytes: int = 1_000_000) -> Fragments:
        return Fragments(self.encode, self.load, kept_bytes)


async def test_a_message_is_encoded_once_while_a_history_grows() -> None:
    counting = Counting()
    fragments = counting.fragments()
    history = [user(f"message {n}") for n in range(20)]
    for length in range(1, 21):
        pieces = await fragments.of(history[:length], "m")
        assert pieces == [msgspec.json.encode(["m", f"message {n}", {}]) for n in range(length)]
    assert counting.encoded == history


async def test_equal_messages_are_not_the_same_and_another_model_gets_other_bytes() -> None:
    counting = Counting()
    fragments = counting.fragments()
    one, other = user("x"), user("x")
    assert await fragments.of([one, other], "m") == [b'["m","x",{}]'] * 2
    assert await fragments.of([one], "n") == [b'["n","x",{}]']
    assert await fragments.of([one], "m") == [b'["m","x",{}]']
    assert len(counting.encoded) == 4


async def test_images_are_read_for_new_messages_only_and_what_cannot_be_shown_is_left_out() -> None:
    counting = Counting()
    fragments = counting.fragments()
    message = Message("user", (Image(PNG), Image(GONE), Image(FILM)))
    result = Message("tool", (ToolReturn("c", "", (PNG,)),))
    (first, _) = await fragments.of([message, result], "m")
    assert msgspec.json.decode(first)[2] == {PNG.sha256: "YWJj"}
    await fragments.of([message, result], "m")
    assert counting.loaded == [PNG, GONE, PNG]


async def test_what_is_kept_is_bounded_and_what_is_in_use_survives() -> None:
    counting = Counting()
    fragments = counting.fragments(kept_bytes=2_000)
    steady = user("steady")
    others = [user("x" * 100) for _ in range(200)]
    for other in others:
        await fragments.of([steady, other], "m")
    assert counting.encoded.count(steady) == 1
    await fragments.of(others[:1], "m")
    assert len(counting.encoded) == 202


async def test_a_very_large_message_is_not_kept() -> None:
    counting = Counting()
    fragments = counting.fragments()
    large = user("x" * LARGEST_KEPT_BYTES)
    assert await fragments.of([large], "m") == await fragments.of([large], "m")
    assert len(counting.encoded) == 2


def test_tools_are_encoded_once_and_kept_in_bounds() -> None:
    asked: list[str] = []

    def encode(tool: ToolSchema) -> bytes:
        asked.append(tool.name)
        return tool.name.encode()

    kept = Kept(encode, most=3)
    tools = [ToolSchema(f"t{n}", "", {}) for n in range(3)]
    assert [kept.of(tool) for tool in tools * 3] == [b"t0", b"t1", b"t2"] * 3
    assert len(asked) == 3
    kept.of(ToolSchema("t3", "", {}))
    assert kept.of(tools[0]) == b"t0"
    assert len(asked) == 5
