"""What is durable, on one SQLite file: one writer thread, a journal, an engine."""

from autohands.storage.store import Store as Store
from autohands.storage.store import open as open
