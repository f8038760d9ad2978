"""What is known of a dossier (hồ sơ) and when it is late: pure rules over the working calendar (TIM-7)."""

from datetime import date
from enum import StrEnum
from typing import Final

import msgspec

from server.notices.calendar import add_working, local_day
from server.notices.model import DAY_US
from server.notices.rules import Rules

KEPT_US: Final = 90 * DAY_US
"""How long the link of a closed dossier goes on showing how it ended; then the row is deleted (PDP-1)."""


class StepCode(StrEnum):
    """The states of a dossier as public service portals name them. A closed list: no free text of a step can carry a name."""

    REGISTERED = "registered"
    RECEIVED = "received"
    NOT_RECEIVED = "not_received"
    PROCESSING = "processing"
    SUPPLEMENT = "supplement"
    PAYMENT = "payment"
    WITHDRAWING = "withdrawing"
    STOPPED = "stopped"
    FINISHED = "finished"
    RETURNED = "returned"


WORDS: Final[dict[StepCode, tuple[str, str]]] = {
    StepCode.REGISTERED: ("Mới đăng ký", "Registered"),
    StepCode.RECEIVED: ("Đã tiếp nhận", "Received"),
    StepCode.NOT_RECEIVED: ("Không được tiếp nhận", "Not received"),
    StepCode.PROCESSING: ("Đang xử lý", "Being processed"),
    StepCode.SUPPLEMENT: ("Chờ bổ sung giấy tờ", "Waiting for further papers from you"),
    StepCode.PAYMENT: ("Chờ thực hiện nghĩa vụ tài chính", "Waiting for your payment"),
    StepCode.WITHDRAWING: ("Đang xử lý yêu cầu rút hồ sơ", "Your withdrawal is being processed"),
    StepCode.STOPPED: ("Dừng xử lý", "Stopped"),
    StepCode.FINISHED: ("Đã có kết quả", "The result is ready"),
    StepCode.RETURNED: ("Đã trả kết quả", "The result was handed over"),
}

FINAL: Final = frozenset({StepCode.NOT_RECEIVED, StepCode.STOPPED, StepCode.RETURNED})
WORKING: Final = frozenset({StepCode.REGISTERED, StepCode.RECEIVED, StepCode.PROCESSING, StepCode.WITHDRAWING})
"""Steps in which the office has something to do. In the others it waits for the applicant, or is done."""


class Late(StrEnum):
    """Why a dossier is late: its promised date is over, or nobody handles its step."""

    PROMISED = "promised"
    UNHANDLED = "unhandled"


class Step(msgspec.Struct, frozen=True):
    """Where a dossier stands. `unit` is the code of a unit of the organisation, `promised` a local date, `handled` whether somebody has it."""

    code: StepCode
    unit: str
    promised: date | None
    handled: bool


class Dossier(msgspec.Struct, frozen=True):
    """`step_us`: since when it is in this step. `sequence` counts its steps from 0."""

    id: str
    organisation: str
    client: str
    reference: str | None
    sequence: int
    step: Step
    step_us: int
    late_us: int | None
    closed_us: int | None


class Unit(msgspec.Struct, frozen=True):
    """A unit of the organisation. `responsible`: people who are told when nobody handles a step there."""

    code: str
    name: str
    name_en: str
    responsible: tuple[str, ...]


def unhandled_us(step_us: int, rules: Rules) -> int:
    """When a step that began at `step_us` and that nobody handles becomes late: after N working days, within office hours."""
    day_s = (rules.work.end - rules.work.start) * 60
    return add_working(step_us, rules.unhandled_days * day_s, rules)


def watched(step: Step) -> bool:
    """Whether somebody has to take the step up."""
    return step.code in WORKING and not step.handled


def lateness(step: Step, step_us: int, rules: Rules, now_us: int) -> Late | None:
    """Why it is late now. The promised date is kept until its local midnight."""
    if step.code in WORKING and step.promised is not None and local_day(now_us) > step.promised:
        return Late.PROMISED
    if watched(step) and now_us >= unhandled_us(step_us, rules):
        return Late.UNHANDLED
    return None


def look_us(step: Step, step_us: int, rules: Rules, now_us: int) -> int | None:
    """When to look at the step again: once a day at least, because an organisation's days without work may be set meanwhile."""
    return min(unhandled_us(step_us, rules), now_us + DAY_US) if watched(step) else None
