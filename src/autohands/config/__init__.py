"""The configuration: a typed schema, where each value is from, and the state directory it lives in."""

from autohands.config.agents import load_agents
from autohands.config.ignored import ignored_in
from autohands.config.load import Loaded, load
from autohands.config.paths import Paths, home_directory, prepare_home
from autohands.config.schema import Config
from autohands.config.secrets import Secrets

__all__ = [
    "Config",
    "Loaded",
    "Paths",
    "Secrets",
    "home_directory",
    "ignored_in",
    "load",
    "load_agents",
    "prepare_home",
]
