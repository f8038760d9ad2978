"""A mail server on loopback (RFC 5321, STARTTLS by RFC 3207, AUTH PLAIN by RFC 4954): takes mail, keeps every byte, refuses on demand."""

import asyncio
import base64
import ssl
from typing import Self


class SmtpServer:
    """`mails` holds (sender, recipient, message bytes, over TLS, user). `answers` maps a command to the reply that it gets instead."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, user: str = "", password: str = "") -> None:
        self.mails: list[tuple[str, str, bytes, bool, str]] = []
        self.answers: dict[str, bytes] = {}
        self.received = b""
        self._tls = tls
        self._secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode() if user else ""
        self._user = user
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session: dict[str, str] = {}
        secure = False
        writer.write(b"220 mail.example ESMTP\r\n")
        try:
            while line := await reader.readline():
                self.received += line
                verb, _, rest = line.decode().strip().partition(" ")
                verb = verb.upper()
                if verb in self.answers:
                    writer.write(self.answers[verb] + b"\r\n")
                    continue
                match verb:
                    case "EHLO":
                        more = [] if secure or self._tls is None else ["STARTTLS"]
                        more += ["AUTH PLAIN"] if self._secret and (secure or self._tls is None) else []
                        lines = ["mail.example", *more, "8BITMIME"]
                        writer.write(
                            "".join(f"250{'-' if one != lines[-1] else ' '}{one}\r\n" for one in lines).encode()
                        )
                    case "STARTTLS" if self._tls is not None:
                        writer.write(b"220 go\r\n")
                        await writer.drain()
                        await writer.start_tls(self._tls)
                        secure = True
                    case "AUTH":
                        good = rest == f"PLAIN {self._secret}"
                        session["user"] = self._user if good else ""
                        writer.write(b"235 ok\r\n" if good else b"535 no\r\n")
                    case "MAIL" if self._secret and not session.get("user"):
                        writer.write(b"530 authenticate first\r\n")
                    case "MAIL":
                        session["from"] = rest
                        writer.write(b"250 ok\r\n")
                    case "RCPT":
                        session["to"] = rest
                        writer.write(b"250 ok\r\n")
                    case "DATA":
                        writer.write(b"354 go on\r\n")
                        await writer.drain()
                        body = await reader.readuntil(b"\r\n.\r\n")
                        self.received += body
                        self.mails.append((session["from"], session["to"], body[:-5], secure, session.get("user", "")))
                        writer.write(b"250 taken\r\n")
                    case "RSET" | "NOOP":
                        writer.write(b"250 ok\r\n")
                    case "QUIT":
                        writer.write(b"221 bye\r\n")
                        await writer.drain()
                        return
                    case _:
                        writer.write(b"502 unknown\r\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()
