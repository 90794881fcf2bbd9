"""What every extension must do: subclass `ExtensionContract` in a test module and give it an `extension` fixture."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from autohands.protocols.extension import Extension, Manifest
from autohands.testing.host import HostServices, NotingHost

GRACE_SECONDS = 5.0


class ExtensionContract:
    """Fixtures: `extension`; if need be `config` (default: its defaults) and `services` (default: none)."""

    @pytest.fixture
    def config(self, extension: Extension) -> Struct | None:
        """The table it is started with."""
        return None if extension.config is None else extension.config()

    @pytest.fixture
    def services(self) -> HostServices:
        """What its host offers."""
        return HostServices()

    def test_its_manifest_says_who_it_is(self, extension: Extension) -> None:
        manifest = extension.manifest
        assert isinstance(manifest, Manifest)
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", manifest.name)
        assert re.match(r"\d+(\.\d+)*", manifest.version)
        assert manifest.summary.strip()
        assert extension.manifest == manifest

    def test_its_configuration_has_defaults(self, extension: Extension) -> None:
        assert extension.config is None or isinstance(extension.config(), extension.config)

    @pytest.mark.asyncio
    async def test_it_enters_service_and_leaves_in_time_again_and_again(
        self, extension: Extension, config: Struct | None, services: HostServices, tmp_path: Path
    ) -> None:
        before = asyncio.all_tasks()
        added: list[list[str]] = []
        for _ in range(2):
            host = NotingHost(tmp_path, services)
            async with asyncio.timeout(2 * GRACE_SECONDS), asynccontextmanager(extension.run)(host, config):
                added.append(host.added)
        assert added[0] == added[1]
        assert len(set(added[0])) == len(added[0]), "each thing it adds has a name of its own"
        assert asyncio.all_tasks() == before, "it leaves no task behind"
