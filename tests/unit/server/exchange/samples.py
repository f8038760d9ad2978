"""Sample packets; all names are plainly samples."""

import datetime as dt
import hashlib
import time
import uuid
from pathlib import Path

from server.exchange import edxml
from server.exchange.model import (
    Business,
    DocumentPacket,
    MessageHeader,
    Organisation,
    OtherInfo,
    ResponseFor,
    Signer,
    StaffInfo,
    StatusPacket,
    TraceHeader,
    document_id,
)

DAY = dt.date(2026, 3, 2)
AT_US = 1_772_420_400_000_000


def make_packet(folder: Path, *, number="12", receivers=("X02",), files=None, business=None) -> DocumentPacket:
    files = {"Quyết định số 12 (bản ký).pdf": b"%PDF-1.7\n" + bytes(range(256))} if files is None else files
    attachments = []
    for index, (name, data) in enumerate(files.items()):
        path = folder / f"{number}-{index}.bin"
        path.write_bytes(data)
        content_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number}-{index}"))
        attachments.append(edxml.attachment(path, name, "application/pdf", content_id=content_id))
    return DocumentPacket(
        header=MessageHeader(
            sender=Organisation(organ_id="X01", name="Cơ quan Mẫu Một"),
            receivers=tuple(Organisation(organ_id=code) for code in receivers),
            document_id=document_id("X01", DAY, number, "QĐ-CQM"),
            number=number,
            notation="QĐ-CQM",
            place="Hà Nội",
            promulgated=DAY,
            type_code=2,
            type_name="Quyết định",
            subject='V/v ban hành quy chế mẫu & "thử" <một>',
            signer=Signer(competence="TM.", position="Chủ tịch", full_name="Nguyễn Văn Mẫu"),
            other=OtherInfo(priority=3, page_amount=2, direction=False),
            to_places=("Như trên", "Lưu: VT"),
        ),
        traces=(TraceHeader(organ_id="X01", at_us=AT_US),),
        business=business or Business(staff=StaffInfo(staff="Trần Thị Mẫu")),
        attachments=tuple(attachments),
    )


def make_status(status="03", *, sender="X02", to="X01", number="12") -> StatusPacket:
    return StatusPacket(
        sender=Organisation(organ_id=sender, name="Cơ quan Mẫu Hai"),
        response_for=ResponseFor(
            organ_id=to,
            code=f"{number}/QĐ-CQM",
            document_id=document_id("X01", DAY, number, "QĐ-CQM"),
            promulgated=DAY,
        ),
        status=status,
        description="Đã vào sổ",
        at_us=AT_US,
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def now_us() -> int:
    return time.time_ns() // 1000
