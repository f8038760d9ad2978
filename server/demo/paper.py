"""The PDFs that the demonstration makes: a decision laid out by decree 30/2020/NĐ-CP, annex I, and the same with a script in it.

The agency and the person are samples. Fonts are embedded as subsets, text is extractable, letters are NFC.
"""

import datetime as dt
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from signing.pdf.appearance import DEFAULT_FONT, StampFont, stamp_font

__all__ = ["AGENCY", "LEADER", "NUMBER", "SUBJECT", "Decision", "Place", "decision", "with_script"]

AGENCY = "Ủy ban nhân dân xã Mẫu"
LEADER = "Nguyễn Văn Mẫu"
SUBJECT = "Về việc kiện toàn Tổ công nghệ số cộng đồng xã Mẫu"

NUMBER = 15

_MM = 72 / 25.4
_WIDTH, _HEIGHT = 595.28, 841.89
# Annex I, section I, 1: left 30-35 mm, right 15-20 mm, top and bottom 20-25 mm.
_LEFT, _RIGHT, _TOP = 32 * _MM, _WIDTH - 18 * _MM, _HEIGHT - 21 * _MM
# The family's own italics lack Vietnamese letters, so italics are the upright letters, slanted.
_FACES = {"Regular": "Regular", "Bold": "Bold", "It": "Regular", "BoldIt": "Bold"}
_SLANT = {"It": 0.2, "BoldIt": 0.2}


class Place(msgspec.Struct, frozen=True):
    """A rectangle as the API takes it: millimetres from the page's top left corner."""

    x_mm: float
    y_mm: float
    width_mm: float
    height_mm: float
    page: int = 1


class Decision(msgspec.Struct, frozen=True):
    """The file, and where its layout leaves room for the signature and the seal."""

    pdf: bytes
    signature: Place
    seal: Place


class _Sheet:
    """One page being written: text upright, bold and slanted, rules, justified paragraphs. Origin at the lower left, points."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.fonts: dict[str, StampFont] = {
            style: stamp_font(_font_file(face), [SUBJECT]) for style, face in _FACES.items()
        }

    def text(self, x: float, y: float, text: str, size: float, style: str = "Regular") -> None:
        self._show(x, y, style, size, [(text, 0.0)])

    def centred(self, middle: float, y: float, text: str, size: float, style: str = "Regular") -> float:
        """Gives the text's width."""
        width = self.fonts[style].measure(text) * size
        self.text(middle - width / 2, y, text, size, style)
        return width

    def rule(self, middle: float, y: float, width: float) -> None:
        self.parts.append(b"0.7 w %.2f %.2f m %.2f %.2f l S" % (middle - width / 2, y, middle + width / 2, y))

    def paragraph(self, y: float, runs: Sequence[tuple[str, str]], size: float, *, indent: float = 28.0) -> float:
        """`runs`: (text, style) after each other, justified between the margins; gives the next line's y."""
        words = [(word, style) for text, style in runs for word in text.split()]
        lines = self._broken(words, size, _RIGHT - _LEFT, indent)
        for number, line in enumerate(lines):
            x = _LEFT + (indent if number == 0 else 0.0)
            natural = self._natural(line, size)
            gaps = len(line) - 1
            spare = (_RIGHT - x - natural) / gaps if gaps and number < len(lines) - 1 else 0.0
            self._line(x, y, line, size, spare)
            y -= size * 1.32
        return y - 4.0

    def _broken(
        self, words: list[tuple[str, str]], size: float, width: float, indent: float
    ) -> list[list[tuple[str, str]]]:
        lines: list[list[tuple[str, str]]] = [[]]
        for word in words:
            room = width - (indent if len(lines) == 1 else 0.0)
            if lines[-1] and self._natural([*lines[-1], word], size) > room:
                lines.append([])
            lines[-1].append(word)
        return lines

    def _natural(self, line: list[tuple[str, str]], size: float) -> float:
        space = self.fonts["Regular"].measure(" ")
        return (sum(self.fonts[style].measure(word) for word, style in line) + space * (len(line) - 1)) * size

    def _line(self, x: float, y: float, line: list[tuple[str, str]], size: float, spare: float) -> None:
        """One show operator for each run of a style; spaces are real characters, widened by what justification needs."""
        position = 0
        while position < len(line):
            style = line[position][1]
            end = position
            while end < len(line) and line[end][1] == style:
                end += 1
            last = end == len(line)
            pieces = [
                (word if last and number == end - 1 else word + " ", spare)
                for number, (word, _) in enumerate(line[position:end], position)
            ]
            self._show(x, y, style, size, pieces)
            x += sum(self.fonts[style].measure(piece) * size for piece, _ in pieces)
            x += spare * (len(pieces) - (1 if last else 0))
            position = end

    def _show(self, x: float, y: float, style: str, size: float, pieces: Sequence[tuple[str, float]]) -> None:
        font = self.fonts[style]
        shown = b"".join(
            b"<%s> %.2f " % (b"".join(b"%04X" % font.glyphs[char] for char in text), -1000 * spare / size)
            for text, spare in pieces
        )
        slant = _SLANT.get(style, 0.0)
        face = _FACES[style].encode()
        self.parts.append(b"BT /%s %.2f Tf 1 0 %.2f 1 %.2f %.2f Tm [%s] TJ ET" % (face, size, slant, x, y, shown))


def _font_file(style: str) -> Path:
    return DEFAULT_FONT.with_name(f"SourceSerifPro-{style}.ttf")


def decision(day: dt.date, number: int = NUMBER) -> Decision:
    """A decision of the sample agency, one A4 page, about 30 KB."""
    sheet = _Sheet()
    title = _foot(sheet, _body(sheet, _head(sheet, day, number)))
    middle, top = (_RIGHT - 100) / _MM, (_HEIGHT - title) / _MM + 2.5
    # SIG-2: the seal covers about a third of the signature on its left side.
    signature = Place(round(middle - 30, 1), round(top, 1), 60.0, 30.0)
    seal = Place(round(middle - 30 - 16, 1), round(top - 3, 1), 36.0, 36.0)
    return Decision(_file(sheet, []), signature, seal)


def with_script(day: dt.date) -> bytes:
    """The same decision with JavaScript that runs on opening: no honest document needs one, and intake refuses it."""
    sheet = _Sheet()
    _foot(sheet, _body(sheet, _head(sheet, day, NUMBER + 1)))
    return _file(sheet, [b"/OpenAction << /S /JavaScript /JS (app.alert\\('xin chao'\\)) >>"])


def _head(sheet: _Sheet, day: dt.date, number: int) -> float:
    """National motto, agency, number, place and day (annex I, section II, 1-4), then title and subject (5)."""
    agency, nation = _LEFT + 72, _RIGHT - 128
    sheet.centred(agency, _TOP, "ỦY BAN NHÂN DÂN", 12.5, "Bold")
    width = sheet.centred(agency, _TOP - 16, "XÃ MẪU", 12.5, "Bold")
    sheet.rule(agency, _TOP - 21, width * 0.9)
    sheet.centred(nation, _TOP, "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", 11.5, "Bold")
    width = sheet.centred(nation, _TOP - 16, "Độc lập - Tự do - Hạnh phúc", 13, "Bold")
    sheet.rule(nation, _TOP - 21, width)
    sheet.centred(agency, _TOP - 42, f"Số: {number}/QĐ-UBND", 12.5)
    when = f"Xã Mẫu, ngày {day.day:02d} tháng {day.month:02d} năm {day.year}"
    sheet.centred(nation, _TOP - 42, when, 12.5, "It")
    middle = (_LEFT + _RIGHT) / 2
    sheet.centred(middle, _TOP - 86, "QUYẾT ĐỊNH", 14, "Bold")
    sheet.centred(middle, _TOP - 105, SUBJECT, 13.5, "Bold")
    sheet.rule(middle, _TOP - 112, 110)
    sheet.centred(middle, _TOP - 142, "CHỦ TỊCH ỦY BAN NHÂN DÂN XÃ MẪU", 13, "Bold")
    return _TOP - 168


def _body(sheet: _Sheet, y: float) -> float:
    size = 13.0
    for line in (
        "Căn cứ Luật Tổ chức chính quyền địa phương ngày 16 tháng 6 năm 2025;",
        "Căn cứ Nghị định số 30/2020/NĐ-CP ngày 05 tháng 3 năm 2020 của Chính phủ về công tác văn thư;",
        "Theo đề nghị của Văn phòng Hội đồng nhân dân và Ủy ban nhân dân xã Mẫu.",
    ):
        y = sheet.paragraph(y, [(line, "It")], size)
    y -= 8
    sheet.centred((_LEFT + _RIGHT) / 2, y, "QUYẾT ĐỊNH:", 13, "Bold")
    y -= 25
    for heading, text in (
        (
            "Điều 1.",
            (
                "Kiện toàn Tổ công nghệ số cộng đồng xã Mẫu gồm 07 thành viên, do Phó Chủ tịch Ủy ban nhân dân xã làm Tổ trưởng; "
                "Tổ hướng dẫn người dân nộp hồ sơ trực tuyến, tra cứu kết quả và dùng chữ ký số trên điện thoại."
            ),
        ),
        (
            "Điều 2.",
            (
                "Tổ họp định kỳ vào thứ Sáu tuần cuối mỗi tháng, báo cáo kết quả trước ngày 05 tháng sau; kinh phí hoạt động "
                "lấy từ nguồn chi thường xuyên được giao hằng năm."
            ),
        ),
        (
            "Điều 3.",
            (
                "Quyết định này có hiệu lực kể từ ngày ký. Chánh Văn phòng Hội đồng nhân dân và Ủy ban nhân dân, trưởng các "
                "phòng chuyên môn và các thành viên có tên tại Điều 1 chịu trách nhiệm thi hành Quyết định này./."
            ),
        ),
    ):
        y = sheet.paragraph(y, [(heading, "Bold"), (text, "Regular")], size) - 2
    return y


def _foot(sheet: _Sheet, y: float) -> float:
    """Receivers on the left, the signer's title and name on the right with the place of the signature between (annex I, II, 7-9);
    gives the title's y.
    """
    y -= 12
    sheet.text(_LEFT, y, "Nơi nhận:", 12, "BoldIt")
    for number, line in enumerate(("- Như Điều 3;", "- Cơ quan Mẫu Hai;", "- Cơ quan Mẫu Ba;", "- Lưu: VT."), 1):
        sheet.text(_LEFT, y - 2 - 14 * number, line, 11)
    right = _RIGHT - 100
    sheet.centred(right, y, "CHỦ TỊCH", 13, "Bold")
    sheet.centred(right, y - 112, LEADER, 13, "Bold")
    note = "Văn bản mẫu để trình diễn phần mềm Hỏa Tốc, không có giá trị pháp lý."
    sheet.centred((_LEFT + _RIGHT) / 2, 40, note, 8.5, "It")
    return y


class _Objects(msgspec.Struct):
    bodies: list[bytes] = []

    def add(self, body: bytes) -> int:
        self.bodies.append(body)
        return len(self.bodies)

    def stream(self, entries: bytes, data: bytes) -> int:
        return self.add(b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data))


def _file(sheet: _Sheet, catalog: list[bytes]) -> bytes:
    objects = _Objects(bodies=[b"", b"", b""])
    faces = ((face, sheet.fonts[face]) for face in ("Regular", "Bold"))
    names = b" ".join(b"/%s %d 0 R" % (face.encode(), _embed(objects, font)) for face, font in faces)
    content = objects.stream(b"/Filter /FlateDecode", zlib.compress(b"\n".join(sheet.parts), 9))
    info = objects.add(b"<< /Title <FEFF%s> >>" % SUBJECT.encode("utf-16-be").hex().upper().encode())
    extra = b" ".join(catalog)
    objects.bodies[0] = b"<< /Type /Catalog /Pages 2 0 R /Lang (vi-VN) %s >>" % extra
    objects.bodies[1] = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    objects.bodies[2] = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %.2f %.2f] /Resources << /Font << %s >> >> /Contents %d 0 R >>"
        % (_WIDTH, _HEIGHT, names, content)
    )
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects.bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(places) + 1,
        info,
        start,
    )
    return bytes(out)


def _embed(objects: _Objects, font: StampFont) -> int:
    base = font.base_name.encode()
    program = objects.stream(b"/Length1 %d /Filter /FlateDecode" % font.program_length, font.program)
    descriptor = objects.add(
        b"<< /Type /FontDescriptor /FontName /%s %s /FontFile2 %d 0 R >>" % (base, font.descriptor, program)
    )
    descendant = objects.add(
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity)"
        b" /Supplement 0 >> /FontDescriptor %d 0 R /CIDToGIDMap /Identity /DW 0 /W %s >>"
        % (base, descriptor, font.width_array)
    )
    unicode_map = objects.stream(b"/Filter /FlateDecode", font.to_unicode)
    return objects.add(
        b"<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R >>"
        % (base, descendant, unicode_map)
    )
