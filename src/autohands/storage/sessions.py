"""Sessions: found by id or name, made where missing, each bound to one workspace."""

from __future__ import annotations

import re
import sqlite3
from typing import Any, Final

from msgspec import Struct

from autohands.protocols.changes import FixSystem, ForgetSession, RenameSession
from autohands.protocols.errors import BadRequest, Conflict, NotFound
from autohands.protocols.records import SessionRecord
from autohands.protocols.task import Task
from autohands.sdk.failpoint import failpoint
from autohands.sdk.identity import new_id
from autohands.storage import workspaces
from autohands.storage.transaction import TaskKey, Transaction
from autohands.storage.workspaces import Place

ID_PREFIX: Final = "ses_"
_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_FIELDS: Final = (
    *("id", "name", "principal", "workspace", "agent", "title", "system"),
    *("tasks", "attempts", "forked_from", "forked_before", "created", "updated"),
)
_SELECT: Final = (
    "SELECT s.id, s.name, s.principal, coalesce(w.root, ''), s.agent, s.title, s.system,"
    " (SELECT count(*) FROM task t WHERE t.session = s.id),"
    " (SELECT coalesce(sum(t.attempt), 0) FROM task t WHERE t.session = s.id),"
    " s.forked_from, s.forked_before, s.created, s.updated FROM session s LEFT JOIN workspace w ON w.id = s.workspace"
)
_SAID: Final = (
    " AND (s.title LIKE :like ESCAPE '\\' OR s.name LIKE :like ESCAPE '\\' OR EXISTS(SELECT 1 FROM task t"
    " WHERE t.session = s.id AND (json_extract(CAST(t.request AS TEXT), '$.prompt') LIKE :like ESCAPE '\\'"
    " OR EXISTS(SELECT 1 FROM step p, json_tree(CAST(p.output AS TEXT)) j WHERE p.task = t.seq AND p.kind = 'model'"
    " AND p.output IS NOT NULL AND j.key = 'text' AND j.value LIKE :like ESCAPE '\\'))))"
)
TITLE_LENGTH: Final = 60
MOST_FORKS: Final = 100
SHORTEST_PREFIX: Final = len(ID_PREFIX) + 8


class Entered(Struct, frozen=True):
    """The session of a new task: its id, its workspace's root ('' without one), whether it was `made` for the task."""

    id: str
    workspace: str
    made: bool = False


def _record(row: tuple[Any, ...]) -> SessionRecord:
    return SessionRecord(**dict(zip(_FIELDS, row, strict=True)))


def get(connection: sqlite3.Connection, session: str, principal: str) -> SessionRecord:
    """A principal's session by name, by id, or by the beginning of its id.

    Raises:
        NotFound: There is none, several begin so, or it belongs to somebody else.
    """
    column = _column(session)
    last = session + "\U0010ffff" if column == "id" and len(session) >= SHORTEST_PREFIX else session
    principals = "s.principal" if column == "name" else "+s.principal"  # an id is found by its own index
    rows = connection.execute(
        f"{_SELECT} WHERE s.{column} BETWEEN ? AND ? AND {principals} = ? ORDER BY s.{column} LIMIT 4",
        (session, last, principal),
    ).fetchall()
    if not rows:
        raise _missing(session)
    if len(rows) > 1 and rows[0][0] != session:
        raise NotFound(f"several sessions begin with {session!r}", hint=", ".join(str(row[0]) for row in rows))
    return _record(rows[0])


def _column(session: str) -> str:
    return "id" if session.startswith(ID_PREFIX) else "name"


def _missing(session: str) -> NotFound:
    return NotFound(f"there is no session {session!r}", hint="`autohands session list` shows them")


def search(connection: sqlite3.Connection, text: str, principal: str, limit: int) -> list[SessionRecord]:
    """A principal's sessions, last used first; with `text`, those in which it was said."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = connection.execute(
        f"{_SELECT} WHERE s.principal = :principal{_SAID if text else ''}"
        " ORDER BY s.updated DESC, s.id DESC LIMIT :limit",
        {"principal": principal, "like": f"%{escaped}%", "limit": limit},
    )
    return [_record(row) for row in rows]


def enter(tx: Transaction, task: Task, place: Place | None) -> Entered:
    """The session a task belongs to, made if it is missing.

    Raises:
        NotFound: An id that is not known, or somebody else's. BadRequest: That is no name.
        Conflict: The session is bound to another workspace.
    """
    name = task.session or ""
    row = (
        name
        and tx.connection.execute(
            "SELECT s.id, coalesce(w.root, '') FROM session s LEFT JOIN workspace w ON w.id = s.workspace"
            f" WHERE s.{_column(name)} = ? AND s.principal = ?",
            (name, task.principal),
        ).fetchone()
    )
    if not row:
        return Entered(_make(tx, task, place), place.root if place else "", made=True)
    session, root = row
    if place is not None and place.root != root:
        if root:
            raise Conflict(
                f"session {name!r} works in {root}, not in {place.root}",
                hint="leave the workspace out, or begin another session",
            )
        root = place.root
        tx.connection.execute("UPDATE session SET workspace = ? WHERE id = ?", (workspaces.keep(tx, place), session))
    tx.connection.execute("UPDATE session SET updated = ? WHERE id = ?", (tx.now, session))
    return Entered(session, root)


def _make(tx: Transaction, task: Task, place: Place | None) -> str:
    new = new_id("ses")
    name = task.session or new
    if name != new and name.startswith(ID_PREFIX):
        raise _missing(name)
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name[:200]!r} cannot name a session", hint="use at most 128 letters, digits and the signs . _ : -"
        )
    workspace = workspaces.keep(tx, place) if place else None
    tx.connection.execute(
        "INSERT INTO session(id, principal, name, workspace, agent, title, created, updated)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
        (new, task.principal, name, workspace, task.agent, _title(task.prompt), tx.now, tx.now),
    )
    failpoint("sessions.made")
    return new


def _title(prompt: str) -> str:
    """What a session is called until it is renamed: how its first prompt begins."""
    line = " ".join(prompt[: 4 * TITLE_LENGTH].split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…"


def fork(tx: Transaction, task: TaskKey) -> str:
    """A session of its own that goes on from where `task` began: same workspace, agent and system prompt. Its id.

    Raises:
        BadRequest: It would be a fork of a fork of a fork, too often for its history to be read.
    """
    before, depth = task.session, 0
    while row := tx.connection.execute("SELECT forked_from FROM session WHERE id = ?", (before,)).fetchone():
        before, depth = row[0], depth + 1
    if depth > MOST_FORKS:
        raise BadRequest(f"task {task.id} stands behind {MOST_FORKS} forks", hint="begin a new session")
    new = new_id("ses")
    tx.connection.execute(
        "INSERT INTO session(id, principal, name, workspace, agent, title, system, forked_from, forked_before, created,"
        " updated) SELECT :new, principal, :new, workspace, agent, title, system, id, :before, :now, :now"
        " FROM session WHERE id = :old",
        {"new": new, "before": task.seq, "now": tx.now, "old": task.session},
    )
    return new


def fix_system(tx: Transaction, change: FixSystem, _task: TaskKey) -> str:
    """Keep a system prompt if there is none yet; the one that stands."""
    tx.connection.execute(
        "UPDATE session SET system = ? WHERE id = ? AND system IS NULL", (change.system, change.session)
    )
    row = tx.connection.execute("SELECT system FROM session WHERE id = ?", (change.session,)).fetchone()
    return str(row[0]) if row else change.system


def rename(tx: Transaction, change: RenameSession) -> None:
    """Give a session another title.

    Raises:
        NotFound: There is no such session.
    """
    renamed = tx.connection.execute("UPDATE session SET title = ? WHERE id = ?", (change.title, change.session))
    if renamed.rowcount == 0:
        raise _missing(change.session)


def forget(tx: Transaction, change: ForgetSession) -> None:
    """Delete a session with all that belongs to it; what it has cost stays in the ledger.

    Raises:
        NotFound: There is no such session. Conflict: One of its tasks has not ended, or another session is its fork.
    """
    open_task = tx.connection.execute(
        "SELECT id, status FROM task WHERE session = ? AND ended IS NULL LIMIT 1", (change.session,)
    ).fetchone()
    if open_task:
        raise Conflict(f"task {open_task[0]} of this session is {open_task[1]}", hint="cancel it first")
    fork = tx.connection.execute("SELECT id FROM session WHERE forked_from = ? LIMIT 1", (change.session,)).fetchone()
    if fork:
        raise Conflict(f"session {fork[0]} goes on from this one and needs its history", hint="delete that one first")
    tx.connection.execute("DELETE FROM job WHERE session = ?", (change.session,))
    if tx.connection.execute("DELETE FROM session WHERE id = ?", (change.session,)).rowcount == 0:
        raise _missing(change.session)
