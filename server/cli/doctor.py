"""`hoatoc doctor`: exit 0 all right, 1 something to look at, 2 something is broken."""

import asyncio
import json
import sys
from typing import Any

import click

from server.cli import load_settings
from server.doctor import Finding, Level, examine
from server.doctor_texts import TEXTS

_EXIT = {Level.OK: 0, Level.WARN: 1, Level.FAIL: 2}
_MARKS = {Level.OK: ("✓", "green"), Level.WARN: ("!", "yellow"), Level.FAIL: ("✗", "bold red")}
_NAMES = {
    "clock": "Đồng hồ", "tsa": "Dấu thời gian", "disk": "Ổ đĩa", "permissions": "Quyền truy cập", "database": "Cơ sở dữ liệu", "signer": "Bộ ký",
    "sandbox": "Cách ly", "axis": "Trục liên thông", "systems": "Hệ thống trên trục", "fcm": "FCM", "webpush": "Web Push", "sms": "Tin nhắn", "email": "Thư điện tử", "second": "Kênh thứ hai",
    "font": "Phông dấu ký", "certificates": "Chứng thư", "outbox": "Hàng đợi", "buried": "Việc bị bỏ", "parked": "Gói tin bị giữ", "unstamped": "Chờ dấu thời gian",
}  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with English beside Vietnamese.")
@click.pass_context
def doctor(context: click.Context, *, as_json: bool) -> None:
    """Examine this installation and name the cure of whatever is wrong; changes nothing."""
    from server.clock import SystemClock
    from server.logs import configure
    from server.wire import iso

    settings = load_settings(context)
    configure(level="error")
    clock = SystemClock()
    found = asyncio.run(examine(settings, clock))
    level = max((finding.level for finding in found), key=lambda one: _EXIT[one])
    if as_json:
        said = {"verdict": level.value, "at": iso(clock.now_us()), "findings": [_as_json(one) for one in found]}
        click.echo(json.dumps(said, ensure_ascii=False, indent=1))
    else:
        _show(found)
    sys.exit(_EXIT[level])


def _as_json(finding: Finding) -> dict[str, Any]:
    text = TEXTS[finding.code]
    said: dict[str, Any] = {"check": finding.check, "level": finding.level.value, "code": finding.code}
    for name in ("vi", "en", "cure_vi", "cure_en"):
        if sentence := getattr(text, name).format(**finding.values):
            said[name] = sentence
    return said | {"values": finding.values}


def _show(found: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("Hỏa Tốc: khám hệ thống · doctor"), title_justify="left", title_style="bold", expand=False)
    table.add_column("")
    table.add_column("Phần", no_wrap=True)
    table.add_column("Tình trạng", overflow="fold")
    table.add_column("Cách khắc phục", overflow="fold")
    for finding in found:
        mark, style = _MARKS[finding.level]
        text = TEXTS[finding.code]
        row = (text.vi.format(**finding.values), text.cure_vi.format(**finding.values))
        table.add_row(Text(mark, style=style), Text(_NAMES[finding.check]), *(Text(cell) for cell in row))
    console = Console(highlight=False)
    console.print(table)
    counts = {level: sum(one.level is level for one in found) for level in Level}
    console.print(Text(f"{counts[Level.OK]} tốt, {counts[Level.WARN]} cần xem, {counts[Level.FAIL]} hỏng", style="dim"))
