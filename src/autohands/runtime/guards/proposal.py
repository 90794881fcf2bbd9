"""The narrowest rule by which a call would be allowed from now on, where there is one that is safe to offer."""

from __future__ import annotations

import glob
from datetime import UTC, datetime, timedelta
from typing import Any

from autohands.protocols.guard import Ask
from autohands.runtime.guards.commands import too_wide
from autohands.runtime.guards.rules import Call, resolved

LASTS_DAYS = 90


def propose(call: Call, ask: Ask) -> dict[str, Any] | None:
    """A rule as the configuration has it, for this tool and exactly this command, path or host; None where a rule
    would allow more than what was asked, or what should be looked at each time."""
    if ask.protected:
        return None
    expires = (datetime.now(UTC) + timedelta(days=LASTS_DAYS)).date().isoformat()
    rule = {"then": "allow", "tool": call.tool}
    if call.command is not None:
        return _of_command(call.command, rule | {"expires": expires})
    targets = {"path": call.paths, "host": call.hosts}
    named = {key: values for key, values in targets.items() if values}
    if any(len(set(values)) > 1 for values in named.values()) or (not named and call.effect == "irreversible"):
        return None
    narrow = {key: glob.escape(values[0]) for key, values in named.items()}
    return rule | narrow | ({} if named else {"effect": call.effect}) | {"expires": expires}


def _of_command(command: str, rule: dict[str, Any]) -> dict[str, Any] | None:
    program = None if too_wide(command) else resolved(command.split(maxsplit=1)[0])
    return None if program is None else rule | {"command": glob.escape(command), "program": program}
