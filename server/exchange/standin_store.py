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
  notation TEXT, title TEXT, type_name TEXT, urgency BIGINT, sha256 TEXT, size BIGINT, attachments TEXT, sent_us BIGINT);
CREATE TABLE IF NOT EXISTS copies (
  seq INTEGER PRIMARY KEY, doc_id TEXT UNIQUE, packet TEXT, receiver TEXT, state TEXT, reason TEXT, updated_us BIGINT,
  answered BIGINT DEFAULT 0);
CREATE INDEX IF NOT EXISTS copies_by_receiver ON copies (receiver, state);
CREATE INDEX IF NOT EXISTS copies_by_packet ON copies (packet);
CREATE INDEX IF NOT EXISTS packets_by_sender ON packets (sender, kind);
CREATE TABLE IF NOT EXISTS peers (code TEXT PRIMARY KEY, script TEXT);
CREATE TABLE IF NOT EXISTS mergers (seq INTEGER PRIMARY KEY, merger TEXT);
"""
_ADDED: Final = {"type_name": "TEXT DEFAULT ''", "urgency": "BIGINT DEFAULT 0"}


class Upload(msgspec.Struct, frozen=True):
    """What the stand-in read in an accepted packet; `attachments` are (name, sha256, size), `urgency` is -1 where it is not known."""

    kind: str
    sender: str
    document_id: str
    business: int
    status: str
    notation: str
    title: str
    type_name: str
    urgency: int
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
        there = {row["name"] for row in self._db.execute("PRAGMA table_info(packets)")}
        for name, kind in _ADDED.items():
            if name not in there:  # a folder of an earlier version
                self._db.execute(f"ALTER TABLE packets ADD COLUMN {name} {kind}")

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
                "INSERT INTO packets (doc_id, kind, sender, document_id, business, status, notation, title, type_name, urgency,"
                " sha256, size, attachments, sent_us) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    doc_id, upload.kind, upload.sender, upload.document_id, upload.business, upload.status, upload.notation, upload.title,
                    upload.type_name, upload.urgency, upload.sha256, upload.size, attachments, now_us,
                ),
            )  # fmt: skip
            self._db.executemany(
                "INSERT INTO copies (doc_id, packet, receiver, state, reason, updated_us)"
                " VALUES (?,?,?,'initial','',?)",
                [(str(uuid.uuid4()), doc_id, receiver, now_us) for receiver in upload.receivers],
            )
        return doc_id

    def raw_path(self, doc_id: str) -> Path:
        return self.raw / f"{doc_id}.edxml"

    def waiting(self, receivers: Sequence[str], kind: str) -> list[sqlite3.Row]:
        """What is listed for a system that receives for these units."""
        marks = ",".join("?" * len(receivers))
        return self._db.execute(
            "SELECT c.doc_id, c.receiver, c.state, c.updated_us, p.sender, p.kind, p.sent_us FROM copies c"  # noqa: S608 - marks only
            f" JOIN packets p ON p.doc_id = c.packet WHERE c.receiver IN ({marks}) AND p.kind = ?"
            " AND c.state IN ('initial', 'processing') ORDER BY c.seq",
            (*receivers, kind),
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
        return self._with_copies(self._db.execute("SELECT * FROM packets ORDER BY seq").fetchall())

    def last(self, documents: int) -> list[tuple[sqlite3.Row, list[sqlite3.Row]]]:
        """Everything about the documents that something was last sent about, in the order of sending."""
        return self._with_copies(
            self._db.execute(
                "SELECT * FROM packets WHERE document_id IN (SELECT document_id FROM packets GROUP BY document_id"
                " ORDER BY max(seq) DESC LIMIT ?) ORDER BY seq",
                (documents,),
            ).fetchall()
        )

    def _with_copies(self, packets: Sequence[sqlite3.Row]) -> list[tuple[sqlite3.Row, list[sqlite3.Row]]]:
        copies: dict[str, list[sqlite3.Row]] = {}
        first = packets[0]["doc_id"] if packets else ""
        rows = self._db.execute(
            "SELECT * FROM copies WHERE seq >= (SELECT coalesce(min(seq), 0) FROM copies WHERE packet = ?) ORDER BY seq",
            (first,),
        )
        for row in rows:
            copies.setdefault(row["packet"], []).append(row)
        return [(packet, copies.get(packet["doc_id"], [])) for packet in packets]

    def counts(self) -> dict[str, int]:
        """Packets of both kinds, and copies by transport state."""
        found = dict(self._db.execute("SELECT kind, count(*) FROM packets GROUP BY kind").fetchall())
        return found | dict(self._db.execute("SELECT state, count(*) FROM copies GROUP BY state").fetchall())

    def waiting_counts(self) -> dict[str, int]:
        """Unit to how many packets wait for it."""
        rows = self._db.execute(
            "SELECT receiver, count(*) FROM copies WHERE state IN ('initial', 'processing') GROUP BY receiver"
        )
        return dict(rows.fetchall())

    def add_merger(self, merger: bytes) -> None:
        with self._db:
            self._db.execute("INSERT INTO mergers (merger) VALUES (?)", (merger.decode(),))

    def mergers(self) -> list[str]:
        return [row["merger"] for row in self._db.execute("SELECT merger FROM mergers ORDER BY seq")]

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
