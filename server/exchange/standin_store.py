"""What the stand-in axis remembers: accepted packets with their raw bytes, one copy per receiver. Survives kill -9."""

import os
import secrets
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS packets (
  seq INTEGER PRIMARY KEY, doc_id TEXT UNIQUE, kind TEXT, sender TEXT, document_id TEXT, business BIGINT, status TEXT,
  notation TEXT, title TEXT, sha256 TEXT, size BIGINT, attachments TEXT, sent_us BIGINT);
CREATE TABLE IF NOT EXISTS copies (
  seq INTEGER PRIMARY KEY, doc_id TEXT UNIQUE, packet TEXT, receiver TEXT, state TEXT, reason TEXT, updated_us BIGINT,
  answered BIGINT DEFAULT 0);
CREATE INDEX IF NOT EXISTS copies_by_receiver ON copies (receiver, state);
CREATE INDEX IF NOT EXISTS copies_by_packet ON copies (packet);
CREATE INDEX IF NOT EXISTS packets_by_sender ON packets (sender, kind);
CREATE TABLE IF NOT EXISTS peers (code TEXT PRIMARY KEY, script TEXT);
"""


class Upload(msgspec.Struct, frozen=True):
    """What the stand-in read in an accepted packet; `attachments` are (name, sha256, size)."""

    kind: str
    sender: str
    document_id: str
    business: int
    status: str
    notation: str
    title: str
    sha256: str
    size: int
    attachments: list[tuple[str, str, int]]
    receivers: list[str]


class Store:
    """Blocking; called on one thread only. Every write is durable before it returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw = folder / "raw"
        self.raw.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "standin.db", check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def accept(self, upload: Upload, file: Path, now_us: int) -> str:
        """Keeps `file` (moved) and makes one copy per receiver; the sender's doc id."""
        doc_id = secrets.token_hex(12)
        with file.open("rb") as source:
            os.fsync(source.fileno())
        file.rename(self.raw_path(doc_id))
        attachments = msgspec.json.encode(upload.attachments).decode()
        with self._db:
            self._db.execute(
                "INSERT INTO packets (doc_id, kind, sender, document_id, business, status, notation, title, sha256,"
                " size, attachments, sent_us) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    doc_id,
                    upload.kind,
                    upload.sender,
                    upload.document_id,
                    upload.business,
                    upload.status,
                    upload.notation,
                    upload.title,
                    upload.sha256,
                    upload.size,
                    attachments,
                    now_us,
                ),
            )
            self._db.executemany(
                "INSERT INTO copies (doc_id, packet, receiver, state, reason, updated_us)"
                " VALUES (?,?,?,'initial','',?)",
                [(str(uuid.uuid4()), doc_id, receiver, now_us) for receiver in upload.receivers],
            )
        return doc_id

    def raw_path(self, doc_id: str) -> Path:
        return self.raw / f"{doc_id}.edxml"

    def waiting(self, receiver: str, kind: str) -> list[sqlite3.Row]:
        return self._db.execute(
            "SELECT c.doc_id, c.receiver, c.state, c.updated_us, p.sender, p.kind, p.sent_us FROM copies c"
            " JOIN packets p ON p.doc_id = c.packet WHERE c.receiver = ? AND p.kind = ?"
            " AND c.state IN ('initial', 'processing') ORDER BY c.seq",
            (receiver, kind),
        ).fetchall()

    def copy(self, doc_id: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM copies WHERE doc_id = ?", (doc_id,)).fetchone()
        return row

    def packet(self, doc_id: str) -> sqlite3.Row:
        row: sqlite3.Row = self._db.execute("SELECT * FROM packets WHERE doc_id = ?", (doc_id,)).fetchone()
        return row

    def mark(self, doc_id: str, state: str, reason: str, now_us: int) -> None:
        with self._db:
            self._db.execute(
                "UPDATE copies SET state = ?, reason = ?, updated_us = ? WHERE doc_id = ?",
                (state, reason, now_us, doc_id),
            )

    def sent(self, sender: str, kind: str, doc_id: str) -> list[sqlite3.Row]:
        return self._db.execute(
            "SELECT c.doc_id AS copy_id, c.receiver, c.state, c.reason, c.updated_us, p.* FROM copies c"
            " JOIN packets p ON p.doc_id = c.packet WHERE p.sender = ? AND p.kind = ? AND (? = '' OR p.doc_id = ?)"
            " ORDER BY c.seq",
            (sender, kind, doc_id, doc_id),
        ).fetchall()

    def all(self) -> list[tuple[sqlite3.Row, list[sqlite3.Row]]]:
        copies: dict[str, list[sqlite3.Row]] = {}
        for row in self._db.execute("SELECT * FROM copies ORDER BY seq"):
            copies.setdefault(row["packet"], []).append(row)
        packets = self._db.execute("SELECT * FROM packets ORDER BY seq").fetchall()
        return [(packet, copies.get(packet["doc_id"], [])) for packet in packets]

    def set_peers(self, scripts: dict[str, bytes]) -> None:
        with self._db:
            self._db.execute("DELETE FROM peers")
            self._db.executemany("INSERT INTO peers VALUES (?, ?)", [(c, s.decode()) for c, s in scripts.items()])

    def peers(self) -> dict[str, str]:
        return {row["code"]: row["script"] for row in self._db.execute("SELECT * FROM peers")}

    def unanswered(self, receivers: Sequence[str]) -> list[sqlite3.Row]:
        """Copies that scripted peers have not begun to answer."""
        marks = ",".join("?" * len(receivers))
        return self._db.execute(
            f"SELECT * FROM copies WHERE answered = 0 AND receiver IN ({marks}) ORDER BY seq",  # noqa: S608 - marks only
            tuple(receivers),
        ).fetchall()

    def answered(self, doc_id: str) -> None:
        with self._db:
            self._db.execute("UPDATE copies SET answered = 1 WHERE doc_id = ?", (doc_id,))
