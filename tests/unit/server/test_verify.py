"""`hoatoc verify` (SW-7, A4, A11, B1, B4): every broken link is named, hostile input ends with a sentence.

Longer than most: one broken link a test, of one signed file and its receipt.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server import verification, web
from server.audit.model import Receipt
from server.cli import cli
from server.cli import verify as verify_command
from server.cli.verify_screen import plain
from server.previews.model import RevisionManifest, encode
from server.previews.render import RENDERER
from server.verification import Outcome, Unreadable, verify_receipt
from server.verification_texts import STEPS, TEXTS
from tests.fakes import pdf_signing as fakes
from tests.fakes import pdfs
from tests.shared import SAMPLES, needs_samples
from tests.unit.server import receipt_samples as samples

NOW = samples.NOW


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    return samples.Signed(tmp_path_factory.mktemp("receipts"))


@pytest.fixture(scope="module")
def maker(signed):
    return samples.Maker(signed)


def run(*arguments):
    done = CliRunner().invoke(cli, ["verify", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    return done


def judged(*arguments):
    """(exit code, JSON)."""
    done = run(*arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def written(folder, receipt, name="receipt.json"):
    path = folder / name
    path.write_bytes(msgspec.json.encode(receipt))
    return path


def outcomes(report):
    return {step.name: (step.outcome, step.code) for step in report.steps}


# --- PDF ---


def test_a_signed_file_is_valid_with_the_fields_of_sw_7(signed):
    code, said = judged(signed.final, "--trust", signed.trust)
    assert (code, said["verdict"]) == (0, "valid")
    assert [one["field"] for one in said["signatures"]] == ["HT_SIG1", "HT_SIG2"]
    first = said["signatures"][0]
    assert (first["indication"], first["signer"], first["issuer"]) == ("TOTAL-PASSED", "Sample Leader", "Sample Root")
    assert (first["time"], first["not_before"], first["not_after"]) == (
        "2026-11-18T11:06:41Z",
        "2025-01-01T00:00:00Z",
        "2035-01-01T00:00:00Z",
    )
    assert first["integrity"] is True
    assert first["valid_at_signing"] is True
    assert [(row["length"], row["change"] and row["change"]["signature"]) for row in said["revisions"]] == [
        (signed.info.parent_length, None),
        (signed.pdf.stat().st_size, "HT_SIG1"),
        (signed.final.stat().st_size, "HT_SIG2"),
    ]
    assert said["sha256"] == samples.hexdigest(signed.final.read_bytes())


def test_the_screen_names_them_in_vietnamese_first(signed):
    shown = run(signed.pdf, "--trust", signed.trust)
    assert shown.exit_code == 0
    assert shown.output.startswith("HỢP LỆ · valid")
    for label in (
        "Người ký",
        "Cơ quan quản lý",
        "Tổ chức cấp",
        "Thời gian ký",
        "Tính toàn vẹn",
        "Hiệu lực khi ký",
        "Thời hạn chứng thư",
    ):
        assert label in shown.output


def test_a_changed_byte_is_not_intact(signed, tmp_path):
    body = bytearray(signed.pdf.read_bytes())
    at = body.index(b"/Type") + 1  # inside the signed beginning, where it leaves the structure readable
    body[at : at + 4] = b"Typo"
    path = tmp_path / "changed.pdf"
    path.write_bytes(body)
    code, said = judged(path, "--trust", signed.trust)
    assert code in {1, 2}
    at = bytes(signed.pdf.read_bytes()).index(b"stream") + 12
    body = bytearray(signed.pdf.read_bytes())
    body[at] ^= 1
    path.write_bytes(body)
    code, said = judged(path, "--trust", signed.trust)
    assert (code, said["verdict"]) == (1, "not_valid")
    assert said["signatures"][0]["sub_indication"] == "HASH_FAILURE"
    assert said["signatures"][0]["integrity"] is False
    assert [reason["code"] for reason in said["signatures"][0]["reasons"]] == ["content-changed"]
    # The judge that is not ours says the same.
    assert not fakes.pdfsig(path)[0].valid


def test_another_root_is_not_valid(signed, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(fakes.issue("Another Root", None, authority=True).pem)
    code, said = judged(signed.pdf, "--trust", other)
    assert code == 1
    assert said["signatures"][0]["indication"] == "INDETERMINATE"
    assert said["signatures"][0]["integrity"] is True
    assert said["signatures"][0]["valid_at_signing"] is False


def test_a_file_without_signature_is_not_valid(signed, tmp_path):
    path = tmp_path / "plain.pdf"
    path.write_bytes(pdfs.plain())
    assert judged(path, "--trust", signed.trust)[0] == 1
    assert "chưa có chữ ký" in run(path, "--trust", signed.trust).output


def test_a_change_beyond_the_closed_list_is_told(signed, tmp_path):
    """B1: an overlay appended after signing leaves the bytes of the signature intact."""
    path = tmp_path / "overlaid.pdf"
    path.write_bytes(_overlaid(signed.pdf))
    code, said = judged(path, "--trust", signed.trust)
    assert code == 1
    assert said["revisions"][-1]["change"] is None
    assert "changed-after-signing" in [reason["code"] for reason in said["signatures"][0]["reasons"]]


def _overlaid(path):
    from signing.pdf.objects import Name
    from signing.pdf.reader import open_document

    with open_document(path) as document:
        page = next(iter(document.pages()))
        ref, size, at = page.ref, document.trailer[Name("Size")], document.head.startxref
    body = path.read_bytes()
    start = len(body)
    extra = f"{ref.num} {ref.gen} obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>\nendobj\n".encode()
    table = f"xref\n{ref.num} 1\n{start:010d} {ref.gen:05d} n \ntrailer\n<</Size {size}/Root 1 0 R/Prev {at}>>\nstartxref\n{start + len(extra)}\n%%EOF\n"
    return body + extra + table.encode()


@needs_samples
@pytest.mark.parametrize(
    ("name", "code"), [("02-encrypted-user-password", "encrypted"), ("12-broken-xref", "broken-structure")]
)
def test_what_cannot_be_read_is_said(signed, name, code):
    exit_code, said = judged(SAMPLES / "pdf" / f"{name}.pdf", "--trust", signed.trust)
    assert (exit_code, said["verdict"], said["code"]) == (2, "unreadable", code)


def test_hostile_and_odd_input_ends_with_a_sentence(signed, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "deep.json").write_text("{" + '"a":[' * 100_000)
    (tmp_path / "big.json").write_text('{"typ":"' + "x" * (1 << 20) + '"}')
    (tmp_path / "cut.pdf").write_bytes(signed.pdf.read_bytes()[:5000])
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for path, code in (
        (fifo, "not-a-file"), (tmp_path, "not-a-file"), (Path("/dev/zero"), "not-a-file"), (tmp_path / "empty", "file-empty"),
        (tmp_path / "text", "not-a-pdf"), (tmp_path / "deep.json", "not-a-receipt"), (tmp_path / "big.json", "not-a-receipt"),
        (tmp_path / "cut.pdf", "broken-structure"), (tmp_path / "absent", "file-unreadable"),
    ):  # fmt: skip
        exit_code, said = judged(path, "--trust", signed.trust)
        assert (exit_code, said["code"]) == (2, code), path
        assert said["vi"] != code
    assert judged(signed.pdf, "--trust", tmp_path / "bad.pem")[1]["code"] == "not-trust"
    assert judged(signed.pdf, "--trust", signed.trust, "--redraw", tmp_path / "text")[1]["code"] == "not-a-manifest"
    assert run(signed.pdf, "--trust", signed.trust, "--log-key", "x").exit_code == 2
    assert run(signed.pdf).exit_code == 2  # --trust is missing


def test_a_file_that_eats_time_ends_with_a_sentence(signed, monkeypatch):
    monkeypatch.setattr(verify_command, "_JUDGE_S", 0.001)
    exit_code, said = judged(signed.pdf, "--trust", signed.trust)
    assert (exit_code, said["code"]) == (2, "child-timeout")


@pytest.mark.parametrize("megabytes", [1, 2, 3, 4, 5, 6, 8])
def test_want_of_memory_is_no_verdict(signed, monkeypatch, megabytes):
    """B3: wherever the memory ends, the answer is the right one or none; a good file is never called not valid."""
    monkeypatch.setattr(verify_command, "_MEMORY_MB", megabytes)
    exit_code, said = judged(signed.pdf, "--trust", signed.trust)
    assert (exit_code, said["verdict"]) in {(0, "valid"), (2, "unreadable")}
    if megabytes == 1:
        assert said["code"] in {"child-memory", "child-crashed"}


def test_names_cannot_steer_the_terminal():
    """Escape sequences and direction marks in a certificate's name are shown as one visible sign each."""
    assert plain("a\x1b[2Jb\u202ec\nd") == "a\ufffd[2Jb\ufffdc\ufffdd"


def test_every_code_has_both_sentences(maker):
    for vi, en in (*TEXTS.values(), *STEPS.values()):
        assert vi
        assert en
        assert vi != en
    for _why, step, code, _receipt in maker.invalid():
        assert step in STEPS
        assert code in TEXTS


# --- redraw ---


def test_pages_drawn_again_are_those_of_the_approved_manifest(signed, tmp_path):
    path = tmp_path / "manifest.json"
    path.write_bytes(signed.manifest)
    code, said = judged(signed.pdf, "--trust", signed.trust, "--redraw", path)
    assert code == 0
    assert [(step["name"], step["code"]) for step in said["steps"]] == [
        ("manifest-file", "manifest-file"),
        ("pages", "pages-same"),
    ]
    # The final file begins with what was approved; that beginning is what is drawn.
    code, said = judged(signed.final, "--trust", signed.trust, "--redraw", path)
    assert (code, said["steps"][0]["code"]) == (0, "manifest-file-longer")


def test_a_manifest_with_other_pages_or_of_another_file_fails(signed, tmp_path):
    revision = RevisionManifest(
        v=1, revision=samples.hexdigest(signed.pdf.read_bytes()), length=signed.pdf.stat().st_size, renderer=RENDERER,
        page_count=1, images=samples.images(tmp_path, signed.pdf),
    )  # fmt: skip
    path = tmp_path / "manifest.json"

    def verdict(changed):
        path.write_bytes(encode(changed))
        code, said = judged(signed.pdf, "--trust", signed.trust, "--redraw", path)
        return code, said["steps"][-1]["code"]

    replace = msgspec.structs.replace
    assert verdict(revision) == (0, "pages-same")
    lied = (replace(revision.images[0], digest="0" * 64), *revision.images[1:])
    assert verdict(replace(revision, images=lied)) == (1, "pages-differ")
    assert verdict(replace(revision, revision="0" * 64)) == (1, "manifest-other-file")
    assert verdict(replace(revision, renderer="pdfium-1")) == (2, "pages-other-renderer")
    two = tuple(replace(image, page=2) for image in revision.images)
    assert verdict(replace(revision, page_count=2, images=(*revision.images, *two))) == (1, "pages-differ")


# --- receipts ---


def test_a_receipt_holds_with_its_file_and_manifest(signed, maker, tmp_path):
    path, manifest = written(tmp_path, maker.receipt()), tmp_path / "manifest.json"
    manifest.write_bytes(signed.manifest)
    code, said = judged(
        path, "--trust", signed.trust, "--pdf", signed.pdf, "--log-key", maker.thumbprint, "--redraw", manifest
    )
    assert (code, said["verdict"]) == (0, "valid")
    assert [(step["name"], step["outcome"]) for step in said["steps"]] == [
        (name, "passed") for name in ("log-key", "head", "inclusion", "event", "approval", "signature", "timestamp", "pdf", "manifest-file", "manifest", "pages")
    ]  # fmt: skip
    assert said["log_key"] == maker.thumbprint
    shown = run(path, "--trust", signed.trust)
    assert shown.exit_code == 0
    assert maker.thumbprint in shown.output


def test_every_broken_link_is_named(maker):
    for why, step, code, receipt in maker.invalid():
        report = verify_receipt(msgspec.json.encode(receipt), roots=[fakes.root().der], now_us=NOW)
        assert outcomes(report)[step] == (Outcome.FAILED, code), why


def test_a_link_breaks_alone_where_it_can(maker):
    """Otherwise "every broken link is named" could hold because one failure drags all others along."""
    for why, step, _code, receipt in maker.invalid():
        failed = {
            name
            for name, (outcome, _) in outcomes(
                verify_receipt(msgspec.json.encode(receipt), roots=[fakes.root().der], now_us=NOW)
            ).items()
            if outcome is Outcome.FAILED
        }
        allowed = {step} | ({"inclusion"} if step == "head" else set())
        assert failed <= allowed, why


def test_roots_and_the_pinned_key_decide(maker):
    body = msgspec.json.encode(maker.receipt())
    other = fakes.issue("Another Root", None, authority=True)
    report = verify_receipt(body, roots=[other.der], now_us=NOW)
    assert outcomes(report)["signature"] == (Outcome.FAILED, "no-chain")
    assert outcomes(report)["timestamp"] == (Outcome.FAILED, "timestamp-untrusted")
    report = verify_receipt(body, roots=[fakes.root().der], now_us=NOW, log_key="A" * 43)
    assert outcomes(report)["log-key"] == (Outcome.FAILED, "log-key-differs")


def test_the_pdf_beside_it_must_be_the_revision(signed, maker, tmp_path):
    path = written(tmp_path, maker.receipt())

    def code_of(pdf):
        code, said = judged(path, "--trust", signed.trust, "--pdf", pdf)
        return code, said["steps"][-1]["code"]

    assert code_of(signed.pdf) == (0, "pdf-is-revision")
    assert code_of(signed.final) == (1, "pdf-extends")
    assert code_of(signed.parent) == (1, "pdf-other")
    # A log that was told another revision's digest cannot pass off a file that the CMS does not sign.
    forged = msgspec.structs.replace(
        maker.receipt(named={"revision": samples.hexdigest(signed.parent.read_bytes())}),
        revision=samples.hexdigest(signed.parent.read_bytes()),
    )
    path = written(tmp_path, forged)
    assert code_of(signed.parent) == (1, "pdf-without-signature")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_change_of_a_receipt_is_seen_or_leaves_its_meaning(maker, data):
    """B4: whatever stands in a member, the answer is a verdict; and no change of a proving member passes."""
    good = msgspec.to_builtins(maker.receipt())
    name = data.draw(
        st.sampled_from(
            [
                "leaf",
                "position",
                "log_size",
                "proof",
                "head",
                "tbs",
                "manifest",
                "revision",
                "approval",
                "cms",
                "log_key",
                "approval_key",
            ]
        )
    )
    value = data.draw(
        {
            int: st.integers(-(2**70), 2**70),
            list: st.lists(st.text(max_size=50), max_size=70),
            dict: st.fixed_dictionaries(dict.fromkeys(("kty", "crv", "x", "y"), st.text(max_size=50))),
            str: st.one_of(
                st.text(max_size=100),
                st.integers(0, len(str(good[name])) - 1).map(lambda at: _flipped(str(good[name]), at)),
            ),
        }[type(good[name])]
    )
    if value == good[name]:
        return
    try:
        report = verify_receipt(
            json.dumps(good | {name: value}).encode("utf-8", "surrogatepass"), roots=[fakes.root().der], now_us=NOW
        )
    except Unreadable:
        return
    assert any(step.outcome is Outcome.FAILED for step in report.steps)


def _flipped(text, at):
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


# --- vectors ---


def vectors():
    return json.loads(samples.VECTORS.read_text("utf-8"))


def test_the_published_vectors_hold():
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    said = vectors()
    roots = [x509.load_pem_x509_certificate(said["trust"].encode()).public_bytes(Encoding.DER)]
    good = said["receipt"]
    report = verify_receipt(json.dumps(good).encode(), roots=roots, now_us=NOW, log_key=said["log_key"])
    assert {step.outcome for step in report.steps} == {Outcome.PASSED}
    assert msgspec.to_builtins(msgspec.convert(good, Receipt)) == good
    assert len(said["invalid"]) == 19
    for bad in said["invalid"]:
        report = verify_receipt(
            json.dumps(good | bad["change"]).encode(), roots=roots, now_us=NOW, log_key=said["log_key"]
        )
        assert outcomes(report)[bad["step"]] == (Outcome.FAILED, bad["code"]), bad["why"]


def test_node_passes_the_vectors():
    done = subprocess.run(
        ["node", samples.VECTORS.with_name("receipt.mjs")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "receipt vectors agree: 1 valid, 19 invalid\n"


def test_every_verifier_takes_the_same_events_for_signatures():
    """A receipt of initials, or of a seal whose archive is still to come, is no worse in a browser than in `hoatoc verify`."""
    client = Path(web.__file__).parent / "static/js/verify.js"
    for script in (client, samples.VECTORS.with_name("receipt.mjs")):
        line = next(line for line in script.read_text().splitlines() if line.startswith("const SIGNED = "))
        assert set(json.loads(line.removeprefix("const SIGNED = ").rstrip(";"))) == verification._SIGNED_KINDS, script


# --- edXML ---


def packet(*arguments):
    done = CliRunner().invoke(cli, ["edxml", "inspect", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@needs_samples
def test_packets_are_shown(tmp_path):
    folder = SAMPLES / "edxml"
    done = packet(folder / "09_status_01_inbox.edxml", "--json")
    assert json.loads(done.stdout)["readable"] is True
    shown = packet(folder / "01_edoc_new.edxml")
    assert "Trích yếu" in shown.output
    assert shown.exit_code == 1  # its attachment is not what its name says
    assert "magic-mismatch" in shown.output
    [file] = json.loads(packet(folder / "01_edoc_new.edxml", "--json").stdout)["attachments"]
    assert (file["name"], file["real_type"]) == ("1896_QD-TTg_m_294779.doc", "application/xml")
    repaired = packet(folder / "04_edoc_replacement.edxml")
    for said in (
        "Mục lặp lại",
        "3 · Thay thế · replacement",
        "000.00.00.G22,2014/01/30,7806/VPCP-TTĐT",
        "0 · Thường · normal",
    ):
        assert said in repaired.output
    assert "15 · Đồng ý cập nhật, lấy lại" in packet(folder / "13_status_15_change_acceptance.edxml").output
    beyond = packet(folder / "05_edoc_load_test_template.edxml")
    assert beyond.exit_code == 2
    assert re.search(r"bad-base64 \(dòng · line \d+\)", beyond.output)
    assert "Nội dung tệp đính kèm không phải base64" in beyond.output
    (tmp_path / "no.edxml").write_text("no packet")
    done = packet(tmp_path / "no.edxml", "--json")
    assert (done.exit_code, json.loads(done.stdout)["readable"]) == (2, False)
    assert packet(tmp_path).exit_code == 2
