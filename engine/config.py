"""Environment and TOML -> one frozen Config, or one ConfigError that names every mistake.

Of one setting the strongest source wins: the command line, then the environment, then the configuration file, then the agent's own
code, then the default. `ENGINE_<SECTION>_<SETTING>` names every setting in the environment, `ENGINE_<STAGE>_<PROVIDER>_<OPTION>`
every option of a provider; some have a well-known name as well (LLM_MODEL, TWILIO_AUTH_TOKEN). An empty variable is an unset one.
"""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields, replace

from engine.adapters.base import Options
from engine.adapters.registry import PROVIDERS, provider_class
from engine.agent import Agent
from engine.core.events import Stage
from engine.core.policy import PRESETS, Policy
from engine.core.units import MS
from engine.errors import ConfigError
from engine.settings import (
    SECTIONS,
    AgentSettings,
    BreakerSettings,
    InspectSettings,
    JournalSettings,
    LimitSettings,
    Section,
    ServerSettings,
    TelemetrySettings,
    TwilioSettings,
    WebRTCSettings,
    allowed,
    bare,
    is_duration,
    is_secret,
    policy_fields,
    setting_name,
    variables,
)
from engine.toolbox import arguments_of

STAGES = (Stage.ASR, Stage.LLM, Stage.TTS)
BUILD_SWITCHES = frozenset({"ENGINE_DEBUG", "ENGINE_SANITIZE", "ENGINE_NATIVE", "ENGINE_TRACEBACK"})
"""Variables of ours that are no settings."""
SECRET_BYTES_MAX = 8 * 1024


class Config(Struct, frozen=True, kw_only=True):
    """Everything that was configured, checked and ready to be put together."""

    agent: Agent
    """On its providers, with its policy."""
    options: dict[str, Options]
    """"llm.openai" -> its options, for every provider in use."""
    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    breaker: BreakerSettings = BreakerSettings()
    journal: JournalSettings = JournalSettings()
    inspect: InspectSettings = InspectSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    twilio: TwilioSettings = TwilioSettings()
    webrtc: WebRTCSettings = WebRTCSettings()

    def provider(self, stage: Stage, name: str) -> Any:
        """A new provider of that name, not yet started."""
        return provider_class(stage, name)(self.options[f"{stage}.{name}"])


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
    agent: Agent | None = None,
) -> Config:
    """Read and check the configuration.

    path:    the TOML file; None: none.
    flags:   from the command line, "server.port" -> 9000; None values are ignored.
    agent:   the embedder's; None: the one that is configured.
    Raises:  ConfigError, with every mistake there is.
    """
    return Reader(read_toml(path), str(path or ""), environ, flags or {}).config(agent)


def read_toml(path: Path | None) -> dict[str, Any]:
    """The file as a tree of tables. Raises ConfigError."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


class Given(Struct, frozen=True):
    """One value, as it was written, and where."""

    value: Any
    source: str
    text: bool = False
    """From the environment: to be read as the setting's type."""


class Reader:
    """One reading of the configuration. Collects problems; only `config` raises."""

    def __init__(self, tree: dict[str, Any], file: str, environ: Mapping[str, str], flags: Mapping[str, Any]) -> None:
        self._tree = tree
        self._file = file
        self._environ = {name: value for name, value in environ.items() if value.strip()}
        self._flags = {name: value for name, value in flags.items() if value is not None}
        self._problems: list[str] = []
        self._known = set(BUILD_SWITCHES)
        """Variables that mean something."""

    def config(self, agent: Agent | None) -> Config:
        """Everything, or a ConfigError."""
        self._check_tables()
        sections = {kind.section: self._section(kind) for kind in SECTIONS}
        chosen: Any = sections.pop("agent")
        agent = agent or self._agent(chosen)
        policy = self._policy(agent.policy if agent else Policy())
        used = self._providers(chosen, agent)
        options = {
            f"{stage}.{name}": found
            for stage, names in used.items()
            for name in names
            if (found := self._options(stage, name, agent)) is not None
        }
        self._check_variables()
        if self._problems or agent is None:
            raise ConfigError(*self._problems)
        values: dict[str, Any] = sections
        return Config(agent=agent.configured(policy, used), options=options, **values)

    # Sections.

    def _section(self, kind: type[Section]) -> Any:
        table = dict(self._table(kind.section))
        if kind is AgentSettings:
            table.pop("settings", None)
        return self._fill(kind, kind.section, table, {})

    def _fill(
        self, kind: type[Struct], path: str, table: dict[str, Any], weaker: Mapping[str, Any], key_env: str = ""
    ) -> Any:
        """A Struct from its table, the environment and the flags; defaults where something is wrong, so that reading goes on."""
        values: dict[str, Any] = {}
        missing = False
        for field in fields(kind):
            given = self._given(path, field, table, key_env)
            if given is None and field.encode_name in weaker:
                given = Given(weaker[field.encode_name], "the agent's options")
            if given is not None:
                self._convert(path, field, given, values)
            elif field.required:
                missing = True
                where = " or ".join(variables(path, field, key_env))
                self._problems.append(f"{path}.{setting_name(field)} is missing; set it in [{path}] or as {where}")
        names = [setting_name(field) for field in fields(kind)]
        self._problems += [unknown(f"{path}.{name}", name, names, self._file) for name in table]
        if missing:
            return None
        try:
            return kind(**values)
        except (ValueError, TypeError) as error:
            self._problems.append(f"{path}: {error}")
            return None

    def _given(self, path: str, field: FieldInfo, table: dict[str, Any], key_env: str = "") -> Given | None:
        """The strongest source of a setting. Takes it out of the table."""
        name = setting_name(field)
        written = table.pop(name, None)
        names = variables(path, field, key_env)
        self._known.update(names)
        if f"{path}.{name}" in self._flags:
            return Given(self._flags[f"{path}.{name}"], "the command line")
        for variable in names:
            if variable in self._environ:
                return Given(self._environ[variable], variable, text=True)
        if is_secret(field):
            return self._hidden(f"{path}.{name}", written, table.pop(f"{name}_file", None), names)
        return None if written is None else Given(written, self._file)

    def _hidden(self, setting: str, written: Any, file: Any, names: list[str]) -> Given | None:
        """A secret that is not in the environment itself: from the file that is named there, or in the configuration file."""
        if written is not None:
            where = " or ".join(names)
            self._problems.append(
                f"{setting} is written in {self._file}; secrets belong in {where}, or in a file that {setting}_file names"
            )
        for variable in (f"{name}_FILE" for name in names):
            self._known.add(variable)
            if variable in self._environ:
                return self._secret(Given(self._environ[variable], variable))
        return None if file is None else self._secret(Given(file, f"{setting}_file"))

    def _secret(self, given: Given) -> Given | None:
        """What a secret's file holds, without the line's end."""
        try:
            with Path(str(given.value)).expanduser().open(encoding="utf-8") as file:
                return Given(file.read(SECRET_BYTES_MAX).strip(), given.source)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            self._problems.append(f"{given.source} is {given.value!r}, which cannot be read: {reason}")
            return None

    def _convert(self, path: str, field: FieldInfo, given: Given, values: dict[str, Any]) -> None:
        """Put a checked value under the field's name, or a problem on the list."""
        value = given.value
        if given.text and get_origin(bare(field.type)) is tuple:
            value = [part.strip() for part in value.split(",") if part.strip()]
        try:
            found = msgspec.convert(value, field.type, strict=not given.text)
        except msgspec.ValidationError:
            shown = "not shown" if is_secret(field) else repr(given.value)
            self._problems.append(
                f"{path}.{setting_name(field)} is {shown} ({given.source}); allowed: {allowed(field.type)}"
            )
            return
        values[field.name] = found * MS if is_duration(field) else found

    # The agent, its policy and its providers.

    def _agent(self, chosen: AgentSettings | None) -> Agent | None:
        """Import the agent, or call the function that makes it. Its code is the operator's: whatever it raises is a problem to name."""
        if chosen is None:
            return None
        where = f"agent.module is {chosen.module!r}"
        module, _, name = chosen.module.partition(":")
        try:
            found = getattr(import_module(module), name)
        except Exception as error:
            self._problems.append(f"{where}, which cannot be imported: {error}")
            return None
        try:
            made = found if isinstance(found, Agent) else self._made(chosen.module, found)
        except ConfigError as error:
            self._problems += error.problems
            return None
        except Exception as error:
            self._problems.append(f"{where}, which failed: {type(error).__name__}: {error}")
            return None
        if not isinstance(made, Agent):
            self._problems.append(f"{where}, which makes no Agent but {type(made).__name__}")
            return None
        return made

    def _made(self, module: str, maker: Any) -> Any:
        """What a function makes of [agent.settings]. Raises ConfigError, and whatever it raises."""
        if not callable(maker):
            raise ConfigError(f"agent.module is {module!r}, which is no Agent and makes none")
        try:
            given = msgspec.convert(self._table("agent").get("settings", {}), arguments_of("agent.settings", maker))
        except msgspec.ValidationError as error:
            raise ConfigError(f"agent.settings do not fit {module}: {error}") from error
        return maker(**{field: getattr(given, field) for field in given.__struct_fields__})

    def _policy(self, policy: Policy) -> Policy:
        """The agent's policy, or the preset that is configured, with the configured changes."""
        table = dict(self._table("policy"))
        values: dict[str, Any] = {}
        preset = FieldInfo("preset", "preset", str, "")
        if (given := self._given("policy", preset, table)) is not None:
            if given.value in PRESETS:
                policy = PRESETS[given.value]
            else:
                known = ", ".join(PRESETS)
                self._problems.append(f"policy.preset is {given.value!r} ({given.source}); allowed: {known}")
        for field in policy_fields():
            if (given := self._given("policy", field, table)) is not None:
                self._convert("policy", field, given, values)
        names = ["preset", *(setting_name(field) for field in policy_fields())]
        self._problems += [unknown(f"policy.{name}", name, names, self._file) for name in table]
        changed = replace(policy, **values)
        self._problems += [f"policy: {problem}" for problem in contradictions(changed)]
        return changed

    def _providers(self, chosen: AgentSettings | None, agent: Agent | None) -> dict[Stage, tuple[str, ...]]:
        """The providers in use, by stage."""
        used: dict[Stage, tuple[str, ...]] = {}
        for stage in STAGES:
            names: tuple[str, ...] = getattr(chosen, stage.value) if chosen else ()
            if not names and stage is Stage.LLM and ("LLM_MODEL" in self._environ or "LLM_BASE_URL" in self._environ):
                names = ("openai",)
            names = names or (agent.providers[stage] if agent else ())
            known = PROVIDERS[stage]
            self._problems += [
                unknown(f"{stage}: provider {name!r}", name, list(known), "") for name in names if name not in known
            ]
            used[stage] = tuple(name for name in names if name in known)
        return used

    def _options(self, stage: Stage, name: str, agent: Agent | None) -> Options | None:
        """A provider's options, with its key."""
        path = f"{stage}.{name}"
        try:
            provider = provider_class(stage, name)
        except ConfigError as error:
            self._problems += error.problems
            return None
        weaker = dict(agent.options.get(path, {})) if agent else {}
        kind: type[Options] = provider.options
        if agent and agent.domain and "domain" in kind.__struct_fields__:
            weaker.setdefault("domain", agent.domain)
        table = dict(self._table(stage.value).get(name, {}))
        found: Options | None = self._fill(kind, path, table, weaker, provider.key_env)
        if found is not None and provider.key_env and kind.key_required and not found.api_key:
            self._problems.append(
                f"{path} needs a key: set {provider.key_env}, or name a file that holds it as api_key_file in [{path}]"
            )
        return found

    # Names.

    def _table(self, name: str) -> dict[str, Any]:
        found = self._tree.get(name, {})
        return found if isinstance(found, dict) else {}

    def _check_tables(self) -> None:
        """Tables nobody reads, and tables of providers that do not exist."""
        names = [kind.section for kind in SECTIONS] + ["policy"] + [stage.value for stage in STAGES]
        for name, table in self._tree.items():
            if name not in names:
                self._problems.append(unknown(name, name, names, self._file))
            elif not isinstance(table, dict):
                self._problems.append(f"{name} is {table!r} ({self._file}); it must be a table, [{name}]")
            elif name in PROVIDERS:
                self._check_provider_tables(Stage(name), table)

    def _check_provider_tables(self, stage: Stage, tables: dict[str, Any]) -> None:
        for name, table in list(tables.items()):
            if name not in PROVIDERS[stage]:
                self._problems.append(unknown(f"{stage}.{name}", name, list(PROVIDERS[stage]), self._file))
            elif not isinstance(table, dict):
                self._problems.append(
                    f"{stage}.{name} is {table!r} ({self._file}); it must be a table, [{stage}.{name}]"
                )
                tables[name] = {}

    def _check_variables(self) -> None:
        """Variables that begin with ENGINE_ and mean nothing are mistakes too."""
        unused = tuple(f"ENGINE_{stage}_{name}_".upper() for stage in STAGES for name in PROVIDERS[stage])
        for variable in self._environ:
            if variable.startswith("ENGINE_") and variable not in self._known and not variable.startswith(unused):
                self._problems.append(unknown(variable, variable, sorted(self._known), "the environment"))


def contradictions(policy: Policy) -> list[str]:
    """Numbers of a policy that do not fit each other."""
    found = []
    waits = (
        policy.endpoint_finished_ns,
        policy.endpoint_unsure_ns,
        policy.endpoint_unfinished_ns,
        policy.endpoint_cap_ns,
    )
    if list(waits) != sorted(waits):
        found.append(
            "endpoint_finished_ms, endpoint_unsure_ms, endpoint_unfinished_ms and endpoint_cap_ms must rise in this order"
        )
    if policy.voice_prob_stop > policy.voice_prob_start:
        found.append("voice_prob_stop must not be above voice_prob_start")
    if policy.yield_ns > policy.interrupt_ns:
        found.append("yield_ms must not be above interrupt_ms")
    return found


def unknown(path: str, name: str, names: list[str], source: str) -> str:
    """The sentence about a name that means nothing."""
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(names)) or 'none'}"
    return f"{path} is unknown{f' ({source})' if source else ''}; {hint}"
