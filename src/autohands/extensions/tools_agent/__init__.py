"""Sub-agents: tasks of their own, with a share of the budget, no more tools than the run has, and one result."""

from autohands.extensions.tools_agent.message import agent_message
from autohands.extensions.tools_agent.spawn import agent_spawn
from autohands.extensions.tools_agent.status import agent_list, agent_status
from autohands.extensions.tools_agent.terminate import agent_terminate
from autohands.sdk import Extension

extension = Extension(
    name="tools-agent",
    version="1.0.0",
    summary="Sub-agents: started, asked, spoken to, ended.",
    tools=(agent_spawn, agent_status, agent_message, agent_terminate, agent_list),
)
