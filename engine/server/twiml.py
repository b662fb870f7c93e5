"""What Twilio is told to do with a call. Source: TwiML, <Connect><Stream>, <Dial>, <Say> (2026)."""

from collections.abc import Mapping
from html import escape

PARAMETER_CHARS_MAX = 500
"""Name and value of one <Parameter> together, says Twilio."""
MEDIA_TYPE = "text/xml"


def connect(media_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
    """Put the call on our media stream; ask `after_url` what to do when the stream has ended."""
    lines = "".join(
        f'<Parameter name="{escape(name)}" value="{escape(value[: PARAMETER_CHARS_MAX - len(name)])}"/>'
        for name, value in parameters.items()
    )
    return document(
        f'<Connect action="{escape(after_url)}" method="POST"><Stream url="{escape(media_url)}">{lines}</Stream></Connect>'
    )


def dial(target: str) -> str:
    """Hand the caller over to a telephone number or a SIP address."""
    kind = "Sip" if target.startswith(("sip:", "sips:")) else "Number"
    return document(f"<Dial><{kind}>{escape(target)}</{kind}></Dial>")


def say(text: str) -> str:
    """Say something and hang up."""
    return document(f"<Say>{escape(text)}</Say><Hangup/>")


def hang_up() -> str:
    return document("<Hangup/>")


def document(verbs: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'
