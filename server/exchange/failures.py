"""What was not sent is told to people with its reason: the clerks, and who signed (EXC-6)."""

from server.db import Transaction
from server.documents.model import DocumentRow
from server.exchange import queries
from server.exchange.words import Words, of_refusal
from server.notices.model import NewNotice, NoticeKind, lifetime_us
from server.notices.service import about_document, tell


def about_unsent(arrival: str) -> str:
    """The subject of what could not be said of an arrival: that it waits for its clerk is told under its own, and goes on being told."""
    return f"arrival:{arrival}:unsent"


async def tell_failed(
    tx: Transaction,
    *,
    organisation: str,
    document: DocumentRow | None,
    arrival: str = "",
    what: Words | None = None,
    code: str,
    now_us: int,
) -> None:
    """`document` with its own packet, or `what` was to be said of it; None: of an arrival. Each hears it in their language."""
    if document is None:
        people = await queries.clerks(tx, organisation)
    else:
        people = await queries.listeners(tx, document.id, organisation)
    kind, why = NoticeKind.SEND_FAILED, of_refusal(code)
    notices = []
    for person in people:
        said = [one.told(person["locale"]) for one in (what, why) if one is not None]
        notices.append(
            NewNotice(
                organisation=organisation,
                person=person["id"],
                kind=kind,
                urgency=0 if document is None else document.urgency,
                about=about_unsent(arrival) if document is None else about_document(document.id),
                headline=f"{' · '.join(said)} ({code.removeprefix('axis-')})",
                expires_us=now_us + lifetime_us(kind),
                document=None if document is None else document.id,
            )
        )
    await tell(tx, notices, now_us=now_us)
