"""What the person in front of the terminal sees: set-up, a row per step as it happens, judges, refusals, where to go on.

Vietnamese first, English beside it, in 80 columns. Without a terminal the same lines come one after the other, without movement.
"""

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.status import Status
from rich.table import Table
from rich.text import Text

from server.demo.play import STEPS, Outcome, Refusal, StepTime

if TYPE_CHECKING:
    from server.demo.judges import Verdict

__all__ = ["Screen", "places"]

_PARTS = {
    "parties": ("Chứng thực số, FCM, trục (mô phỏng)", "CA, FCM, exchange"),
    "people": ("Cơ quan, người dùng, bộ ký", "people, signer"),
    "server": ("Máy chủ Hỏa Tốc", "the server"),
    "enrolled": ("Ghép máy, so mã ngắn, cấp chứng thư", "paired, certified"),
}
_CASES = {
    "script": ("PDF có mã kịch bản", "a PDF with a script"),
    "changed-approval": ("Phê duyệt bị sửa một byte", "an approval changed by one byte"),
    "changed-file": ("Tệp bị sửa một byte sau khi ký", "one byte changed after approval"),
    "wrong-pin": ("Sai PIN", "a wrong PIN"),
    "replayed-approval": ("Gửi lại phê duyệt đã dùng", "a used approval sent again"),
}


def _row(mark: str, style: str, vi: str, en: str, ms: float) -> Text:
    return Text.assemble((f"  {mark} ", style), f"{vi:<37}", (f"{en:<20}", "dim"), (f"{f'{ms:,.1f} ms':>12}", "cyan"))


class Screen:
    """`quiet`: nothing at all (the JSON form prints for itself)."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, highlight=False)
        self._moving = self.console.is_terminal and not quiet
        self._live: Live | None = None
        self._status: Status | None = None
        self._part = time.monotonic()
        self._rows: list[StepTime] = []
        self._title = ""

    def opening(self) -> None:
        self.console.print()
        self.console.print(Text.assemble(("Hỏa Tốc", "bold red"), "  ký và chuyển văn bản ngay trên điện thoại"))
        self.console.print()
        self.console.print(Text.assemble(("Đang dựng", "bold"), ("  setting up", "dim")))
        self.working("khởi động các phần · starting")

    def working(self, text: str | None) -> None:
        """Something moves below the last line while one waits; None ends it."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        if text is not None and self._moving:
            self._status = self.console.status(Text(text, style="dim"))
            self._status.start()

    def part(self, name: str) -> None:
        now = time.monotonic()
        self.console.print(_row("✓", "green", *_PARTS[name], (now - self._part) * 1e3))
        self._part = now

    def what_this_is(self) -> None:
        self.working(None)
        self.console.print()
        self.console.print(
            Text.assemble(
                "Sản phẩm thật chạy trọn một vòng trên máy này; ",
                ("khóa và chứng thư trình diễn không có giá trị pháp lý.", "bold yellow"),
            )
        )
        self.console.print(Text("The real product, the whole road once; demo keys have no legal value.", style="dim"))

    # Steps.

    def document(self, n: int, name: str, count: int) -> None:
        self._title = f"Văn bản {n}/{count}  {name}" if count > 1 else f"Văn bản  {name}"
        self._rows = []
        self.console.print()
        if self._moving:
            self._live = Live(self._table(), console=self.console, refresh_per_second=12)
            self._live.start()
        else:
            self.console.print(Text(self._title, style="bold"))

    def step(self, _outcome: Outcome, made: StepTime) -> None:
        self._rows.append(made)
        if self._live is not None:
            self._live.update(self._table())
        else:
            self.console.print(_row("✓", "green", *STEPS[made.step], made.ms))

    def done(self, outcome: Outcome) -> None:
        if self._live is not None:
            self._live.update(self._table(finished=True))
            self._live.stop()
            self._live = None
        if outcome.outcome == "accepted":
            seconds = f"  trọn vòng trong {outcome.total_ms / 1e3:,.2f} s"
            text = Text.assemble(("  =", "green"), seconds, (" · the whole road", "dim"))
        elif outcome.outcome == "refused":
            text = Text.assemble(
                ("  ✕ ", "yellow"),
                (outcome.problem_title or "", "bold"),
                (f" · refused: {outcome.problem_type}", "dim"),
            )
        else:
            text = Text.assemble(("  ✕ ", "red"), f"Không xong · failed: {outcome.cause}")
        self.console.print(text)

    def _table(self, *, finished: bool = False) -> Table:
        table = Table.grid(padding=(0, 0))
        table.add_column()
        table.add_row(Text(self._title, style="bold"))
        for made in self._rows:
            table.add_row(_row("✓", "green", *STEPS[made.step], made.ms))
        done = {made.step for made in self._rows}
        waiting = next((step for step in STEPS if step not in done), None)
        if not finished and waiting is not None:
            line = Table.grid(padding=(0, 1, 0, 0))
            vi, en = STEPS[waiting]
            line.add_row(" ", Spinner("dots", style="yellow"), Text(f"{vi:<36}", style="dim"), Text(en, style="dim"))
            table.add_row(line)
        return table

    # Afterwards.

    def judges(self, verdicts: "list[Verdict]") -> None:
        self._heading("Giám định độc lập", "judges that are not ours, and the receipt offline")
        for verdict in verdicts:
            mark, style = ("–", "dim") if verdict.holds is None else ("✓", "green") if verdict.holds else ("✕", "red")
            self.console.print(Text.assemble((f"  {mark} ", style), (f"{verdict.judge:<28}", "bold"), verdict.sentence))

    def refusals(self, refused: list[Refusal], english: dict[str, str]) -> None:
        """`english`: problem type -> its English title."""
        self._heading("Cố ý làm sai để xem bị từ chối", "refused on purpose")
        for one in refused:
            vi, en = _CASES[one.case]
            left = one.extra.get("tries_left")
            title = one.title + ("" if left is None else f", còn {left} lần thử")
            beside = english.get(one.code, "")
            mark, style = ("✓", "green") if one.right else ("✕", "red")
            self.console.print(Text.assemble((f"  {mark} ", style), vi, (f" · {en}", "dim")))
            self.console.print(Text.assemble("    → ", (title, "bold"), (f" · {beside}" if beside else "", "dim")))

    def total(self, *, ok: bool, total_ms: float, setup_ms: float) -> None:
        self.working(None)
        mark, style = ("✓", "bold green") if ok else ("✕", "bold red")
        vi = "mọi việc đúng như phải thế" if ok else "có việc không đúng, xem dấu ✕ ở trên"
        self.console.print()
        times = f"  {total_ms / 1e3:,.1f} s (dựng · set-up {setup_ms / 1e3:,.1f} s)"
        self.console.print(Text.assemble((f"{mark} {vi}", style), (times, "cyan")))

    def serving(self, shown: dict[str, str]) -> None:
        self._heading("Đi tiếp", "where to go on")
        for name, value in shown.items():
            self._place(name, value)
        self.note("  Vẫn đang chạy; Ctrl-C để dừng · still serving, Ctrl-C ends it")

    def trust(self, leaf: str, root: str, file: str) -> None:
        """How to trust the demonstration's root on a phone, and what to compare first."""
        self._heading("Xem trên điện thoại", "on a phone in the same network")
        self._place("SHA-256 chứng thư máy chủ · server", leaf)
        self._place("SHA-256 gốc trình diễn · demo root", root)
        self._place("Tệp gốc · root file", file)
        self.note("  Chép tệp gốc vào điện thoại, so mã SHA-256, rồi bật tin cậy:")
        self.note("    iOS: Cài đặt › Cài đặt chung › Giới thiệu › Cài đặt tin cậy chứng nhận")
        self.note("    Android: Cài đặt › Bảo mật › Cài chứng chỉ CA")
        self.note("  Gỡ ra khi xem xong · copy the root file to the phone, compare, trust it, remove it")

    def pairing(self, link: str, *, qr: bool) -> None:
        if self.console.quiet:
            return
        if qr:
            import segno

            segno.make(link, error="m").terminal(compact=True)
        self._place("Ghép thêm máy lãnh đạo, trong 10 phút · pair a phone, 10 minutes", link)

    def ended(self) -> None:
        self.working(None)
        self.console.print()
        self.note("Đã dừng, không để lại gì đang chạy · stopped, nothing is left running")

    def error(self, text: str) -> None:
        self.working(None)
        if self._live is not None:
            self._live.stop()
            self._live = None
        Console(stderr=True, highlight=False).print(
            Text.assemble(("Không chạy được · failed: ", "bold red"), text), soft_wrap=True
        )

    def note(self, text: str) -> None:
        self.console.print(Text(text, style="dim"))

    def _heading(self, vi: str, en: str) -> None:
        self.working(None)
        self.console.print()
        self.console.print(Text.assemble((vi, "bold"), (f"  {en}", "dim")))

    def _place(self, name: str, value: str) -> None:
        """An address is never broken over lines: it must stay one to be copied."""
        gap = "\n    " if len(name) > 24 else " " * (26 - len(name))
        self.console.print(Text.assemble(f"  {name}{gap}", (value, "cyan")), soft_wrap=True)


def places(base_url: str, folder: str, demo_file: str, *, web: bool, lan: bool) -> dict[str, str]:
    """Where a person may go on from here. Leader and clerk are two origins, so that one browser can be both."""
    shown = {"API": f"{base_url}/api"}
    if web and not lan:
        port = base_url.rsplit(":", 1)[1]
        shown = {"Xem tất cả · see it all": f"{base_url}/demo", **shown}
        shown["Lãnh đạo · leader"] = f"http://127.0.0.1:{port}/"
        shown["Văn thư · clerk"] = f"http://localhost:{port}/"
    elif web:
        shown["Ứng dụng web · web app"] = f"{base_url}/"
    shown["Tệp · files"] = folder
    shown["PIN, mã · PINs, codes"] = demo_file
    return shown
