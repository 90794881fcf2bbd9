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

_SECOND: Final = """
ALTER TABLE task ADD COLUMN depth INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN occurrence TEXT;
CREATE INDEX task_backoff ON task(updated) WHERE status = 'waiting' AND reason = 'backoff';
CREATE INDEX task_deadline ON task(deadline) WHERE deadline IS NOT NULL AND ended IS NULL;
CREATE INDEX task_ended ON task(ended) WHERE ended IS NOT NULL;
CREATE INDEX task_occurrence ON task(occurrence) WHERE occurrence IS NOT NULL AND ended IS NULL;

ALTER TABLE task ADD COLUMN ahead INTEGER NOT NULL DEFAULT 0;
UPDATE task SET ahead = created - rank;
CREATE TABLE tally(
  queue TEXT NOT NULL, status TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(queue, status)) STRICT, WITHOUT ROWID;
INSERT INTO tally SELECT queue, status, count(*) FROM task WHERE ended IS NULL GROUP BY queue, status;
CREATE TRIGGER tally_accepted AFTER INSERT ON task WHEN new.ended IS NULL BEGIN
  INSERT INTO tally VALUES(new.queue, new.status, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tally_left AFTER UPDATE OF status, queue ON task
  WHEN old.ended IS NULL AND (old.status, old.queue) <> (new.status, new.queue) BEGIN
  DELETE FROM tally WHERE queue = old.queue AND status = old.status AND n = 1;
  UPDATE tally SET n = n - 1 WHERE queue = old.queue AND status = old.status;
END;
CREATE TRIGGER tally_entered AFTER UPDATE OF status, queue ON task
  WHEN new.ended IS NULL AND (old.status, old.queue) <> (new.status, new.queue) BEGIN
  INSERT INTO tally VALUES(new.queue, new.status, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER tally_deleted AFTER DELETE ON task WHEN old.ended IS NULL BEGIN
  DELETE FROM tally WHERE queue = old.queue AND status = old.status AND n = 1;
  UPDATE tally SET n = n - 1 WHERE queue = old.queue AND status = old.status;
END;

CREATE TABLE dependency(
  needs TEXT NOT NULL, task INTEGER NOT NULL REFERENCES task(seq) ON DELETE CASCADE,
  PRIMARY KEY(needs, task)) STRICT, WITHOUT ROWID;
CREATE INDEX dependency_task ON dependency(task);

ALTER TABLE session ADD COLUMN forked_from TEXT;
ALTER TABLE session ADD COLUMN forked_before INTEGER;
CREATE INDEX session_age ON session(updated);
CREATE INDEX session_forked ON session(forked_from) WHERE forked_from IS NOT NULL;
ALTER TABLE step ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;

DROP TABLE queue;
CREATE TABLE queue(
  name TEXT PRIMARY KEY, concurrency INTEGER, depth INTEGER, rate INTEGER,
  period_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
DROP TABLE rate;
CREATE TABLE rate(
  queue TEXT NOT NULL, at INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(queue, at)) STRICT, WITHOUT ROWID;

DROP TABLE occurrence;
DROP TABLE schedule;
CREATE TABLE schedule(
  name TEXT PRIMARY KEY, schedule BLOB NOT NULL, workspace TEXT REFERENCES workspace(id),
  state TEXT NOT NULL CHECK(state IN('active', 'paused', 'unconfirmed', 'over')), reason TEXT NOT NULL DEFAULT '',
  next_at INTEGER, forgotten INTEGER, failures INTEGER NOT NULL DEFAULT 0, backoff_until INTEGER,
  created INTEGER NOT NULL, updated INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule(next_at) WHERE state = 'active' AND next_at IS NOT NULL;
CREATE TABLE occurrence(
  schedule TEXT NOT NULL REFERENCES schedule(name) ON DELETE CASCADE, at INTEGER NOT NULL,
  state TEXT NOT NULL CHECK(state IN('fired', 'skipped', 'missed', 'superseded')), reason TEXT NOT NULL DEFAULT '',
  task TEXT, created INTEGER NOT NULL, PRIMARY KEY(schedule, at)) STRICT, WITHOUT ROWID;

DROP TABLE message;
CREATE TABLE message(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
  task INTEGER REFERENCES task(seq) ON DELETE SET NULL, channel TEXT NOT NULL, address TEXT NOT NULL,
  key TEXT NOT NULL, text TEXT NOT NULL, images BLOB NOT NULL,
  state TEXT NOT NULL CHECK(state IN('pending', 'sending', 'sent', 'held', 'dead')), head INTEGER NOT NULL DEFAULT 0,
  owner TEXT, attempt INTEGER NOT NULL DEFAULT 0, doubtful INTEGER NOT NULL DEFAULT 0,
  labelled INTEGER NOT NULL DEFAULT 0, receipt TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
  send_at INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, UNIQUE(address, key)) STRICT;
CREATE INDEX message_due ON message(channel, send_at) WHERE head = 1;
CREATE UNIQUE INDEX message_head ON message(address) WHERE head = 1;
CREATE INDEX message_thread ON message(address, seq) WHERE state = 'pending';
CREATE INDEX message_waiting ON message(channel) WHERE state = 'pending';
CREATE INDEX message_sending ON message(channel) WHERE state = 'sending';
CREATE INDEX message_stranded ON message(channel) WHERE head = 1 AND state = 'pending' AND error = '';
CREATE INDEX message_early ON message(channel, updated) WHERE head = 1 AND state = 'pending';
CREATE INDEX message_state ON message(state, seq);
CREATE INDEX message_task ON message(task) WHERE task IS NOT NULL;
CREATE INDEX message_settled ON message(updated) WHERE state IN('sent', 'dead');

CREATE TABLE publication(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, reply_to TEXT,
  created INTEGER NOT NULL) STRICT;
CREATE TABLE publication_key(
  key TEXT PRIMARY KEY, seq INTEGER NOT NULL, body_hash BLOB NOT NULL, created INTEGER NOT NULL,
  used INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX publication_key_used ON publication_key(used);
CREATE TABLE subscription(
  name TEXT PRIMARY KEY, pattern TEXT NOT NULL, wild INTEGER NOT NULL, until INTEGER, cursor INTEGER NOT NULL,
  unread INTEGER NOT NULL DEFAULT 0, unread_bytes INTEGER NOT NULL DEFAULT 0,
  created INTEGER NOT NULL, updated INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX subscription_pattern ON subscription(pattern);
CREATE INDEX subscription_wild ON subscription(wild) WHERE wild = 1;
CREATE INDEX subscription_until ON subscription(until) WHERE until IS NOT NULL;
CREATE INDEX subscription_lasting ON subscription(name) WHERE until IS NULL;
CREATE TABLE delivery(
  subscriber TEXT NOT NULL REFERENCES subscription(name) ON DELETE CASCADE,
  seq INTEGER NOT NULL REFERENCES publication(seq), size INTEGER NOT NULL,
  PRIMARY KEY(subscriber, seq)) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_seq ON delivery(seq);
"""

_THIRD: Final = """
ALTER TABLE step ADD COLUMN denied INTEGER NOT NULL DEFAULT 0;

ALTER TABLE approval ADD COLUMN rule BLOB;
CREATE INDEX approval_created ON approval(created);
CREATE TABLE permission(
  session TEXT NOT NULL REFERENCES session(id) ON DELETE CASCADE, rule BLOB NOT NULL, by TEXT NOT NULL,
  created INTEGER NOT NULL, PRIMARY KEY(session, rule)) STRICT, WITHOUT ROWID;

CREATE TABLE hold(
  place TEXT NOT NULL, path TEXT NOT NULL, task INTEGER NOT NULL REFERENCES task(seq) ON DELETE CASCADE,
  since INTEGER NOT NULL, PRIMARY KEY(place, path)) STRICT, WITHOUT ROWID;
CREATE INDEX hold_task ON hold(task);
"""

_FOURTH: Final = """
CREATE TABLE step_new(
  task INTEGER NOT NULL REFERENCES task(seq) ON DELETE CASCADE, turn INTEGER NOT NULL, idx INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK(kind IN('opening', 'context', 'model', 'tool')), name TEXT NOT NULL,
  status TEXT NOT NULL CHECK(status IN('started', 'done', 'failed', 'unknown')),
  idempotent INTEGER NOT NULL, input_hash BLOB, output BLOB, usage BLOB,
  attempt INTEGER NOT NULL DEFAULT 1, started INTEGER NOT NULL, ended INTEGER, retries INTEGER NOT NULL DEFAULT 0,
  denied INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(task, turn, idx)) STRICT;
INSERT INTO step_new SELECT task, turn, idx, kind, name, status, idempotent, input_hash, output, usage, attempt,
  started, ended, retries, denied FROM step;
DROP TABLE step;
ALTER TABLE step_new RENAME TO step;
"""

_FIFTH: Final = """
ALTER TABLE task ADD COLUMN purse TEXT;
ALTER TABLE purse ADD COLUMN cap INTEGER;
ALTER TABLE ledger ADD COLUMN purse TEXT;
ALTER TABLE ledger ADD COLUMN session TEXT;
ALTER TABLE ledger ADD COLUMN agent TEXT;
ALTER TABLE ledger ADD COLUMN schedule TEXT;
ALTER TABLE ledger ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
UPDATE ledger SET purse = 'root:' || ledger.root, session = r.session, schedule = r.occurrence,
  agent = (SELECT t.agent FROM task t WHERE t.seq = ledger.task) FROM task r WHERE r.id = ledger.root;
INSERT INTO purse(key, micro_usd) SELECT 'session:' || session, sum(coalesce(settled, reserved)) FROM ledger
  WHERE session IS NOT NULL GROUP BY session;
INSERT INTO purse(key, micro_usd) SELECT 'agent:' || agent || ':' || day, sum(coalesce(settled, reserved)) FROM ledger
  WHERE agent IS NOT NULL GROUP BY agent, day;
INSERT INTO purse(key, micro_usd) SELECT 'schedule:' || schedule || ':' || day, sum(coalesce(settled, reserved))
  FROM ledger WHERE schedule IS NOT NULL GROUP BY schedule, day;
CREATE INDEX ledger_day ON ledger(day);
CREATE INDEX ledger_schedule ON ledger(schedule, root) WHERE schedule IS NOT NULL;
CREATE INDEX task_tree ON task(root) WHERE parent IS NOT NULL;
"""

MIGRATIONS: Final[tuple[str, ...]] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH)
