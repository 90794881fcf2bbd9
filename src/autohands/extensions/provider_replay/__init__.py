"""A model that plays a recorded conversation against the real tools, and the recorder of such conversations."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from autohands.sdk import Extension, Host


class ReplayConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pace_seconds` is the time between two words; without it the recording tells, and most tell none."""

    pace_seconds: float | None = None


extension = Extension(
    name="provider-replay",
    version="1.0.0",
    summary="Plays recorded conversations: `--model replay/FILE`; records them: `run --record FILE`.",
    config=ReplayConfig,
    permissions=("files",),
)


@extension.setup
async def run(host: Host, config: ReplayConfig) -> AsyncIterator[None]:
    """Offer `replay`."""
    from autohands.extensions.provider_replay.provider import ReplayProvider

    host.add_provider(ReplayProvider(config.pace_seconds))
    yield
