"""The agent loop, whole. Read this first.

What others want to put into it goes through one of four seams: prepare (`context.py`), guard (`guards/`), around
(`around.py`), observe (readers of the journal).
"""

from __future__ import annotations

from autohands.runtime.run import Ended, Run


async def run_agent(run: Run) -> Ended:
    """Ask, act, repeat, until the model stops asking for tools."""
    while run.may_continue():  # turns, time, money
        reply = await run.ask()  # prepare → stream → one recorded step
        if reply.tool_calls:
            await run.act(reply.tool_calls)  # guards → around → one recorded step per call
        elif ended := await run.finish(reply):  # one transaction; None: cut short, vendor pause, unread words
            return ended
    return await run.stop()  # commits the typed reason
