"""The main road over the API in one process: intake, push, sheet, PIN, time stamp, seal, exchange, statuses, file back."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from server.identity.model import Role
from tests.fakes import pdfs
from tests.fakes.stack import running


@pytest.mark.asyncio
async def test_a_document_goes_all_the_way(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        leader = await stack.person("Nguyễn Văn Mẫu", Role.LEADER)
        clerk = await stack.person("Trần Thị Mẫu", Role.CLERK, office=True, position="Văn thư")
        await stack.credential(leader, "Nguyễn Văn Mẫu")
        await stack.credential(clerk, "Ủy ban nhân dân xã Mẫu", "seal")
        await leader.call("PUT", "/api/v1/me/push-addresses/fcm", expect=204, json={"registration_token": "sample-token-of-the-leader"})
        taken = await stack.take_in(pdfs.vietnamese(), [leader])
        assert taken.status_code == 201, taken.text
        document = taken.json()["id"]

        inbox = await leader.json("GET", "/api/v1/inbox")
        assert [item["id"] for item in inbox["items"]] == [document]
        revision = inbox["items"][0]["revision"]
        page = await leader.call("GET", f"/api/v1/documents/{document}/revisions/{revision}/pages/1?width=720", expect=200)
        assert page.content.startswith(b"\xff\xd8") and page.headers["etag"] == f'"{hashlib.sha256(page.content).hexdigest()}"'

        signed = await leader.sign(document)
        assert signed.status_code == 200, signed.text
        await stack.until(document, "signed")
        sealed = await clerk.sign(document)
        assert sealed.status_code == 200, sealed.text
        await stack.until(document, "sealed", "forwarded", "delivered", "accepted")
        final = await stack.qlvb.call("GET", f"/api/v1/documents/{document}/files/final", expect=200)
        path = tmp_path / "final.pdf"
        path.write_bytes(final.content)
        verdict = subprocess.run(["pdfsig", str(path)], capture_output=True, text=True, check=False).stdout
        assert verdict.count("Signature is Valid") == 2, verdict
