"""SMS by an HTTP gateway and e-mail by SMTP: outcomes of the channels of escalation, and every byte that leaves (NOT-3, C12)."""

import asyncio
import base64
import email.policy
import json
import re
from email import message_from_bytes
from email.header import decode_header, make_header

import pytest

from push.model import Address, AddressKind, Lane, Language, Notice, Urgency
from push.outcome import Delivered, Misconfigured, Rejected, RetryAfter, RetryCause, TokenDead
from push.payload import build, clearing
from push.transports import MailServer, open_email, open_sms
from server.demo.fcm import server_tls
from server.demo.loopback import CUT, LoopbackServer, Reply
from tests.fakes.smtp import SmtpServer

pytestmark = pytest.mark.asyncio
NOW_US = 1_795_000_000_000_000
NOTICE = Notice(notice_id="A" * 22, lane=Lane.URGENT, urgency=Urgency.TIME_SENSITIVE, expires_us=NOW_US + 3_600_000_000)
NUMBER = Address(kind=AddressKind.PHONE, value="+84900000001")
MAILBOX = Address(kind=AddressKind.EMAIL, value="lanh.dao@example.vn")
SENTENCES = {Language.VIETNAMESE: "Bạn có thông báo khẩn mới", Language.ENGLISH: "You have a new urgent notice"}


def payload(language=Language.VIETNAMESE):
    return build(NOTICE, language=language, now_us=NOW_US)


class Gateway:
    """An SMS gateway that keeps what it was asked and answers as it is told."""

    def __init__(self):
        self.asked, self.answer = [], Reply(202, b'{"state": "queued"}')

    async def __call__(self, request):
        self.asked.append(request)
        return self.answer


@pytest.mark.parametrize("language", Language)
async def test_a_text_message_is_the_neutral_sentence_and_an_opaque_id(language):
    gateway = Gateway()
    async with LoopbackServer(gateway) as server:
        lanes = await open_sms(f"{server.url}/v1/send?agency=x01", "gateway-token")
        assert await lanes[Lane.URGENT].send(NUMBER, payload(language)) == Delivered("sms")
        for lane in lanes.values():
            await lane.close()
    (asked,) = gateway.asked
    assert (asked.method, asked.path) == ("POST", "/v1/send")
    assert asked.headers["authorization"] == "Bearer gateway-token"
    assert json.loads(asked.body) == {
        "to": NUMBER.value,
        "text": f"Hỏa Tốc: {SENTENCES[language]}",
        "reference": "A" * 22,
    }
    assert len(f"Hỏa Tốc: {SENTENCES[language]}") <= 70  # one message even in UCS-2


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Reply(200, b"not even JSON"), Delivered("sms")),
        (Reply(429, b"", headers={"retry-after": "17"}), RetryAfter(RetryCause.QUOTA, 17.0)),
        (Reply(503, b""), RetryAfter(RetryCause.UNAVAILABLE)),
        (Reply(408, b""), RetryAfter(RetryCause.UNAVAILABLE)),
        (Reply(401, b""), Misconfigured("sms-gateway-refused")),
        (Reply(404, b""), Misconfigured("sms-gateway-refused")),
        (Reply(422, b""), Rejected("sms-refused")),
        (Reply(302, b"", headers={"location": "http://127.0.0.1:9/"}), RetryAfter(RetryCause.UNREACHABLE)),
        (CUT, RetryAfter(RetryCause.UNREACHABLE)),
    ],
)
async def test_every_answer_of_a_gateway_has_its_outcome(answer, outcome):
    gateway = Gateway()
    gateway.answer = answer
    async with LoopbackServer(gateway) as server:
        lanes = await open_sms(server.url, "")
        assert await lanes[Lane.URGENT].send(NUMBER, payload()) == outcome
        for lane in lanes.values():
            await lane.close()
    assert "authorization" not in gateway.asked[0].headers


async def test_what_is_no_number_or_mailbox_never_leaves():
    gateway = Gateway()
    async with LoopbackServer(gateway) as server, SmtpServer() as mail:
        sms = (await open_sms(server.url, ""))[Lane.URGENT]
        mails = open_email(MailServer(url=f"smtp://127.0.0.1:{mail.port}", sender="hoatoc@example.vn"))[Lane.URGENT]
        for value in ("0900000001", "+84 900", "+84900000001;+84900000002", "x"):
            bad = (
                Address(kind=AddressKind.TOKEN, value="x")
                if " " in value
                else Address(kind=AddressKind.PHONE, value=value)
            )
            assert await sms.send(bad, payload()) == Rejected("not-a-number")
        for value in ("a@b", "a@example.vn,b@example.vn", "<a@example.vn>", "@example.vn", "a@-"):
            assert await mails.send(Address(kind=AddressKind.EMAIL, value=value), payload()) == Rejected(
                "not-a-mailbox"
            )
        silent = clearing(NOTICE, now_us=NOW_US)
        assert await sms.send(NUMBER, silent) == Rejected("not-a-number")
        assert await mails.send(MAILBOX, silent) == Rejected("not-a-mailbox")
        await sms.close()
        assert not gateway.asked
        assert not mail.received


async def test_a_mail_goes_over_starttls_with_the_password_and_says_nothing(certificate, monkeypatch):
    served, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with SmtpServer(tls=server_tls(served), user="hoatoc", password="sample-password") as mail:
        server = MailServer(
            url=f"smtp://127.0.0.1:{mail.port}", sender="hoatoc@example.vn", user="hoatoc", password="sample-password"
        )
        assert "sample-password" not in repr(server)
        assert await open_email(server)[Lane.URGENT].send(MAILBOX, payload()) == Delivered("email")
    ((sender, recipient, raw, secure, user),) = mail.mails
    assert (secure, user) == (True, "hoatoc")
    assert "hoatoc@example.vn" in sender
    assert "lanh.dao@example.vn" in recipient
    message = message_from_bytes(raw, policy=email.policy.default)
    assert str(make_header(decode_header(str(message["Subject"])))) == SENTENCES[Language.VIETNAMESE]
    assert message.get_content().strip() == f"Hỏa Tốc: {SENTENCES[Language.VIETNAMESE]}."
    assert message["Message-ID"] == f"<{'A' * 22}@example.vn>"
    assert set(message.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip
    # Bodies in base64 are one line of the neutral text: no other word can hide there.
    for line in re.findall(rb"^[A-Za-z0-9+/=]{16,}\r?$", raw, re.MULTILINE):
        assert base64.b64decode(line).decode().strip(".\n ") in f"Hỏa Tốc: {SENTENCES[Language.VIETNAMESE]}"


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ({"RCPT": b"550 5.1.1 no such user"}, TokenDead("no-mailbox")),
        ({"RCPT": b"554 5.7.1 refused"}, Rejected("mail-refused")),
        ({"RCPT": b"450 4.2.1 later"}, RetryAfter(RetryCause.UNAVAILABLE)),
        ({"MAIL": b"550 5.7.1 not you"}, Misconfigured("sender-refused")),
        ({"MAIL": b"451 4.3.0 later"}, RetryAfter(RetryCause.UNAVAILABLE)),
        ({"DATA": b"554 5.6.0 refused"}, Rejected("mail-refused")),
        ({"DATA": b"452 4.3.1 full"}, RetryAfter(RetryCause.UNAVAILABLE)),
        ({"EHLO": b"421 closing"}, RetryAfter(RetryCause.UNAVAILABLE)),
    ],
)
async def test_every_answer_of_a_mail_server_has_its_outcome(answers, outcome):
    async with SmtpServer() as mail:
        mail.answers = answers
        server = MailServer(url=f"smtp://127.0.0.1:{mail.port}", sender="hoatoc@example.vn")
        assert await open_email(server)[Lane.URGENT].send(MAILBOX, payload()) == outcome
        assert not mail.mails


@pytest.mark.asyncio
async def test_a_mail_that_was_taken_is_not_sent_again_for_a_rude_farewell():
    async with SmtpServer() as mail:
        mail.answers = {"QUIT": b"421 closing"}
        server = MailServer(url=f"smtp://127.0.0.1:{mail.port}", sender="hoatoc@example.vn")
        assert await open_email(server)[Lane.URGENT].send(MAILBOX, payload()) == Delivered("email")
        assert len(mail.mails) == 1


async def test_a_wrong_password_and_a_server_that_is_away():
    async with SmtpServer(user="hoatoc", password="right") as mail:
        url = f"smtp://127.0.0.1:{mail.port}"
        wrong = MailServer(url=url, sender="hoatoc@example.vn", user="hoatoc", password="wrong")
        assert await open_email(wrong)[Lane.URGENT].send(MAILBOX, payload()) == Misconfigured("mail-server-refused")
    away = MailServer(url=url, sender="hoatoc@example.vn")
    assert await open_email(away)[Lane.URGENT].send(MAILBOX, payload()) == RetryAfter(RetryCause.UNREACHABLE)


async def test_a_server_elsewhere_without_tls_gets_no_word(monkeypatch):
    async with SmtpServer() as mail:
        # The name leads to this machine, as a server elsewhere would be named.
        monkeypatch.setattr("push.transports.email.MailServer.local", property(lambda _: False))
        server = MailServer(
            url=f"smtp://127.0.0.1:{mail.port}", sender="hoatoc@example.vn", user="hoatoc", password="x" * 16
        )
        assert await open_email(server)[Lane.URGENT].send(MAILBOX, payload()) == Misconfigured("mail-server-refused")
    assert b"AUTH" not in mail.received
    assert b"MAIL" not in mail.received


async def test_a_mute_mail_server_holds_up_neither_other_lanes_nor_other_threads():
    met = asyncio.Event()
    silent = asyncio.Event()

    async def mute(_reader, writer):
        met.set()
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server, SmtpServer() as mail:
        port = server.sockets[0].getsockname()[1]
        stuck = open_email(MailServer(url=f"smtp://127.0.0.1:{port}", sender="hoatoc@example.vn"))[Lane.URGENT]
        sends = [asyncio.create_task(stuck.send(MAILBOX, payload())) for _ in range(64)]
        await met.wait()
        assert await asyncio.to_thread(lambda: "free") == "free"
        other = open_email(MailServer(url=f"smtp://127.0.0.1:{mail.port}", sender="hoatoc@example.vn"))[Lane.NORMAL]
        assert await other.send(MAILBOX, payload()) == Delivered("email")
        assert not any(send.done() for send in sends)
        silent.set()
        assert set(await asyncio.gather(*sends)) == {RetryAfter(RetryCause.UNREACHABLE)}
        await stuck.close()
        await other.close()
