"""E-mail by SMTP (RFC 5321): a channel of escalation, as content-free as a push (NOT-3, C12).

smtplib in threads of its own, one connection a message: escalations are few, and a mail server that does not answer holds up nobody else.
Passwords and messages go over TLS, from the start (`smtps:`) or by STARTTLS, which a server without it is refused for; only a server on
this machine may do without.
"""

import asyncio
import contextlib
import ipaddress
import re
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import urlsplit

import msgspec

from push.model import Address, AddressKind
from push.outcome import Delivered, Misconfigured, Outcome, Rejected, RetryAfter, RetryCause, TokenDead
from push.payload import Payload

__all__ = ["MAILBOX", "CalendarMail", "EmailTransport", "MailServer"]

MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_NO_MAILBOX = {550, 551, 553}
_THREADS = 4


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """`url`: `smtp://host:587` (STARTTLS) or `smtps://host:465`. `sender` is the mailbox in From."""

    url: str
    sender: str
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"MailServer({urlsplit(self.url).hostname})"

    @property
    def local(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


class CalendarMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail with a calendar part (RFC 6047). `id` makes its Message-ID; `method` is iTIP's, in upper case as the calendar has it."""

    id: str
    subject: str
    text: str
    calendar: bytes
    method: str

    def __repr__(self) -> str:
        return f"CalendarMail({self.id})"


class EmailTransport:
    """Sends through one server, which answers each phase within `timeout_s`."""

    def __init__(self, server: MailServer, *, timeout_s: float) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="smtp")

    @property
    def sender(self) -> str:
        """The mailbox in From."""
        return self._server.sender

    async def send(self, address: Address, payload: Payload) -> Outcome:
        """Send once. The Message-ID is made of the notice's opaque id, so that a mail server can drop what it has."""
        if address.kind is not AddressKind.EMAIL or not MAILBOX.fullmatch(address.value) or payload.silent:
            return Rejected("not-a-mailbox")
        return await self._carry(_message(self._server.sender, address.value, payload))

    async def invite(self, address: Address, mail: CalendarMail) -> Outcome:
        """Send an invitation or its cancellation once."""
        if address.kind is not AddressKind.EMAIL or not MAILBOX.fullmatch(address.value):
            return Rejected("not-a-mailbox")
        return await self._carry(_invitation(self._server.sender, address.value, mail))

    async def check(self) -> Outcome | None:
        """Why the server takes no mail of ours; None when it would. Signs in and sends nothing."""
        outcome = await self._carry(None)
        return None if isinstance(outcome, Delivered) else outcome

    async def _carry(self, message: EmailMessage | None) -> Outcome:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._send, message)
        except (OSError, smtplib.SMTPServerDisconnected):
            return RetryAfter(RetryCause.UNREACHABLE)

    async def close(self) -> None:
        """Begin no more; what is under way ends within its time-outs."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _send(self, message: EmailMessage | None) -> Outcome:
        parts = urlsplit(self._server.url)
        host, secure = parts.hostname or "", parts.scheme == "smtps"
        context = ssl.create_default_context()
        try:
            smtp = (
                smtplib.SMTP_SSL(host, parts.port or 465, timeout=self._timeout_s, context=context)
                if secure
                else smtplib.SMTP(host, parts.port or 587, timeout=self._timeout_s)
            )
            try:
                code, words = smtp.ehlo()
                if code != 250:
                    raise smtplib.SMTPHeloError(code, words)
                if not secure and (smtp.has_extn("starttls") or not self._server.local):
                    smtp.starttls(context=context)
                if self._server.user:
                    smtp.login(self._server.user, self._server.password)
                if message is not None:
                    smtp.send_message(message)
            finally:
                # Whatever is said to the farewell, the message was taken, or was not, before.
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    smtp.quit()
                smtp.close()
        except smtplib.SMTPRecipientsRefused as refused:
            return _judge(next(iter(refused.recipients.values()))[0], recipient=True)
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError):
            return Misconfigured("mail-server-refused")
        except smtplib.SMTPSenderRefused as refused:
            return Misconfigured("sender-refused") if refused.smtp_code >= 500 else RetryAfter(RetryCause.UNAVAILABLE)
        except smtplib.SMTPResponseException as refused:
            return _judge(refused.smtp_code, recipient=False)
        return Delivered("email")


def _judge(code: int, *, recipient: bool) -> Outcome:
    """RFC 5321 §4.2.1: 4yz may be tried again, 5yz not."""
    if code < 500:
        return RetryAfter(RetryCause.UNAVAILABLE)
    return TokenDead("no-mailbox") if recipient and code in _NO_MAILBOX else Rejected("mail-refused")


def _message(sender: str, to: str, payload: Payload) -> EmailMessage:
    message = _head(f"{payload.title} <{sender}>", to, payload.body, payload.data["id"])
    message.set_content(f"{payload.title}: {payload.body}.\n")
    return message


def _invitation(sender: str, to: str, mail: CalendarMail) -> EmailMessage:
    """Text, and the calendar as its alternative with its method in the type: what calendar applications look for (RFC 6047, 2.4)."""
    message = _head(f"Hỏa Tốc <{sender}>", to, mail.subject, mail.id)
    message.set_content(mail.text)
    message.add_alternative(
        mail.calendar.decode(), subtype="calendar", params={"method": mail.method, "component": "vevent"}
    )
    return message


def _head(sender: str, to: str, subject: str, id_: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{id_}@{sender.rpartition('@')[2].rstrip('>')}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    return message
