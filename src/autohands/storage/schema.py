"""The tables, as a list of migrations: entry n takes the schema from version n to n + 1."""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x4155_4841  # "AUHA", in the file's header

_FIRST: Final = """
CREATE TABLE workspace(
  id TEXT PRIMARY KEY, root TEXT NOT NULL UNIQUE,
  device TEXT NOT NULL, inode TEXT NOT NULL,
  created INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE session(
  id TEXT PRIMARY KEY, principal TEXT NOT NULL, name TEXT NOT NULL,
  workspace TEXT REFERENCES workspace(id), agent TEXT NOT NULL,
  title TEXT NOT NULL DEFAULT '', system TEXT,
  created INTEGER NOT NULL, updated INTEGER NOT NULL,
  UNIQUE(principal, name)) STRICT;
CREATE INDEX session_used ON session(principal, updated);

CREATE TABLE task(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  session TEXT NOT NULL REFERENCES session(id) ON DELETE CASCADE,
  principal TEXT NOT NULL, source TEXT NOT NULL, idempotency_key TEXT, body_hash BLOB,
  queue TEXT NOT NULL, kind TEXT NOT NULL, agent TEXT NOT NULL, labels BLOB NOT NULL,
  reply_address TEXT, correlation TEXT, deadline INTEGER,
  parent TEXT, root TEXT NOT NULL, forked_from TEXT, forked_turn INTEGER,
  request BLOB NOT NULL,
  rank INTEGER NOT NULL, run_at INTEGER,
  status TEXT NOT NULL CHECK(status IN(
    'delayed', 'blocked', 'ready', 'running', 'waiting', 'paused', 'done', 'failed', 'cancelled', 'dead')),
  reason TEXT, control TEXT CHECK(control IN('cancel', 'pause')), waits BLOB,
  attempt INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0, max_attempts INTEGER NOT NULL,
  lease_owner TEXT, lease_token INTEGER NOT NULL DEFAULT 0,
  text TEXT, error TEXT,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, ended INTEGER) STRICT;
CREATE INDEX task_claim ON task(queue, rank) WHERE status = 'ready';
CREATE INDEX task_timer ON task(run_at) WHERE status IN('delayed', 'waiting') AND run_at IS NOT NULL;
CREATE INDEX task_lease ON task(lease_owner) WHERE status = 'running';
CREATE INDEX task_blocked ON task(session, seq) WHERE status = 'blocked';
CREATE UNIQUE INDEX task_head ON task(session) WHERE status IN('ready', 'running', 'waiting', 'paused');
CREATE INDEX task_session ON task(session, seq);
CREATE INDEX task_parent ON task(parent) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX task_key ON task(principal, source, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE step(
  task INTEGER NOT NULL REFERENCES task(seq) ON DELETE CASCADE, turn INTEGER NOT NULL, idx INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK(kind IN('opening', 'model', 'tool')), name TEXT NOT NULL,
  status TEXT NOT NULL CHECK(status IN('started', 'done', 'failed', 'unknown')),
  idempotent INTEGER NOT NULL, input_hash BLOB, output BLOB, usage BLOB,
  attempt INTEGER NOT NULL DEFAULT 1, started INTEGER NOT NULL, ended INTEGER,
  PRIMARY KEY(task, turn, idx)) STRICT;

CREATE TABLE event(
  task INTEGER NOT NULL REFERENCES task(seq) ON DELETE CASCADE, seq INTEGER NOT NULL,
  type TEXT NOT NULL, at INTEGER NOT NULL, turn INTEGER, idx INTEGER, body BLOB NOT NULL,
  PRIMARY KEY(task, seq)) STRICT, WITHOUT ROWID;

CREATE TABLE signal(
  id INTEGER PRIMARY KEY, task INTEGER NOT NULL REFERENCES task(seq) ON DELETE CASCADE,
  topic TEXT NOT NULL, dedup TEXT, payload BLOB NOT NULL, turn INTEGER, created INTEGER NOT NULL,
  UNIQUE(task, dedup)) STRICT;
CREATE INDEX signal_topic ON signal(task, topic);
CREATE INDEX signal_unread ON signal(task) WHERE topic = 'words' AND turn IS NULL;

CREATE TABLE approval(
  id TEXT PRIMARY KEY, task INTEGER NOT NULL REFERENCES task(seq) ON DELETE CASCADE,
  turn INTEGER NOT NULL, idx INTEGER NOT NULL, tool TEXT NOT NULL, effect TEXT NOT NULL,
  preview TEXT NOT NULL, digest BLOB NOT NULL,
  state TEXT NOT NULL CHECK(state IN('pending', 'allow', 'deny', 'expired')),
  decided_by TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  created INTEGER NOT NULL, expires INTEGER) STRICT;
CREATE INDEX approval_task ON approval(task);
CREATE INDEX approval_pending ON approval(created) WHERE state = 'pending';

CREATE TABLE ledger(
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, task INTEGER NOT NULL, root TEXT NOT NULL, day TEXT NOT NULL,
  reserved INTEGER NOT NULL, settled INTEGER, model TEXT, usage BLOB,
  created INTEGER NOT NULL, updated INTEGER NOT NULL) STRICT;
CREATE INDEX ledger_task ON ledger(task, key);
CREATE TABLE purse(key TEXT PRIMARY KEY, micro_usd INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE executor(
  id TEXT PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL,
  started INTEGER NOT NULL, lease_until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE job(
  id TEXT PRIMARY KEY, session TEXT NOT NULL, executor TEXT NOT NULL, status TEXT NOT NULL,
  started INTEGER NOT NULL, row BLOB NOT NULL) STRICT;
CREATE INDEX job_session ON job(session);
CREATE INDEX job_running ON job(executor) WHERE status = 'running';
CREATE TABLE blob(
  sha256 TEXT PRIMARY KEY, mime TEXT NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE queue(name TEXT PRIMARY KEY, concurrency INTEGER, rate_limit INTEGER, rate_period_ms INTEGER) STRICT;
CREATE TABLE rate(
  queue TEXT NOT NULL, at INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(queue, at)) STRICT, WITHOUT ROWID;
CREATE TABLE schedule(
  name TEXT PRIMARY KEY, cron TEXT, timezone TEXT, next_at INTEGER NOT NULL, catch_up TEXT NOT NULL,
  template BLOB NOT NULL, paused INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL) STRICT;
CREATE INDEX schedule_due ON schedule(next_at) WHERE paused = 0;
CREATE TABLE occurrence(
  schedule TEXT NOT NULL REFERENCES schedule(name) ON DELETE CASCADE, at INTEGER NOT NULL,
  state TEXT NOT NULL CHECK(state IN('fired', 'skipped', 'missed', 'superseded')), task TEXT,
  created INTEGER NOT NULL, PRIMARY KEY(schedule, at)) STRICT, WITHOUT ROWID;
CREATE TABLE message(
  id INTEGER PRIMARY KEY, task INTEGER REFERENCES task(seq) ON DELETE SET NULL, address TEXT NOT NULL,
  dedup TEXT UNIQUE, body BLOB NOT NULL, labels BLOB NOT NULL,
  state TEXT NOT NULL CHECK(state IN('pending', 'sending', 'sent', 'held', 'dead')),
  attempt INTEGER NOT NULL DEFAULT 0, send_at INTEGER NOT NULL, error TEXT,
  created INTEGER NOT NULL, updated INTEGER NOT NULL) STRICT;
CREATE INDEX message_due ON message(send_at) WHERE state = 'pending';
CREATE INDEX message_task ON message(task) WHERE task IS NOT NULL;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: Final[tuple[str, ...]] = (_FIRST,)
