"""Judges that are not ours (pdfsig of poppler, openssl), and `hoatoc verify` as a process that is offline: only files and a root.

The CMS containers are cut out of the file by their `/ByteRange` alone, without our own reader.
"""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import msgspec

__all__ = ["Verdict", "changed_byte", "judge"]

_LIMIT_S = 60
_RANGE = re.compile(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]")


class Verdict(msgspec.Struct, frozen=True):
    """`holds` None: this judge is not installed here."""

    judge: str
    holds: bool | None
    sentence: str


async def judge(final: Path, receipt: Path | None, trust: Path, folder: Path) -> list[Verdict]:
    """All verdicts on one document, side by side."""
    work = [_pdfsig(final), _openssl(final, trust, folder), _verify_file(final, trust)]
    if receipt is not None:
        work.append(_verify_receipt(receipt, trust))
    return list(await asyncio.gather(*work))


async def _run(*command: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_LIMIT_S):
            out, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, "", "time-out"
    return process.returncode or 0, out.decode("utf-8", "replace"), errors.decode("utf-8", "replace")


async def _pdfsig(final: Path) -> Verdict:
    if shutil.which("pdfsig") is None:
        return Verdict("pdfsig", None, "chưa cài (apt-get install poppler-utils) · not installed")
    _, out, _ = await _run("pdfsig", "-nocert", str(final))
    # A field that the route has prepared for later is listed too, as one that is not signed.
    signatures = len(re.findall(r"^Signature #\d+", out, re.MULTILINE)) - out.count("field is not signed")
    valid = out.count("Signature is Valid.")
    whole = "Total document signed" in out
    sentence = f"{valid}/{signatures} chữ ký hợp lệ" + (", chữ ký cuối bao trọn tệp" if whole else "")
    return Verdict("pdfsig", signatures > 0 and valid == signatures and whole, sentence)


def containers(data: bytes) -> list[tuple[bytes, bytes]]:
    """(CMS, signed bytes) of every signature of a file, in the order of their byte ranges' ends."""
    found = []
    for match in _RANGE.finditer(data):
        start, length, second, rest = map(int, match.groups())
        text = data[start + length : second].strip(b"<>\x00 \r\n\t")
        try:
            raw = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            continue
        found.append((second + rest, _der(raw), data[start : start + length] + data[second : second + rest]))
    return [(cms, signed) for _, cms, signed in sorted(found)]


def _der(padded: bytes) -> bytes:
    """The first DER element, without the zeros that fill the hole."""
    if len(padded) < 2 or padded[1] < 0x80:
        return padded[: 2 + (padded[1] if len(padded) > 1 else 0)]
    size = padded[1] & 0x7F
    return padded[: 2 + size + int.from_bytes(padded[2 : 2 + size], "big")]


async def _openssl(final: Path, trust: Path, folder: Path) -> Verdict:
    if shutil.which("openssl") is None:
        return Verdict("openssl cms", None, "chưa cài (apt-get install openssl) · not installed")
    found = await asyncio.to_thread(lambda: containers(final.read_bytes()))
    good, reason = 0, ""
    for number, (cms, signed) in enumerate(found, 1):
        cms_file, signed_file = folder / f"judge-{number}.der", folder / f"judge-{number}.bin"
        cms_file.write_bytes(cms)
        signed_file.write_bytes(signed)
        code, _, errors = await _run(
            "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(cms_file), "-content", str(signed_file),
            "-CAfile", str(trust), "-purpose", "any", "-out", "/dev/null",
        )  # fmt: skip
        good += code == 0
        reason = reason or ("" if code == 0 else errors.strip().splitlines()[-1][:120] if errors.strip() else "refused")
        signed_file.unlink(missing_ok=True)
        cms_file.unlink(missing_ok=True)
    sentence = f"{good}/{len(found)} CMS đúng, chuỗi chứng thư đến gốc trình diễn" + (f" ({reason})" if reason else "")
    return Verdict("openssl cms -verify", bool(found) and good == len(found), sentence)


async def _verify(path: Path, trust: Path) -> tuple[int, dict[str, object]]:
    """`hoatoc verify … --json` as its own process; the last JSON object that it printed."""
    script = "from server.cli import main; main()"
    code, out, errors = await _run(sys.executable, "-c", script, "verify", str(path), "--trust", str(trust), "--json")
    try:
        said = json.loads(out)
    except ValueError:
        said = {"detail": (errors.strip().splitlines() or ["no answer"])[-1][:200]}
    return code, said if isinstance(said, dict) else {}


async def _verify_file(final: Path, trust: Path) -> Verdict:
    code, said = await _verify(final, trust)
    detail = "" if code == 0 else f" {said.get('reason') or said.get('detail') or ''}".rstrip()
    return Verdict(
        "hoatoc verify final.pdf",
        code == 0,
        ("mọi bản sửa đổi và chữ ký đều khớp" if code == 0 else "không đạt:") + detail,
    )


async def _verify_receipt(receipt: Path, trust: Path) -> Verdict:
    code, said = await _verify(receipt, trust)
    detail = "" if code == 0 else f" {said.get('reason') or said.get('detail') or ''}".rstrip()
    return Verdict(
        "hoatoc verify receipt.json",
        code == 0,
        ("biên nhận kiểm được ngoại tuyến" if code == 0 else "không đạt:") + detail,
    )


async def changed_byte(final: Path, trust: Path, folder: Path) -> tuple[int, dict[str, object]]:
    """Exit code and answer of `hoatoc verify` on the same file with one byte of the first page's content changed."""
    data = bytearray(await asyncio.to_thread(final.read_bytes))
    middle = min(len(data) // 3, 2000)
    data[middle] ^= 0x01
    copy = folder / "changed.pdf"
    await asyncio.to_thread(copy.write_bytes, bytes(data))
    return await _verify(copy, trust)
