"""`engine export CALL.jsonl|FOLDER …`: recorded calls as traces, after the fact, under the ids they had or would have had live."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from engine import __version__, config
from engine.cli import add_config, journals_named
from engine.errors import ConfigError, EngineError, JournalError
from engine.replay.journal import shown
from engine.replay.reader import Journal
from engine.replay.verify import replay, verify
from engine.server.records import exported_as
from engine.telemetry import Call, Exported, Settings, export
from engine.telemetry.export import Step


def options(parser: ArgumentParser) -> None:
    parser.add_argument("journals", metavar="CALL.jsonl|FOLDER", type=Path, nargs="+")
    parser.add_argument("--endpoint", metavar="URL", help="the collector, such as http://localhost:4318")
    parser.add_argument("--content", action="store_true", help="what was said too, under keys with a pii segment")
    add_config(parser)


def run(arguments: Namespace) -> int:
    """Raises ConfigError, JournalError; EngineError where the collector did not take everything."""
    flags = {"telemetry.endpoint": arguments.endpoint}
    settings = exported_as(config.load(arguments.config, flags=flags).telemetry)
    if not settings.endpoint:
        raise ConfigError("no collector is named; give --endpoint or set OTEL_EXPORTER_OTLP_ENDPOINT")
    settings = replace(settings, content=settings.content or arguments.content)
    paths = journals_named(arguments.journals)
    lost, refused = 0, 0
    for path in paths:
        try:
            exported = export_journal(path, settings)
        except JournalError as error:
            if len(paths) == 1:
                raise
            refused += 1
            print(f"{path}: not sent: {error}")
        else:
            lost += exported.lost
            print(f"{path}: {exported.spans} spans, {exported.lines} log lines")
    if lost:
        raise EngineError(f"{settings.endpoint} did not take {lost} records")
    if refused:
        raise EngineError(f"{refused} of {len(paths)} calls were not sent")
    return 0


def export_journal(path: Path, settings: Settings) -> Exported:
    """Send one recorded call. Raises JournalError: a call that today's rules would take elsewhere is not what happened."""
    verify(path)
    with Journal(path) as journal:
        header = journal.header
        call = Call(
            session=header.session,
            began_ns=header.started_ns,
            agent=settings.service,
            traceparent=header.traceparent,
        )
        return export(call, steps(journal), settings, __version__)


def steps(journal: Journal) -> Iterator[Step]:
    """The steps of a recorded call as its observers were told them, but for the history given to the models."""
    for replayed in replay(journal):
        yield replayed.step.event, replayed.before, replayed.after, shown(replayed.commands)
