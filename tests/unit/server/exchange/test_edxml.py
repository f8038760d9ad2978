"""edXML: what is written, what is read although it is wrong, and what is refused. lxml judges what we write.

Longer than most: one table of deviations and what is made of each.
"""

import base64
import datetime as dt
import io
import json
import random
import time
import tracemalloc
import uuid
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from server.exchange import edxml, xmlread, zips
from server.exchange.edxml import Limits, Unreadable
from server.exchange.model import (
    Attachment,
    Business,
    DocumentPacket,
    ExchangeError,
    MessageHeader,
    Organisation,
    OtherInfo,
    ReceiverChange,
    Replacement,
    ResponseFor,
    Signer,
    StaffInfo,
    StatusPacket,
    TraceHeader,
    UpdateInfo,
)
from tests.shared import SAMPLES, needs_samples
from tests.unit.server.exchange.samples import make_packet, make_status, sha256

NS = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
VECTORS = Path(__file__).parents[3] / "vectors" / "edxml_deviations.json"
ROUNDS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def bare(packet):
    """The packet without where its attachments lie and what was found wrong with them."""
    if isinstance(packet, StatusPacket):
        return packet
    files = tuple(msgspec.structs.replace(a, path=Path(), findings=()) for a in packet.attachments)
    return msgspec.structs.replace(packet, attachments=files)


def read(path, folder, limits=None):
    into = folder / uuid.uuid4().hex
    into.mkdir()
    return edxml.parse(path, into, limits)


# -- writing ----------------------------------------------------------------------------------------------------------


def test_the_written_packet_has_the_exact_prefixes_order_and_encodings(tmp_path):
    packet = make_packet(tmp_path, receivers=("X02", "X03"))
    written = edxml.write(packet, tmp_path / "p")
    text = written.path.read_text("utf-8")
    assert text.startswith(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<edXML xmlns="{NS}">\n  <edXML:edXMLEnvelope xmlns:edXML="{NS}">\n    <edXML:edXMLHeader>\n'
    )
    assert written.sha256 == sha256(written.path.read_bytes())
    assert written.size == written.path.stat().st_size
    root = etree.parse(str(written.path), etree.XMLParser(huge_tree=True)).getroot()
    head = root.find(f".//{{{NS}}}MessageHeader")
    assert [etree.QName(child).localname for child in head] == [
        "From", "To", "To", "DocumentId", "Code", "PromulgationInfo", "DocumentType", "Subject", "SignerInfo",
        "OtherInfo", "ToPlaces",
    ]  # fmt: skip
    assert all(e.prefix == "edXML" for e in root.find(f"{{{NS}}}edXMLEnvelope").iter())
    assert [e.prefix for e in root.iter(f"{{{NS}}}AttachmentEncoded")] == [None]
    [attachment] = root.iter(f"{{{NS}}}Attachment")
    assert [(etree.QName(c).localname, c.prefix) for c in attachment] == [
        ("ContentId", None),
        ("AttachmentName", None),
        ("Description", None),
        ("ContentType", None),
        ("ContentTransferEncoded", "edXML"),
    ]
    assert attachment[3].text == "application/zip"
    assert head.find(f".//{{{NS}}}PromulgationDate").text == "2026/03/02"
    assert root.find(f".//{{{NS}}}Timestamp").text == "2026/03/02 10:00:00"
    reference = root.find(f".//{{{NS}}}Reference")
    assert reference.find(f"{{{NS}}}ContentType").text == "application/pdf"
    assert reference.find(f"{{{NS}}}ContentId").text == attachment[0].text == f"cid:{packet.attachments[0].content_id}"
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(attachment[4].text, validate=True))) as archive:
        [entry] = archive.namelist()
        assert uuid.UUID(entry.removesuffix(".pdf"))
        assert archive.read(entry) == packet.attachments[0].path.read_bytes()


def test_a_status_packet_has_its_own_order_and_no_body(tmp_path):
    packet = msgspec.structs.replace(make_status("02"), staff=StaffInfo(staff="Trần Thị Mẫu", mobile="0900000000"))
    edxml.write(packet, tmp_path / "s")
    root = etree.parse(str(tmp_path / "s")).getroot()
    [head] = root.iter(f"{{{NS}}}MessageHeader")
    names = [etree.QName(child).localname for child in head]
    assert names == ["From", "ResponseFor", "StaffInfo", "StatusCode", "Description", "Timestamp"]
    assert root.find(f".//{{{NS}}}StatusCode").text == "02"
    assert not list(root.iter(f"{{{NS}}}edXMLBody", f"{{{NS}}}TraceHeaderList", f"{{{NS}}}AttachmentEncoded"))
    assert [etree.QName(c).localname for c in head[1]] == ["OrganId", "Code", "PromulgationDate", "DocumentId"]


def test_the_same_packet_gives_the_same_bytes(tmp_path):
    packet = make_packet(tmp_path)
    assert edxml.write(packet, tmp_path / "a").sha256 == edxml.write(packet, tmp_path / "b").sha256


def test_a_file_that_changed_since_it_was_measured_is_never_sent(tmp_path):
    packet = make_packet(tmp_path)
    path = packet.attachments[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ExchangeError, match="attachment-changed"):
        edxml.write(packet, tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800", "\ufffe"])
def test_text_that_xml_cannot_carry_is_refused(tmp_path, text):
    packet = make_packet(tmp_path)
    packet = msgspec.structs.replace(packet, header=msgspec.structs.replace(packet.header, subject=text))
    with pytest.raises(ExchangeError, match="invalid-text"):
        edxml.write(packet, tmp_path / "p")
    assert not (tmp_path / "p").exists()


TEXT = (
    st.text(
        st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=("Cs", "Cc")), max_size=30
    )
    .map(str.strip)
    .filter(lambda text: text != "null")
)
LINES = st.lists(TEXT.filter(bool), max_size=3).map("\r\n".join)
NUMBER = st.none() | st.integers(0, 999_999)
DATE = st.none() | st.dates(dt.date(1000, 1, 1))
SECONDS = st.none() | st.integers(0, 4_000_000_000).map(lambda s: s * 1_000_000)
CODE = TEXT.filter(bool)
TEXTS = st.lists(TEXT.filter(bool), max_size=3).map(tuple)
ORGANISATION = st.builds(Organisation, organ_id=CODE, in_charge=TEXT, name=TEXT, address=TEXT, email=TEXT, website=TEXT)
RESPONSE = st.builds(ResponseFor, organ_id=CODE, code=TEXT, document_id=TEXT, promulgated=DATE)
STAFF = st.none() | st.builds(StaffInfo, department=TEXT, staff=TEXT, staff_id=TEXT, email=TEXT, mobile=TEXT)
HEADER = st.builds(
    MessageHeader, sender=ORGANISATION, receivers=st.lists(ORGANISATION, min_size=1, max_size=3).map(tuple),
    document_id=TEXT, number=TEXT, notation=TEXT, place=TEXT, promulgated=DATE, type_code=NUMBER, type_detail=NUMBER,
    type_name=TEXT, subject=LINES, content=LINES, signer=st.builds(Signer, competence=TEXT, full_name=TEXT), due=DATE,
    other=st.builds(
        OtherInfo, priority=NUMBER, sphere=TEXT, typist=TEXT, issued_amount=NUMBER, page_amount=NUMBER,
        reply_fors=TEXT, direction=st.none() | st.booleans(), reference_codes=TEXT, appendixes=TEXTS,
    ),
    responses=st.lists(RESPONSE, max_size=2).map(tuple), steering=NUMBER, tasks=TEXTS, application_type=TEXT,
    to_places=TEXTS,
)  # fmt: skip
UPDATE = st.none() | st.builds(
    UpdateInfo, document_changed=NUMBER, receivers_changed=NUMBER,
    receivers=st.lists(st.builds(ReceiverChange, organ_id=CODE, change=NUMBER), max_size=2).map(tuple),
)  # fmt: skip
REPLACEMENTS = st.lists(
    st.builds(Replacement, document_id=CODE, organ_ids=TEXTS), max_size=2, unique_by=lambda r: r.document_id
).map(tuple)
BUSINESS = st.none() | st.builds(
    Business, kind=st.integers(0, 3), document_id=TEXT, reason=TEXT, paper=NUMBER, update=UPDATE,
    replacements=REPLACEMENTS, staff=STAFF,
)  # fmt: skip
TRACES = st.lists(st.builds(TraceHeader, organ_id=TEXT, at_us=SECONDS), max_size=3).map(tuple)
FILE_NAME = st.sampled_from(
    ["Tờ trình số 5.pdf", "a.docx", "b.zip", "không đuôi", "x.tar.gz", "ảnh.JPG", "..", "a.đuôi"]
)
FILES = st.lists(st.tuples(FILE_NAME, st.binary(max_size=200)), max_size=3)
STATUS = st.builds(
    StatusPacket, sender=ORGANISATION, response_for=RESPONSE, status=st.from_regex(r"[0-9]{2}", fullmatch=True),
    description=LINES, at_us=SECONDS, staff=STAFF,
)  # fmt: skip


def attachments_of(files, folder):
    made = []
    for name, data in files:
        path = folder / uuid.uuid4().hex
        path.write_bytes(data)
        made.append(
            edxml.attachment(path, name, "application/x-test", content_id=str(uuid.uuid4()), description="mô tả")
        )
    return tuple(made)


@ROUNDS
@given(header=HEADER, traces=TRACES, business=BUSINESS, files=FILES)
def test_a_written_document_reads_back_equal(tmp_path, header, traces, business, files):
    attachments = attachments_of(files, tmp_path)
    packet = DocumentPacket(header=header, traces=traces, business=business, attachments=attachments)
    edxml.write(packet, tmp_path / "w")
    got = read(tmp_path / "w", tmp_path)
    assert bare(got.packet) == bare(packet)
    assert {repair.code for repair in got.repairs} <= {"no-trace"}
    for sent, came in zip(packet.attachments, got.packet.attachments, strict=True):
        assert came.path.read_bytes() == sent.path.read_bytes()


@ROUNDS
@given(packet=STATUS)
def test_a_written_status_reads_back_equal(tmp_path, packet):
    edxml.write(packet, tmp_path / "w")
    assert read(tmp_path / "w", tmp_path).packet == packet


# -- reading samples --------------------------------------------------------------------------------------------------

REFUSED = {
    "05_edoc_load_test_template.edxml": "bad-base64",
    "08_edoc_nonstandard_attachments.edxml": "nonstandard-attachments",
}
READ = [
    "01_edoc_new", "02_edoc_update", "03_edoc_revocation", "04_edoc_replacement", "06_edoc_received_2019",
    "07_edoc_three_attachments", "09_status_01_inbox", "10_status_02_rejection", "11_status_03_acceptance",
    "12_status_13_cancellation", "13_status_15_change_acceptance",
]  # fmt: skip


def sample(name, folder):
    return read(SAMPLES / "edxml" / name, folder)


@needs_samples
def test_every_sample_is_in_one_of_the_two_lists():
    assert {path.name for path in (SAMPLES / "edxml").glob("*.edxml")} == {f"{n}.edxml" for n in READ} | set(REFUSED)


@needs_samples
@pytest.mark.parametrize("name", READ)
def test_a_sample_read_written_and_read_again_is_equal(tmp_path, name):
    first = sample(f"{name}.edxml", tmp_path).packet
    edxml.write(first, tmp_path / "again")
    again = read(tmp_path / "again", tmp_path)
    assert bare(again.packet) == bare(first)
    assert again.repairs == ()


@needs_samples
@pytest.mark.parametrize(("name", "code"), REFUSED.items())
def test_a_sample_beyond_repair_is_refused_for_its_reason(tmp_path, name, code):
    with pytest.raises(Unreadable) as refused:
        sample(name, tmp_path)
    assert refused.value.code == code
    assert refused.value.line > 0
    assert edxml.inspect(SAMPLES / "edxml" / name)["code"] == code


@needs_samples
def test_samples_hold_what_their_readme_says(tmp_path):
    new = sample("01_edoc_new.edxml", tmp_path).packet
    assert new.header.sender.name.startswith("UBND xã Hòa Tiến")
    assert new.attachments[0].name == "1896_QD-TTg_m_294779.doc"
    assert new.attachments[0].path.read_bytes().startswith(b"<?xml")  # an edXML inside, not recursed into
    assert new.attachments[0].findings == ("magic-mismatch",)
    update = sample("02_edoc_update.edxml", tmp_path).packet
    assert update.business_kind == 2
    assert update.business.document_id == "000.00.00.G22,2014/02/30,7806/VPCP-TTĐT"
    assert [(r.organ_id, r.change) for r in update.business.update.receivers] == [
        ("000.00.00.H41", 0),
        ("000.00.00.H14", 1),
    ]
    assert update.business.staff.staff == "Nguyễn Thị Ngọc Trâm"
    revocation = sample("03_edoc_revocation.edxml", tmp_path).packet
    assert (revocation.business_kind, revocation.business.document_id) == (1, "")
    assert revocation.header.responses[0].code == "267/VPCP-TTĐT"
    replacement = sample("04_edoc_replacement.edxml", tmp_path)
    assert len(replacement.packet.business.replacements) == 1
    assert "repeated-entry" in {repair.code for repair in replacement.repairs}
    received = sample("06_edoc_received_2019.edxml", tmp_path).packet
    assert [trace.organ_id for trace in received.traces] == ["01.02.G22", "001.00.20.TT2"]
    assert received.attachments[0].content_type == "application/pdf"
    three = sample("07_edoc_three_attachments.edxml", tmp_path)
    assert [a.name for a in three.packet.attachments] == ["localA.txt", "localB.txt", "localC.txt"]
    assert {a.path.read_bytes()[:5] for a in three.packet.attachments} == {b"LOCAL"}
    status = sample("12_status_13_cancellation.edxml", tmp_path).packet
    assert (status.status, status.response_for.organ_id) == ("13", "000.00.00.H41")
    assert status.at_us == 1_442_722_116_000_000


# -- deviations -------------------------------------------------------------------------------------------------------

DEVIATIONS = json.loads(VECTORS.read_text("utf-8"))


def deviant(case, folder):
    """The clean packet of `case["of"]` with the row's replacements; `{data}` stands for a payload made here."""
    packet = make_packet(folder, files={"a.pdf": b"%PDF-1.7 mau"}) if case["of"] == "document" else make_status()
    edxml.write(packet, folder / "clean")
    text = (folder / "clean").read_text("utf-8")
    if case["of"] == "document":
        start = text.index(">", text.index("ContentTransferEncoded")) + 1
        text = text[:start] + "PAYLOAD" + text[text.index("<", start) :]
    for old, new in case["replace"]:
        assert old in text, f"{case['name']}: nothing to replace"
        text = text.replace(old, new)
    payload = base64.b64encode(payload_of(case.get("payload", "zipped"))).decode()
    data = text.replace("PAYLOAD", payload).encode(case.get("encoding", "utf-8"))
    (folder / "deviant").write_bytes(data)
    return folder / "deviant"


def line_of(path, text):
    """Where `text` stands first, counted from 1."""
    packet = path.read_text("utf-8")
    return packet.count("\n", 0, packet.index(text)) + 1


def payload_of(kind):
    content = {"text-damaged": b"%PDF-1.7\n%" + "\ufffd\ufffd\ufffd".encode(), "plain-zip": zipped("in.txt")}
    content = content.get(kind, b"%PDF-1.7 mau")
    names = {"zipped": f"{uuid.UUID(int=5)}.PDF", "zip-other-name": "ten khac.pdf"}
    return zipped(names[kind], content) if kind in names else content


def zipped(name, data=b"noi dung", method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


READABLE = [case for case in DEVIATIONS if "refused" not in case]


@pytest.mark.parametrize("case", READABLE, ids=[case["name"] for case in READABLE])
def test_a_repaired_packet_written_and_read_again_is_equal_and_needs_no_repair(tmp_path, case):
    first = read(deviant(case, tmp_path), tmp_path).packet
    edxml.write(first, tmp_path / "again")
    again = read(tmp_path / "again", tmp_path)
    assert bare(again.packet) == bare(first)
    assert {repair.code for repair in again.repairs} <= {"no-trace"}  # a missing trace is not made up


@pytest.mark.parametrize("case", DEVIATIONS, ids=[case["name"] for case in DEVIATIONS])
def test_deviation(tmp_path, case):
    path = deviant(case, tmp_path)
    if "refused" in case:
        with pytest.raises(Unreadable) as refused:
            read(path, tmp_path)
        assert refused.value.code == case["refused"]
        if "on" in case:
            assert refused.value.line == line_of(path, case["on"])
        return
    got = read(path, tmp_path)
    if "on" in case:
        assert [repair.line for repair in got.repairs] == [line_of(path, case["on"])]
    assert sorted({repair.code for repair in got.repairs}) == case.get("repairs", [])
    packet = got.packet
    shown = json.loads(msgspec.json.encode(packet, enc_hook=str))
    for dotted, expected in case.get("reads", {}).items():
        value = shown
        for key in dotted.split("."):
            value = value[int(key)] if key.isdigit() else value[key]
        assert value == expected, dotted
    if case["of"] == "document" and "payload" not in case:
        assert [a.path.read_bytes() for a in packet.attachments] == [b"%PDF-1.7 mau"]


# -- the middle of a payload, which expat does not see ------------------------------------------------------------------

PLAIN = st.binary(max_size=40).map(lambda data: base64.b64encode(data + b"\0" * (-len(data) % 3)).decode())
MARKUP = st.sampled_from(
    ["\n", "\r\n", " ", "&#13;\n", "&#xD;", "<!-- AAAA -->", "<!--A>AAAA-->", "<?x AAAA?>", "<![CDATA[AAAA]]>", "<![CDATA[", "]]>", "&x;", "=", "<b/>", "é"]
)  # fmt: skip


@ROUNDS
@given(
    parts=st.lists(PLAIN | PLAIN | MARKUP, max_size=12),
    chunk=st.integers(1, 50),
    ends=st.sampled_from(["", "QQ==", "QQ"]),
)
def test_wherever_a_payload_is_cut_it_is_read_the_same(tmp_path, parts, chunk, ends):
    """B6, B7: one reading whatever the pieces; what hides in comments never becomes part of the file."""
    edxml.write(make_packet(tmp_path, files={"a.txt": b"x"}), tmp_path / "clean")
    text = (tmp_path / "clean").read_text("utf-8")
    start = text.index(">", text.index("ContentTransferEncoded")) + 1
    body = text[:start] + "".join(parts) + ends + text[text.index("</", start) :]
    (tmp_path / "p").write_text(body, "utf-8")
    outcomes = []
    with pytest.MonkeyPatch.context() as patch:
        for size in (1 << 20, chunk):
            patch.setattr(xmlread, "CHUNK", size)
            patch.setattr(xmlread, "_PROLOGUE", size + 200)
            try:
                got = read(tmp_path / "p", tmp_path)
                outcomes.append(
                    (bare(got.packet), got.repairs, [file.path.read_bytes() for file in got.packet.attachments])
                )
            except Unreadable:  # of two errors, the pieces decide which is met first
                outcomes.append(None)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_the_middle_of_a_payload_is_read_in_the_encoding_of_the_packet(tmp_path, monkeypatch, encoding):
    """Bytes that would be base64 in ASCII are other characters in UTF-16: one reading, as every parser has it."""
    text = f'<?xml version="1.0"?><edXML xmlns="{NS}"><Attachment><ContentTransferEncoded>{" " * 40}'
    head, end = text.encode(encoding), "</ContentTransferEncoded></Attachment></edXML>".encode(encoding)
    monkeypatch.setattr(xmlread, "_PROLOGUE", len(head))
    (tmp_path / "p").write_bytes(head + b"QUFB" * 4 + end)
    with pytest.raises(Unreadable):
        xmlread.read_tree(tmp_path / "p", lambda: tmp_path / "file", Limits())
    (tmp_path / "p").write_bytes(head + ("QUFB" * 4).encode(encoding) + end)
    xmlread.read_tree(tmp_path / "p", lambda: tmp_path / "file", Limits())
    assert (tmp_path / "file").read_bytes() == b"AAA" * 4


# -- hostile input (threats B6, B8) -----------------------------------------------------------------------------------


def hostile(prologue="", body="", encoding="utf-8", root="edXML"):
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n{prologue}<{root} xmlns="{NS}">{body}</{root}>'
    return text.encode("utf-16" if encoding == "utf-16" else encoding)


def bombs(url):
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    external = f'<!DOCTYPE edXML [<!ENTITY x SYSTEM "{url}/x"> ]>'
    return {
        "entity bomb": hostile(f'<!DOCTYPE edXML [<!ENTITY a0 "ha">{laughs}]>', "&a9;"),
        "quadratic": hostile(f'<!DOCTYPE edXML [<!ENTITY a "{"a" * 100_000}">]>', "&a;" * 1000),
        "external entity": hostile(external, "&x;"),
        "local file": hostile('<!DOCTYPE edXML [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"),
        "external subset": hostile(f'<!DOCTYPE edXML SYSTEM "{url}/d.dtd">'),
        "parameter entity": hostile(f'<!DOCTYPE edXML [<!ENTITY % p SYSTEM "{url}/p"> %p;]>'),
        "utf-16": hostile(external, "&x;", encoding="utf-16"),
        "utf-7": b"+ADwAIQ-DOCTYPE edXML>" + hostile(),
        "utf-7 declared": hostile(encoding="utf-7"),
        "byte-order mark": b"\xef\xbb\xbf" + hostile(external, "&x;"),
        "junk before": b"junk <!DOCTYPE edXML [ ]>" + hostile(),
        "undefined entity": hostile(body="&nosuch;"),
        "depth": hostile(body="<a>" * 100_000),
        "elements": hostile(body="<a/>" * 300_000),
        "long text": hostile(body="x" * 200_000),
        "long attribute": hostile(body=f'<a b="{"x" * 3_000_000}"/>'),
        "endless comment": hostile(body="<!--" + "x" * 3_000_000),
        "xinclude": hostile(body=f'<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="{url}/i"/>'),
        "schema": hostile(
            body=f'<a xmlns:s="http://www.w3.org/2001/XMLSchema-instance" s:schemaLocation="{NS} {url}/s"/>'
        ),
        "stylesheet": hostile(f'<?xml-stylesheet href="{url}/x.xsl"?>'),
        "nothing": b"",
        "not xml": b"\x00\x01\x02",
    }


BOMBS = list(bombs("http://127.0.0.1:1"))


@pytest.fixture(scope="module")
def canary():
    """A listener that counts who calls; a parser that fetches anything is caught."""
    import socket
    import threading

    calls = []
    server = socket.create_server(("127.0.0.1", 0))

    def listen():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            calls.append(1)
            connection.close()

    threading.Thread(target=listen, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.mark.parametrize("name", BOMBS)
def test_xml_bombs_are_refused_without_a_call_or_memory(tmp_path, canary, name):
    url, calls = canary
    (tmp_path / "bomb").write_bytes(bombs(url)[name])
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable) as refused:
            read(tmp_path / "bomb", tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    assert calls == []
    assert "root:" not in str(refused.value)
    if "DOCTYPE" in bombs(url)[name].decode("utf-16" if name == "utf-16" else "latin-1") and name != "utf-7":
        assert refused.value.code == "doctype-refused"


@pytest.mark.parametrize(
    ("declared", "body", "refused"),
    [
        ("", "<a/> " * 30_000, ""),
        (" ".join(f'xmlns:a{n}="x"' for n in range(60_000)), "", "too-many-elements"),
        (" ".join(f'xmlns:a{n}="x"' for n in range(5_000)), '<a xmlns:b="x"/>' * 20_000, "too-many-elements"),
        ("", f"<a {' '.join(f'c:a{n}=_' for n in range(50_000))}/>".replace("_", '""') * 2, "too-many-elements"),
    ],
    ids=["text between elements", "namespaces", "namespaces copied", "attributes"],
)
def test_the_time_of_a_packet_grows_with_its_length_alone(tmp_path, declared, body, refused):
    (tmp_path / "p").write_text(f'<edXML xmlns="{NS}" {declared}>{body}</edXML>', "utf-8")
    before_s = time.process_time()
    try:
        xmlread.read_tree(tmp_path / "p", lambda: tmp_path / "none", Limits())
        outcome = ""
    except Unreadable as error:
        outcome = error.code
    assert outcome == refused
    assert time.process_time() - before_s < 5


@ROUNDS
@given(position=st.floats(0, 1), junk=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_any_damage_is_read_or_refused_never_a_crash(tmp_path, position, junk, cut):
    edxml.write(make_packet(tmp_path), tmp_path / "p")
    data = (tmp_path / "p").read_bytes()
    at = int(position * len(data))
    (tmp_path / "p").write_bytes(data[:at] + junk + (b"" if cut else data[at + len(junk) :]))
    into = tmp_path / uuid.uuid4().hex
    into.mkdir()
    try:
        edxml.parse(tmp_path / "p", into)
    except Unreadable:
        assert list(into.iterdir()) == []  # nothing is left of a packet that was refused


def with_payload(folder, payload, name="a.txt", declared="application/zip"):
    edxml.write(make_packet(folder, files={name: b"x"}), folder / "p")
    text = (folder / "p").read_text("utf-8")
    start = text.index(">", text.index("ContentTransferEncoded")) + 1
    text = text[:start] + base64.b64encode(payload).decode() + text[text.index("<", start) :]
    text = text.replace("<ContentType>application/zip<", f"<ContentType>{declared}<")
    (folder / "p").write_text(text, "utf-8")
    return folder / "p"


def false_size(data):
    at = data.rindex(b"PK\x01\x02")
    return data[: at + 24] + (1).to_bytes(4, "little") + data[at + 28 :]


def many_entries():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(3000):
            archive.writestr(f"{number}.txt", b"")
    return buffer.getvalue()


def link():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(f"{uuid.UUID(int=1)}.txt")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def encrypted(data):
    at = data.rindex(b"PK\x01\x02")
    return data[: at + 8] + b"\x01\x00" + data[at + 10 :]


ZIPS = {
    "bomb": (lambda: zipped("a.txt", bytes(64 << 20)), "zip-bomb"),
    "false size": (lambda: false_size(zipped("a.txt", b"x" * 5000)), "zip-broken"),
    "link": (link, "zip-entry-refused"),
    "encrypted": (lambda: encrypted(zipped("a.txt")), "zip-entry-refused"),
    "method": (lambda: zipped("a.txt", b"x" * 99, zipfile.ZIP_LZMA), "zip-entry-refused"),
    "broken": (lambda: zipped("a.txt", b"x" * 99, zipfile.ZIP_STORED).replace(b"xxxx", b"xxxy", 1), "zip-broken"),
    "folder": (lambda: zipped("a/"), "zip-entry-refused"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_zip_bombs_and_tricks_are_refused(tmp_path, name):
    make, code = ZIPS[name]
    path = with_payload(tmp_path, make())
    into = tmp_path / "in"
    into.mkdir()
    with pytest.raises(Unreadable) as refused:
        edxml.parse(path, into)
    assert (refused.value.code, refused.value.line) == (code, line_of(path, ":ContentTransferEncoded "))
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("entry", ["../../evil.txt", "/etc/evil.txt", "C:\\evil.txt", "a\x00b.txt"])
def test_names_in_archives_are_never_used(tmp_path, entry):
    got = read(with_payload(tmp_path, zipped(entry)), tmp_path).packet.attachments[0]
    assert got.path.read_bytes() == b"noi dung"
    assert got.path.is_relative_to(tmp_path)
    assert got.path.name.startswith("part-")


def test_an_archive_of_many_entries_stays_the_file_itself(tmp_path):
    data = many_entries()
    got = read(with_payload(tmp_path, data, name="nhiều.zip"), tmp_path).packet.attachments[0]
    assert got.path.read_bytes() == data


def test_a_zip_inside_is_not_opened_again(tmp_path):
    inner = zipped(f"{uuid.UUID(int=9)}.zip")
    got = read(with_payload(tmp_path, zipped(f"{uuid.UUID(int=8)}.zip", inner), name="b.zip"), tmp_path)
    assert got.packet.attachments[0].path.read_bytes() == inner


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_packet=100), "too-large"),
        (Limits(max_attachment=10), "attachment-too-large"),
        (Limits(max_all_attachments=300), "attachment-too-large"),
        (Limits(max_attachments=1), "too-many-attachments"),
    ],
)
def test_each_limit_holds(tmp_path, limits, code):
    files = {"a.bin": random.Random(1).randbytes(200), "b.bin": random.Random(2).randbytes(200)}
    edxml.write(make_packet(tmp_path, files=files), tmp_path / "p")
    with pytest.raises(Unreadable) as refused:
        read(tmp_path / "p", tmp_path, limits)
    assert refused.value.code == code


def test_memory_does_not_grow_with_the_attachment(tmp_path):
    """Both ways stream: a 20 MB file takes less than a fifth of its size."""
    packet = make_packet(tmp_path, files={"a.pdf": b"%PDF-1.4" + random.Random(5).randbytes(20 << 20)})
    tracemalloc.start()
    try:
        edxml.write(packet, tmp_path / "p")
        got = read(tmp_path / "p", tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got.packet.attachments[0].sha256 == packet.attachments[0].sha256
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../Quyết định.pdf", "Quyết định.pdf"),
        ("C:\\temp\\a.pdf", "a.pdf"),
        ("a\u202efdp.exe", "afdp.exe"),
        ("...", "attachment"),
        (".pdf", "pdf"),
        ("a" * 300 + ".docx", "a" * 145 + ".docx"),
    ],
)
def test_a_received_name_is_safe_as_a_file_name(name, safe):
    file = Attachment(content_id="c", name=name, content_type="", size=0, sha256="", path=Path())
    assert file.safe_name == safe


def test_inspect_shows_a_document_and_its_repairs(tmp_path):
    edxml.write(make_packet(tmp_path), tmp_path / "p")
    shown = edxml.inspect(tmp_path / "p")
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["readable"], shown["kind"], shown["code"]) == (True, "edoc", "12/QĐ-CQM")
    assert shown["attachments"][0]["sha256"] == make_packet(tmp_path).attachments[0].sha256
    assert shown["repairs"] == []


def test_a_wrapper_is_a_uuid_with_the_same_extension():
    assert zips.is_wrapper("5c7082fe-4ac3-4b46-961e-e2439bfae484.PDF", "a.pdf")
    assert not zips.is_wrapper("5c7082fe-4ac3-4b46-961e-e2439bfae484.doc", "a.pdf")
    assert not zips.is_wrapper("word/document.xml", "a.xml")
