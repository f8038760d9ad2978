"""What the person in front of the terminal sees: set-up, a row per step as it happens, judges, refusals, where to go on.

Vietnamese first, English beside it. Without a terminal the same lines come one after the other, without movement.
"""

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from server.demo.play import STEPS, Outcome, Refusal, StepTime

if TYPE_CHECKING:
    from server.demo.judges import Verdict

__all__ = ["Screen"]

_PARTS = {
    "parties": (
        "Cơ quan chứng thực, FCM, trục liên thông (bản mô phỏng)",
        "certificate authority, FCM, exchange: stand-ins",
    ),
    "people": ("Cơ quan, người, hệ thống; bộ ký với kho khóa riêng", "organisation, people, signer"),
    "server": ("Máy chủ Hỏa Tốc", "the server"),
    "enrolled": ("Ghép điện thoại, đối chiếu mã ngắn, cấp chứng thư", "phones paired, certificates issued"),
}
_CASES = {
    "script": ("PDF có mã kịch bản", "a PDF with a script"),
    "changed-approval": ("Phê duyệt bị sửa một byte", "an approval changed by one byte"),
    "changed-file": ("Tệp bị sửa một byte sau khi ký", "one byte changed after approval"),
    "wrong-pin": ("Sai PIN", "a wrong PIN"),
    "replayed-approval": ("Dùng lại phê duyệt cũ", "a used approval sent again"),
}


class Screen:
    """`quiet`: nothing at all (the JSON form prints for itself)."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=False)
        self._moving = self.console.is_terminal and not quiet
        self._live: Live | None = None
        self._since = time.monotonic()
        self._part = time.monotonic()
        self._rows: list[tuple[str, float | None]] = []
        self._title = ""

    def opening(self) -> None:
        self.console.print()
        self.console.print(
            Text.assemble(
                ("Hỏa Tốc", "bold red"), "  ký và chuyển văn bản ngay trên điện thoại · sign and send from the phone"
            )
        )
        self.console.print(Text("Đang dựng · setting up", style="dim"))

    def part(self, name: str) -> None:
        now = time.monotonic()
        vi, en = _PARTS[name]
        line = Text.assemble(
            ("  ✓ ", "green"), vi, ("  " + en, "dim"), (f"  {(now - self._part) * 1e3:,.0f} ms", "cyan")
        )
        self._part = now
        self.console.print(line)

    def what_this_is(self, base_url: str) -> None:
        self.console.print()
        self.console.print(
            Text.assemble(
                "Đây là sản phẩm thật, chạy trọn một vòng trên máy này; ",
                ("khóa và chứng thư trình diễn không có giá trị pháp lý.", "bold yellow"),
            )
        )
        self.console.print(
            Text(f"The real product at {base_url}, the whole road once; demo keys have no legal value.", style="dim")
        )

    # Steps.

    def document(self, n: int, name: str, count: int) -> None:
        self._title = f"Văn bản {n}/{count}: {name}" if count > 1 else f"Văn bản: {name}"
        self._rows = []
        self.console.print()
        if self._moving:
            self._live = Live(self._table(), console=self.console, refresh_per_second=12)
            self._live.start()
        else:
            self.console.print(Text(self._title, style="bold"))

    def step(self, _outcome: Outcome, made: StepTime) -> None:
        self._rows.append((made.step, made.ms))
        if self._live is not None:
            self._live.update(self._table())
        elif not self._moving:
            vi, en = STEPS[made.step]
            self.console.print(f"  {made.ms:>9,.1f} ms  {vi} · {en}")

    def done(self, outcome: Outcome) -> None:
        if self._live is not None:
            self._live.update(self._table(outcome))
            self._live.stop()
            self._live = None
        if outcome.outcome == "accepted":
            text = Text.assemble(
                ("  ✓ ", "green"), f"Xong trong {outcome.total_ms / 1e3:,.2f} s", (" · all done", "dim")
            )
        elif outcome.outcome == "refused":
            title = outcome.problem_title or ""
            text = Text.assemble(
                ("  ✕ ", "yellow"), f"Từ chối · refused: {title}", (f" ({outcome.problem_type})", "dim")
            )
        else:
            text = Text.assemble(("  ✕ ", "red"), f"Không xong · failed: {outcome.cause}")
        self.console.print(text)

    def _table(self, outcome: Outcome | None = None) -> Table:
        table = Table(
            title=self._title, title_justify="left", title_style="bold", box=None, padding=(0, 1), show_header=True
        )
        table.add_column("", width=2)
        table.add_column("Bước · step", no_wrap=True)
        table.add_column("", style="dim", no_wrap=True)
        table.add_column("ms", justify="right", style="cyan")
        for step, ms in self._rows:
            vi, en = STEPS[step]
            table.add_row(Text("✓", style="green"), vi, en, f"{ms:,.1f}")
        waiting = next((step for step in STEPS if step not in {row[0] for row in self._rows}), None)
        if outcome is None and waiting is not None:
            vi, en = STEPS[waiting]
            table.add_row(Spinner("dots"), Text(vi, style="dim"), en, "")
        return table

    # Afterwards.

    def judges(self, verdicts: "list[Verdict]") -> None:
        self.console.print()
        self.console.print(Text.assemble(("Giám định độc lập", "bold"), ("  judges", "dim")))
        for verdict in verdicts:
            mark, style = ("–", "dim") if verdict.holds is None else ("✓", "green") if verdict.holds else ("✕", "red")
            self.console.print(Text.assemble((f"  {mark} ", style), (f"{verdict.judge:<28}", "bold"), verdict.sentence))

    def refusals(self, refused: list[Refusal]) -> None:
        self.console.print()
        self.console.print(
            Text.assemble(("Những điều bị từ chối, cố ý làm thử", "bold"), ("  refused on purpose", "dim"))
        )
        for one in refused:
            vi, en = _CASES[one.case]
            extra = f", còn {one.extra['tries_left']} lần thử" if "tries_left" in one.extra else ""
            mark, style = ("✓", "green") if one.right else ("✕", "red")
            self.console.print(
                Text.assemble(
                    (f"  {mark} ", style),
                    f"{vi} ",
                    (f"{en} ", "dim"),
                    "→ ",
                    (f"“{one.title}{extra}”", "bold"),
                    (f" {one.code}", "dim"),
                )
            )

    def serving(self, base_url: str, places: dict[str, str]) -> None:
        self.console.print()
        self.console.print(Text.assemble(("Đi tiếp", "bold"), ("  where to go on", "dim")))
        for name, value in places.items():
            self.console.print(Text.assemble(f"  {name:<24}", (value, "cyan")))
        self.console.print(
            Text(f"  Máy chủ vẫn chạy tại {base_url}. Ctrl-C để dừng · still serving, Ctrl-C ends it", style="dim")
        )

    def note(self, text: str, style: str = "dim") -> None:
        self.console.print(Text(text, style=style))

    def error(self, text: str) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        Console(stderr=True, highlight=False).print(Text.assemble(("Không chạy được · failed: ", "bold red"), text))

    def qr(self, link: str) -> None:
        import segno

        if not self.console.quiet:
            segno.make(link, error="m").terminal(compact=True)

    def ended(self) -> None:
        self.console.print()
        self.note("Đã dừng, không để lại gì đang chạy · stopped, nothing is left running")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since


def places(base_url: str, folder: Any, *, web: bool, lan: bool) -> dict[str, str]:
    """Where a person may go on from here."""
    shown = {"API": f"{base_url}/api"}
    if web and not lan:
        port = base_url.rsplit(":", 1)[1]
        shown["Lãnh đạo · leader"] = f"http://127.0.0.1:{port}/"
        shown["Văn thư · clerk"] = f"http://localhost:{port}/"
    shown["Tệp · files"] = str(folder)
    return shown
