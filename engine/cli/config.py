"""`engine config`: check the configuration and show what it comes to."""

from argparse import ArgumentParser, Namespace

from msgspec.structs import fields

from engine import config
from engine.adapters.base import Options
from engine.cli import add_config
from engine.core.policy import Policy
from engine.core.units import MS
from engine.reference import markdown
from engine.settings import Section, is_duration, is_secret, setting_name

SHOWN_CHARS = 100
"""Of a long text (a domain, a greeting) only the beginning is shown."""


def options(parser: ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--reference", action="store_true", help="print what can be configured, in Markdown, and do nothing else"
    )


def run(arguments: Namespace) -> int:
    if arguments.reference:
        print(markdown(), end="")
        return 0
    found = config.load(arguments.config)
    for stage, names in found.agent.providers.items():
        print(f"agent.{stage} = {show(list(names))}")
    for section in (found.server, found.limits, found.journal, found.inspect, found.telemetry, found.twilio):
        show_struct(section.section, section)
    for path, provider in found.options.items():
        show_struct(path, provider)
    show_struct("policy", found.agent.policy)
    return 0


def show_struct(path: str, values: Section | Options | Policy) -> None:
    """One line for each setting, in the spelling of the configuration file; of secrets only whether they are there."""
    for field in fields(values):
        value = getattr(values, field.name)
        if is_secret(field):
            print(f"{path}.{field.name}: {'set' if value else 'not set'}")
        else:
            print(f"{path}.{setting_name(field)} = {show(value // MS if is_duration(field) else value)}")


def show(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, str):
        value = value if len(value) <= SHOWN_CHARS else f"{value[:SHOWN_CHARS]}…"
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return str(value)
