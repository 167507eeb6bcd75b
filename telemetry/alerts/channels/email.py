"""E-mail, through an SMTP server."""

from __future__ import annotations

import asyncio
import enum
import re
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

import aiosmtplib
import msgspec

from telemetry.alerts.channels.contract import Channel, Environ, Parcel, Reply, Secret
from telemetry.alerts.channels.retry import Fate, Trouble, smtp_fate
from telemetry.alerts.given import Given, Unfit
from telemetry.alerts.message import Message, clock
from telemetry.alerts.notice import Notice

_ADDRESS: Final = re.compile(r"[^\s@<>,;\"]{1,64}@[A-Za-z0-9.-]{1,255}")
_MOST_RECIPIENTS: Final = 50
_OK: Final = 250


class Security(enum.StrEnum):
    """How the connection is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


_PORTS: Final = {Security.STARTTLS: 587, Security.TLS: 465, Security.NONE: 25}


class Target(msgspec.Struct, frozen=True):
    """A mail server and who writes to whom."""

    host: str
    port: int
    security: Security
    sender: str
    recipients: tuple[str, ...]
    username: str | None
    password: Secret | None


class Letter(msgspec.Struct, frozen=True):
    """What is stored: the rest comes from the settings when it is sent."""

    subject: str
    text: str
    html: str | None = None
    """The same for programs that show it."""


def _read(given: Given, environ: Environ) -> Target:
    host = given.text("host", longest=255)
    if host is None:
        raise given.missing("host", "Name your mail server, such as smtp.example.com")
    security = given.choice("security", Security, Security.STARTTLS)
    assert security is not None
    sender, recipients = given.text("from"), given.names("to")
    for key, addresses in (("from", (sender or "",)), ("to", recipients or ("",))):
        if not all(_ADDRESS.fullmatch(address) for address in addresses) or len(addresses) > _MOST_RECIPIENTS:
            raise Unfit(key, "is not usable", "Write addresses like ops@example.com")
    username, password = given.text("username"), environ.secret(given, "password_env")
    if (username is None) != (password is None):
        raise Unfit("username", "and password_env go together", "Give both or none")
    if password is not None and security is Security.NONE:
        raise Unfit("security", "would send the password in the clear", 'Choose "starttls" or "tls"')
    port = given.count("port", _PORTS[security], 1, 65_535)
    return Target(host, port, security, sender or "", recipients, username, password)


def _body(target: Target, message: Message) -> str:
    facts = "\n".join(f"{name}: {value}" for name, value in message.facts)
    text = f"{message.summary}\n\n{facts}\nat: {clock(message.at)}\nalert: {message.alert}\n"
    return msgspec.json.encode(Letter(message.title, text)).decode()


def _notice(target: Target, notice: Notice) -> str:
    return msgspec.json.encode(Letter(notice.title, notice.markdown, notice.html)).decode()


async def _send(target: Target, parcel: Parcel, timeout_s: int, now: datetime) -> Reply:
    letter = msgspec.json.decode(parcel.body, type=Letter)
    mail = EmailMessage()
    mail["From"], mail["To"] = target.sender, ", ".join(target.recipients)
    mail["Subject"], mail["Date"] = letter.subject, format_datetime(now)
    # The same at every try: mail programs show a message with a known id once.
    mail["Message-ID"] = f"<{parcel.id}@{target.sender.partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.text)
    if letter.html is not None:
        mail.add_alternative(letter.html, subtype="html")
        mail.set_boundary(parcel.id)  # else it is another one at every try
    try:
        async with asyncio.timeout(timeout_s):
            return await _handed_over(target, mail, timeout_s)
    except (TimeoutError, aiosmtplib.SMTPTimeoutError):
        return Reply(Fate.RETRY, trouble=Trouble.TIMEOUT)
    except aiosmtplib.SMTPAuthenticationError as error:
        return Reply(smtp_fate(error.code), error.code, Trouble.LOGIN)
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [one.code for one in error.recipients]
        return Reply(smtp_fate(min(codes)), min(codes), Trouble.REFUSED)
    except aiosmtplib.SMTPResponseException as error:
        return Reply(smtp_fate(error.code), error.code, Trouble.REFUSED)
    except aiosmtplib.SMTPServerDisconnected:
        return Reply(Fate.RETRY, trouble=Trouble.RESET)
    except aiosmtplib.SMTPConnectError:
        return Reply(Fate.RETRY, trouble=Trouble.CONNECT)
    except (aiosmtplib.SMTPException, OSError):
        return Reply(Fate.RETRY, trouble=Trouble.PROTOCOL)


async def _handed_over(target: Target, mail: EmailMessage, timeout_s: int) -> Reply:
    refused, _ = await aiosmtplib.send(
        mail,
        hostname=target.host,
        port=target.port,
        timeout=timeout_s,
        use_tls=target.security is Security.TLS,
        start_tls=target.security is Security.STARTTLS,
        username=target.username,
        password=target.password.value if target.password else None,
    )
    # Whoever took it must not get it again because another recipient was refused.
    return Reply(Fate.SENT, _OK if not refused else next(iter(refused.values())).code)


CHANNEL: Final = Channel(
    "email",
    "mail addresses",
    _read,
    _body,
    _send,
    secrets=lambda target: (target.password.value,) if target.password else (),
    notice=_notice,
)
