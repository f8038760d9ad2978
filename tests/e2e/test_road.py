"""The main road over the API in one process: intake, push, sheet, PIN, time stamp, seal, exchange, statuses, file back."""

import asyncio
import base64
import hashlib
import json
import subprocess
import unicodedata
from pathlib import Path

import pytest
from httpx2 import AsyncClient

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import Stack, running


@pytest.mark.asyncio
async def test_a_document_goes_all_the_way(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        clerk = await stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
        await stack.credential(leader, "Nguyễn Văn Mẫu")
        await stack.credential(clerk, "Ủy ban nhân dân xã Mẫu", "seal")
        await leader.call(
            "PUT",
            "/api/v1/me/push-addresses/fcm",
            expect=204,
            json={"registration_token": "sample-token-of-the-leader"},
        )
        async with AsyncClient() as axis:
            await axis.put(f"{stack.axis_url}/_peers", json={"X02": {}, "X03": {}})
        taken = await stack.take_in(pdfs.vietnamese(), [leader])
        assert taken.status_code == 201, taken.text
        document = taken.json()["id"]

        inbox = await leader.json("GET", "/api/v1/inbox")
        assert [item["id"] for item in inbox["items"]] == [document]
        revision = inbox["items"][0]["revision"]
        page = await leader.call(
            "GET", f"/api/v1/documents/{document}/revisions/{revision}/pages/1?width=720", expect=200
        )
        assert page.content.startswith(b"\xff\xd8")
        assert page.headers["etag"] == f'"{hashlib.sha256(page.content).hexdigest()}"'

        signed = await leader.sign(document)
        assert signed.status_code == 200, signed.text
        await stack.until(document, "signed")
        sealed = await clerk.sign(document)
        assert sealed.status_code == 200, sealed.text
        await stack.until(document, "accepted", within_s=60)
        final = await stack.qlvb.call("GET", f"/api/v1/documents/{document}/files/final", expect=200)
        path = tmp_path / "final.pdf"
        path.write_bytes(final.content)
        command = ["pdfsig", str(path)]
        verdict = (await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)).stdout
        assert verdict.count("Signature is Valid") == 2, verdict

        async with AsyncClient() as axis:
            packets = (await axis.get(f"{stack.axis_url}/_oracle")).json()["packets"]
        sent = [packet for packet in packets if packet["attachments"]]
        assert len(sent) == 1, "exactly one packet left"
        digest = hashlib.sha256(final.content).hexdigest()
        assert [attachment["sha256"] for attachment in sent[0]["attachments"]] == [digest], (
            "the file of the axis is the file of the QLVB"
        )
        deliveries = await stack.qlvb.json("GET", f"/api/v1/documents/{document}/deliveries")
        assert {one["organ_id"]: [status["code"] for status in one["statuses"]] for one in deliveries["receivers"]} == {
            "X02": ["01", "03"], "X03": ["01", "03"]
        }  # fmt: skip
        states = [one["state"] for one in (await stack.qlvb.json("GET", "/api/v1/changes?limit=200"))["items"]]
        reached = list(dict.fromkeys(states))
        assert [reached.index(one) for one in ("in_review", "signed", "sealed", "forwarded", "accepted")] == sorted(
            reached.index(one) for one in ("in_review", "signed", "sealed", "forwarded", "accepted")
        )
        kinds = [one["kind"] for one in (await leader.json("GET", "/api/v1/notices"))["items"]]
        assert {"to_sign", "accepted"} <= set(kinds), "the leader is told that it arrived"
        await pushed(stack, 2)
        told = b"\n".join(record.raw.encode() for record in stack.fcm.records)
        row = await leader.json("GET", f"/api/v1/documents/{document}")
        words = (
            row["subject"],
            f"{row['number']}/{row['notation']}",
            row["notation"],
            document,
            "Nguyễn Văn Mẫu",
            "Ủy ban nhân dân xã Mẫu",
            leader.person,
        )
        for word in words:
            assert not [form for form in written_forms(word) if form in told], (
                "C12: a push says nothing but that there is something"
            )


async def pushed(stack: Stack, count: int) -> None:
    for _ in range(1200):
        if len(stack.fcm.records) >= count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the double saw too few pushes")


def written_forms(word: str) -> set[bytes]:
    """UTF-8 in both normal forms, JSON-escaped, and base64 at any offset."""
    texts = {unicodedata.normalize(form, word) for form in ("NFC", "NFD")}
    forms = {text.encode() for text in texts} | {json.dumps(text)[1:-1].encode() for text in texts}
    for text in texts:
        for offset in range(3):
            raw = base64.b64encode(b"\0" * offset + text.encode())
            forms.add(raw[(0, 2, 3)[offset] + (0 if offset == 0 else 2) :].rstrip(b"=")[:-2])
    return {form for form in forms if len(form) >= 6}
