"""Judges that are not ours (pdfsig of poppler, openssl), and `hoatoc verify` as a process that is offline: only files and a root.

The CMS containers are cut out of the file by their `/ByteRange` alone, without our own reader.
"""

import asyncio
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from server.demo.processes import hoatoc

__all__ = ["Verdict", "changed_byte", "containers", "judge", "merged", "reason_of", "verified"]

_LIMIT_S = 60
_RANGE = re.compile(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]")


class Verdict(msgspec.Struct, frozen=True):
    """`holds` None: this judge is not installed here."""

    judge: str
    holds: bool | None
    sentence: str


async def judge(final: Path, original_size: int, receipts: list[Path], trust: Path, folder: Path) -> list[Verdict]:
    """All verdicts on one document, side by side.

    Judged are the signatures made here, which lie behind the first `original_size` bytes; those that a file brought along
    end at roots that nobody here trusts.
    """
    folder.mkdir(exist_ok=True)
    work = [
        _pdfsig(final, original_size),
        _openssl(final, original_size, trust, folder),
        _verify_file(final, original_size, trust),
    ]
    work += [_verify_receipt(receipt, trust) for receipt in receipts]
    return merged(await asyncio.gather(*work))


def merged(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict a judge: it holds where all of its own hold; the sentence is that of the first that does not."""
    kept: dict[str, Verdict] = {}
    for verdict in verdicts:
        if kept.setdefault(verdict.judge, verdict).holds and verdict.holds is False:
            kept[verdict.judge] = verdict
    return list(kept.values())


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


async def _pdfsig(final: Path, original_size: int) -> Verdict:
    if shutil.which("pdfsig") is None:
        return Verdict("pdfsig", None, "chưa cài: apt-get install poppler-utils · not installed")
    _, out, _ = await _run("pdfsig", "-nocert", str(final))
    ours, valid, whole = 0, 0, False
    for block in re.split(r"^Signature #\d+:", out, flags=re.MULTILINE)[1:]:
        ranges = re.search(r"Signed Ranges: \[\d+ - \d+\], \[\d+ - (\d+)\]", block)
        # A field that the route has prepared for later is listed too, without ranges.
        if ranges is None or int(ranges[1]) <= original_size:
            continue
        if "ETSI.RFC3161" in block or "Signature Type: unknown" in block:
            # poppler knows no document time stamps; that one is openssl's to judge.
            whole = whole or "Total document signed" in block
            continue
        ours += 1
        valid += "Signature is Valid." in block
        whole = whole or "Total document signed" in block
    sentence = f"{valid}/{ours} chữ ký hợp lệ, " + (
        "chữ ký cuối bao trọn tệp" if whole else "không chữ ký nào bao trọn tệp"
    )
    return Verdict("pdfsig", ours > 0 and valid == ours and whole, sentence)


class Container(NamedTuple):
    """A signature's CMS, or the token of a document time stamp, and the bytes that it is about."""

    cms: bytes
    signed: bytes
    stamp: bool


def containers(data: bytes, original_size: int = 0) -> list[Container]:
    """Of every signature and document time stamp that covers more than the original, in the order of what they cover."""
    found = []
    for match in _RANGE.finditer(data):
        start, length, second, rest = map(int, match.groups())
        if second + rest <= original_size:
            continue
        text = data[start + length : second].strip(b"<>\x00 \r\n\t")
        try:
            raw = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            continue
        around = data[data.rfind(b" obj", 0, match.start()) : match.start()]
        around += data[second : max(data.find(b"endobj", second), second)]
        signed = data[start : start + length] + data[second : second + rest]
        found.append((second + rest, Container(_der(raw), signed, b"ETSI.RFC3161" in around)))
    return [container for _, container in sorted(found)]


def _der(padded: bytes) -> bytes:
    """The first DER element, without the zeros that fill the hole."""
    if len(padded) < 2 or padded[1] < 0x80:
        return padded[: 2 + (padded[1] if len(padded) > 1 else 0)]
    size = padded[1] & 0x7F
    return padded[: 2 + size + int.from_bytes(padded[2 : 2 + size], "big")]


async def _openssl(final: Path, original_size: int, trust: Path, folder: Path) -> Verdict:
    if shutil.which("openssl") is None:
        return Verdict("openssl cms -verify", None, "chưa cài: apt-get install openssl · not installed")
    found = await asyncio.to_thread(lambda: containers(final.read_bytes(), original_size))
    good, reason = 0, ""
    for number, (cms, signed, stamp) in enumerate(found, 1):
        cms_file, signed_file = folder / f"judge-{number}.der", folder / f"judge-{number}.bin"
        cms_file.write_bytes(cms)
        signed_file.write_bytes(signed)
        code, _, errors = await _run(
            *("openssl", "ts", "-verify", "-token_in", "-in", str(cms_file), "-data", str(signed_file), "-CAfile", str(trust))
        ) if stamp else await _run(
            "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(cms_file), "-content", str(signed_file),
            "-CAfile", str(trust), "-purpose", "any", "-out", "/dev/null",
        )  # fmt: skip
        good += code == 0
        reason = reason or ("" if code == 0 else errors.strip().splitlines()[-1][:120] if errors.strip() else "refused")
        signed_file.unlink(missing_ok=True)
        cms_file.unlink(missing_ok=True)
    stamps = sum(container.stamp for container in found)
    sentence = f"{good}/{len(found)} đúng ({len(found) - stamps} CMS, {stamps} dấu thời gian cả tệp), chứng thư đến gốc trình diễn"
    sentence += f" ({reason})" if reason else ""
    return Verdict("openssl cms -verify", bool(found) and good == len(found), sentence)


async def verified(path: Path, trust: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """`hoatoc verify … --json` as its own process: exit code, and the JSON object that it printed."""
    code, out, errors = await _run(*hoatoc("verify", str(path), "--trust", str(trust), "--json", *more))
    try:
        said = json.loads(out)
    except ValueError:
        said = {"detail": (errors.strip().splitlines() or ["no answer"])[-1][:200]}
    return code, said if isinstance(said, dict) else {}


async def _verify_file(final: Path, original_size: int, trust: Path) -> Verdict:
    _, said = await verified(final, trust)
    ours = [one for one in _list(said, "signatures") if one.get("covers", 0) > original_size]
    passed = [one for one in ours if one.get("indication") == "TOTAL-PASSED"]
    holds = bool(ours) and len(passed) == len(ours)
    levels = sorted({str(one["level"]) for one in ours if one.get("level")})
    sentence = (
        f"{len(passed)}/{len(ours)} đạt, mức {', '.join(levels)}"
        if ours
        else f"không đạt: {said.get('detail', said.get('verdict'))}"
    )
    return Verdict("hoatoc verify final.pdf", holds, sentence)


async def _verify_receipt(receipt: Path, trust: Path) -> Verdict:
    code, said = await verified(receipt, trust)
    holds = code == 0 and said.get("verdict") == "valid"
    sentence = "biên nhận tự chứng minh, không cần mạng" if holds else f"không đạt: {reason_of(said)[0]}"
    return Verdict("hoatoc verify receipt.json", holds, sentence)


def _list(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = said.get(name)
    return found if isinstance(found, list) else []


def reason_of(said: dict[str, Any]) -> tuple[str, str]:
    """The first reason in an answer of `hoatoc verify --json`, in Vietnamese and English."""
    for one in [*_list(said, "signatures"), said.get("signature") or {}, said]:
        for reason in one.get("reasons") or []:
            if isinstance(reason, dict):
                return str(reason.get("vi", "")), str(reason.get("en", ""))
    return str(said.get("detail") or said.get("verdict") or ""), ""


async def changed_byte(final: Path, trust: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of `hoatoc verify` on the same file with one byte of the first page's content changed."""
    data = bytearray(await asyncio.to_thread(final.read_bytes))
    middle = min(len(data) // 3, 2000)
    data[middle] ^= 0x01
    copy = folder / "changed.pdf"
    await asyncio.to_thread(copy.write_bytes, bytes(data))
    return await verified(copy, trust)
