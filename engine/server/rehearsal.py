"""The configured agent on simulated providers: any configuration, load and failure tried out without keys."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from msgspec.structs import fields, replace

from engine.adapters.registry import PROVIDERS, provider_class
from engine.config import Config
from engine.core.events import Stage
from engine.errors import ConfigError
from engine.sandbox import SERVERS, simulated
from engine.sandbox.base import KEY, Behaviour

Behaviours = dict[tuple[Stage, str], Behaviour]


def with_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the simulated key in every place where a key may be missing, and a model where one must be named."""
    keys = {
        provider_class(stage, name).key_env: KEY
        for stage, names in SERVERS.items()
        for name in names
        if name in PROVIDERS[stage]
    }
    keys.pop("", None)
    return {"LLM_MODEL": "simulated", **keys, **environ}


def behaviours(wishes: Iterable[str]) -> Behaviours:
    """How each provider shall behave, from "llm.first_ms=800" (all of a stage) or "tts.cartesia.fault=stall". Raises ConfigError."""
    found = {(stage, name): Behaviour() for stage, names in SERVERS.items() for name in names}
    problems = []
    for wish in wishes:
        path, _, value = wish.partition("=")
        stage, *names, field = path.split(".") if "." in path else ("", path)
        wanted = [each for each in found if each[0] == stage and names in ([], [each[1]])]
        kinds = {known.name: known.type for known in fields(Behaviour)}
        if not wanted or field not in kinds:
            allowed = ", ".join(kinds)
            problems.append(f"{wish!r}: STAGE.FIELD=VALUE or STAGE.PROVIDER.FIELD=VALUE, with one of {allowed}")
            continue
        try:
            read = msgspec.convert(value, kinds[field], strict=False)
        except msgspec.ValidationError as error:
            problems.append(f"{wish!r}: {error}")
            continue
        for each in wanted:
            setattr(found[each], field, read)
    if problems:
        raise ConfigError(*problems)
    return found


@asynccontextmanager
async def rehearsing(config: Config, wished: Behaviours) -> AsyncIterator[tuple[Config, list[str]]]:
    """Serve a simulated provider for each configured one that has a double; gives the configuration that speaks to them, and their
    addresses as the operator is told them. Providers without a double (the embedded ones) stay as they are."""
    async with AsyncExitStack() as stack:
        options, told = dict(config.options), []
        for path, given in config.options.items():
            stage, _, name = path.partition(".")
            if name not in SERVERS[Stage(stage)]:
                continue
            server = simulated(Stage(stage), name, wished[Stage(stage), name])
            address = await stack.enter_async_context(server.serve())
            options[path] = replace(given, **server.settings())
            told.append(f"Simulated: {path} at {address}")
        yield replace(config, options=options), told
