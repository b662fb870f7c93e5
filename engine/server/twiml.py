"""What Twilio is told to do with a call. Source: TwiML, <Connect><Stream>, <Dial>, <Say> (2026)."""

import html
import re
from collections.abc import Mapping

PARAMETER_CHARS_MAX = 500
"""Name and value of one <Parameter> together, says Twilio."""
MEDIA_TYPE = "text/xml"
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may hold, not even escaped: XML 1.0, section 2.2."""
RING_SECONDS = 25
"""Whom a caller is handed over to has this long to answer; Twilio adds about 5 s. Its own 30 s are long in silence."""


def connect(media_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
    """Put the call on our media stream; ask `after_url` what to do when the stream has ended."""
    lines = "".join(
        f'<Parameter name="{escape(name)}" value="{escape(value[: PARAMETER_CHARS_MAX - len(name)])}"/>'
        for name, value in parameters.items()
    )
    return document(
        f'<Connect action="{escape(after_url)}" method="POST"><Stream url="{escape(media_url)}">{lines}</Stream></Connect>'
    )


def dial(target: str, after_url: str, answered_url: str) -> str:
    """Hand the caller over to a telephone number or a SIP address.

    after_url:    asked what to do when the target did not answer, or has hung up.
    answered_url: told when the target answers.
    """
    kind = "Sip" if target.startswith(("sip:", "sips:")) else "Number"
    told = f'statusCallback="{escape(answered_url)}" statusCallbackEvent="answered"'
    return document(
        f'<Dial action="{escape(after_url)}" method="POST" timeout="{RING_SECONDS}"><{kind} {told}>{escape(target)}</{kind}></Dial>'
    )


def say(text: str) -> str:
    """Say something and hang up."""
    return document(f"<Say>{escape(text)}</Say><Hangup/>")


def hang_up() -> str:
    return document("<Hangup/>")


def escape(text: str) -> str:
    """A text fit for an element or a quoted attribute."""
    return html.escape(NO_XML.sub("", text))


def document(verbs: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'
