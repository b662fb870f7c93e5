"""The configuration: what wins, and that every mistake is named, all of them at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine import Agent, ConfigError
from engine.adapters.openai_chat import OpenAIChat, OpenAIChatOptions
from engine.adapters.scripted import ScriptedOptions
from engine.config import Config, load
from engine.core.events import Stage
from engine.core.policy import EAGER, PATIENT
from engine.settings import TwilioSettings

TALKER = Agent(
    "Be brief.", policy="patient", asr=[], llm=["scripted"], tts=[], options={"llm.scripted": {"token_ms": 5}}
)
"""An agent that needs nothing."""
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Load a configuration from its text and its variables."""

    def reader(
        toml: str = "", agent: Agent | None = TALKER, flags: Mapping[str, Any] | None = None, **environ: str
    ) -> Config:
        path = tmp_path / "engine.toml"
        path.write_text(toml, "utf-8")
        return load(path, environ=environ, flags=flags, agent=agent)

    return reader


@pytest.fixture
def problems(read: Any, tmp_path: Path) -> Any:
    """The problems of a configuration; the file's name cut short."""

    def reader(*arguments: Any, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(*arguments, **environ)
        return [problem.replace(str(tmp_path), "") for problem in caught.value.problems]

    return reader


class TestSources:
    def test_without_anything_the_demo_runs_on_what_the_engine_brings(self) -> None:
        config = load(environ={})
        setup = config.agent.setup()
        assert (setup.asr, setup.llm, setup.tts) == (("pocketsphinx",), ("scripted",), ("espeak",))
        assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
        assert {"find_slots", "book_appointment", "cancel_appointment"} <= {tool.name for tool in setup.tools}

    @pytest.mark.parametrize(
        ("toml", "flags", "environ", "port"),
        [
            ("", None, {}, 8080),
            ("[server]\nport = 1", None, {}, 1),
            ("[server]\nport = 1", None, {"ENGINE_SERVER_PORT": "2"}, 2),
            ("[server]\nport = 1", {"server.port": 3}, {"ENGINE_SERVER_PORT": "2"}, 3),
            ("[server]\nport = 1", {"server.port": None}, {"ENGINE_SERVER_PORT": " "}, 1),
        ],
    )
    def test_the_strongest_source_wins(
        self, toml: str, flags: Any, environ: dict[str, str], port: int, read: Any
    ) -> None:
        assert read(toml, flags=flags, **environ).server.port == port

    def test_options_come_from_the_agent_the_file_and_the_environment(self, read: Any) -> None:
        assert read().options == {"llm.scripted": ScriptedOptions(token_ms=5)}
        config = read("[llm.scripted]\nfirst_token_ms = 7\n", ENGINE_LLM_SCRIPTED_TOKEN_MS="9")
        assert config.options == {"llm.scripted": ScriptedOptions(first_token_ms=7, token_ms=9)}

    def test_lists_and_switches_are_read_from_the_environment(self, read: Any) -> None:
        config = read(
            ENGINE_LLM="openai, scripted", LLM_MODEL="m", LLM_BASE_URL="http://x/v1", ENGINE_TELEMETRY_CONTENT="true"
        )
        assert config.agent.setup().llm == ("openai", "scripted")
        assert config.telemetry.content is True

    def test_durations_are_written_in_milliseconds(self, read: Any) -> None:
        config = read("[server]\ndrain_ms = 5\n[policy]\nendpoint_unsure_ms = 700\n", ENGINE_POLICY_RETRY_MS_MAX="900")
        assert config.server.drain_ns == 5_000_000
        assert config.agent.policy.endpoint_unsure_ns == 700_000_000
        assert config.agent.policy.retry_ns_max == 900_000_000

    def test_the_policy_begins_with_the_agents_or_with_a_preset(self, read: Any) -> None:
        assert read().agent.policy == PATIENT
        assert read("[policy]\npreset = 'eager'").agent.policy == EAGER
        assert read(ENGINE_POLICY_PRESET="eager").agent.policy == EAGER

    def test_the_agent_that_was_given_stays_as_it_was(self, read: Any) -> None:
        read("[policy]\npreset = 'eager'\n[agent]\nllm = ['openai']", LLM_MODEL="m", LLM_BASE_URL="http://x/v1")
        assert (TALKER.policy, TALKER.setup().llm) == (PATIENT, ("scripted",))

    def test_a_provider_is_made_from_its_options(self, read: Any) -> None:
        assert isinstance(read(LLM_MODEL="m", LLM_BASE_URL="http://x/v1").provider(Stage.LLM, "openai"), OpenAIChat)


class TestLanguageModel:
    def test_three_variables_replace_the_model(self, read: Any) -> None:
        config = read(LLM_MODEL="m", LLM_BASE_URL="http://x/v1", LLM_API_KEY="k")
        assert config.agent.setup().llm == ("openai",)
        assert config.options["llm.openai"] == OpenAIChatOptions(model="m", base_url="http://x/v1", api_key="k")

    def test_a_list_that_was_written_is_not_replaced(self, read: Any) -> None:
        assert read("[agent]\nllm = ['scripted']", LLM_MODEL="m").agent.setup().llm == ("scripted",)

    def test_what_is_missing_is_named_with_its_variable(self, problems: Any) -> None:
        assert problems("[agent]\nllm = ['openai']") == [
            "llm.openai.model is missing; set it in [llm.openai] or as LLM_MODEL or ENGINE_LLM_OPENAI_MODEL"
        ]
        assert problems(LLM_MODEL="m") == [
            "llm.openai: api.openai.com needs a key: set LLM_API_KEY, or LLM_BASE_URL for a server of your own"
        ]

    def test_a_provider_without_its_key_is_named_with_the_variable(self, problems: Any) -> None:
        assert problems("[agent]\nasr = ['deepgram']") == [
            "asr.deepgram needs a key: set DEEPGRAM_API_KEY, or name a file that holds it as api_key_file in [asr.deepgram]"
        ]


class TestSecrets:
    def test_a_key_may_lie_in_a_file_that_the_environment_or_the_table_names(self, read: Any, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("k-1\n")
        where = {"LLM_MODEL": "m", "LLM_BASE_URL": "http://x/v1"}
        assert read(LLM_API_KEY_FILE=f"{tmp_path}/key", **where).options["llm.openai"].api_key == "k-1"
        assert read(f"[llm.openai]\napi_key_file = '{tmp_path}/key'", **where).options["llm.openai"].api_key == "k-1"

    def test_a_file_that_cannot_be_read_is_named(self, problems: Any, tmp_path: Path) -> None:
        assert problems("[twilio]\nauth_token_file = '/nowhere/token'") == [
            "twilio.auth_token_file is '/nowhere/token', which cannot be read: No such file or directory"
        ]
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        assert "it is not text" in problems(TWILIO_AUTH_TOKEN_FILE=f"{tmp_path}/binary")[0]

    def test_a_secret_in_the_configuration_file_is_refused(self, problems: Any) -> None:
        (problem,) = problems("[twilio]\nauth_token = 'hush'")
        assert problem == (
            "twilio.auth_token is written in /engine.toml; secrets belong in TWILIO_AUTH_TOKEN or "
            "ENGINE_TWILIO_AUTH_TOKEN, or in a file that twilio.auth_token_file names"
        )

    def test_nothing_that_was_given_is_printed(self, read: Any) -> None:
        config = read(TWILIO_AUTH_TOKEN="hush", LLM_MODEL="m", LLM_BASE_URL="http://x/v1", LLM_API_KEY="hush")
        assert config.twilio.auth_token == "hush"
        assert "hush" not in repr(config)


MISTAKES = [
    ("[server]\nport = 99999", "server.port is 99999 (/engine.toml); allowed: a whole number from 0 to 65535"),
    ("[server]\nport = '80'", "server.port is '80' (/engine.toml); allowed: a whole number from 0 to 65535"),
    ("[server]\nprot = 1", "server.prot is unknown (/engine.toml); did you mean port?"),
    ("[journal]\nzzz = 1", "journal.zzz is unknown (/engine.toml); known: folder, keep_days, keep_mb, sound"),
    ("[sever]\nport = 1", "sever is unknown (/engine.toml); did you mean server?"),
    ("server = 1", "server is 1 (/engine.toml); it must be a table, [server]"),
    ("llm = ['scripted']", "llm is ['scripted'] (/engine.toml); it must be a table, [llm]"),
    ("[agent]\nllm = ['scriptd']", "llm: provider 'scriptd' is unknown; did you mean scripted?"),
    ("[llm.openia]", "llm.openia is unknown (/engine.toml); did you mean openai?"),
    ("[llm]\nscripted = 3", "llm.scripted is 3 (/engine.toml); it must be a table, [llm.scripted]"),
    (
        "[llm.scripted]\ntoken_ms = -1",
        "llm.scripted.token_ms is -1 (/engine.toml); allowed: a whole number from 0 to 10000",
    ),
    ("[telemetry]\ncontent = 'maybe'", "telemetry.content is 'maybe' (/engine.toml); allowed: true or false"),
    ("[telemetry]\nprotocol = 'ftp'", "telemetry.protocol is 'ftp' (/engine.toml); allowed: http/protobuf or grpc"),
    ("[policy]\npreset = 'hasty'", "policy.preset is 'hasty' (/engine.toml); allowed: patient, balanced, eager"),
    ("[policy]\nresume_ms = -5", "policy.resume_ms is -5 (/engine.toml); allowed: a whole number of at least 0"),
    ("[policy]\nvoice_prob_start = 2", "policy.voice_prob_start is 2 (/engine.toml); allowed: a number from 0 to 1"),
    ("[policy]\nvoice_prob_stop = 0.9", "policy: voice_prob_stop must not be above voice_prob_start"),
    ("[policy]\nyield_ms = 5000", "policy: yield_ms must not be above interrupt_ms"),
    ("[policy]\nbackchannels = 'yes'", "policy.backchannels is 'yes' (/engine.toml); allowed: a list of text"),
    (
        "[policy]\nendpoint_finished_ms = 9000",
        "policy: endpoint_finished_ms, endpoint_unsure_ms, endpoint_unfinished_ms and endpoint_cap_ms must rise in this order",
    ),
    (
        "[twilio]\npublic_url = 'voice.example.com'",
        "twilio: public_url is 'voice.example.com'; it must begin with https:// (or http:// on your own machine)",
    ),
    (
        "[twilio]\npublic_url = 'https://voice.example.com'",
        "twilio: public_url is set and auth_token is not; without it no call can be trusted",
    ),
]


class TestMistakes:
    @pytest.mark.parametrize(("toml", "problem"), MISTAKES)
    def test_a_mistake_is_named_with_what_is_allowed(self, toml: str, problem: str, problems: Any) -> None:
        assert problems(toml) == [problem]

    def test_all_mistakes_are_named_at_once(self, problems: Any) -> None:
        toml = "[server]\nport = -1\n[policy]\nresume_ms = -1\n[llm.scripted]\nwhat = 1\n[nothing]"
        assert len(problems(toml, ENGINE_LIMITS_CALLS_MAX="many", ENGINE_SERVR_PORT="1")) == 6

    def test_a_variable_that_means_nothing_is_a_mistake(self, problems: Any) -> None:
        assert problems(ENGINE_SERVR_PORT="1") == [
            "ENGINE_SERVR_PORT is unknown (the environment); did you mean ENGINE_SERVER_PORT?"
        ]

    def test_variables_of_others_and_of_unused_providers_are_left_alone(self, read: Any) -> None:
        read(PATH="/bin", ENGINE_LLM_OPENAI_MODEL="m", ENGINE_DEBUG="1", ENGINE_TRACEBACK="1")

    def test_a_file_that_is_no_toml_says_where(self, problems: Any) -> None:
        assert problems("[server")[0].startswith("/engine.toml is not TOML: ")

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
            load(tmp_path / "none.toml", environ={})

    def test_a_provider_whose_package_is_not_installed_says_so(
        self, problems: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from engine.adapters import registry

        monkeypatch.setitem(registry.PROVIDERS[Stage.LLM], "absent", "engine.adapters.absent:Absent")
        assert problems("[agent]\nllm = ['absent']") == [
            "llm provider 'absent' needs a package that is not installed: engine.adapters.absent"
        ]


NOT_AGENTS = [
    ("nowhere:agent", "agent.module is 'nowhere:agent', which cannot be imported: No module named 'nowhere'"),
    (
        "engine.demo:nobody",
        "agent.module is 'engine.demo:nobody', which cannot be imported: module 'engine.demo' has no attribute 'nobody'",
    ),
    ("engine:__version__", "agent.module is 'engine:__version__', which is no Agent and makes none"),
    ("tests.test_config:nothing", "agent.module is 'tests.test_config:nothing', which makes no Agent but NoneType"),
    ("tests.test_config:broken", "agent.module is 'tests.test_config:broken', which failed: ValueError: out of order"),
    ("tests.test_config:unhappy", "it lacks this"),
    ("just words", "agent.module is 'just words' (ENGINE_AGENT); allowed: text matching `^[\\w.]+:\\w+$`"),
]


def nothing() -> None:
    """Makes no agent."""


def broken() -> Agent:
    raise ValueError("out of order")


def unhappy() -> Agent:
    raise ConfigError("it lacks this")


def made(name: str, times: int = 1) -> Agent:
    return Agent(f"You are {name}. " * times, asr=[], tts=[])


class TestAgent:
    def test_an_agent_is_imported_by_name(self, read: Any) -> None:
        assert read(agent=None, ENGINE_AGENT="tests.test_config:TALKER").agent.instructions == "Be brief."

    def test_a_function_that_makes_one_is_given_its_settings(self, read: Any) -> None:
        toml = "[agent]\nmodule = 'tests.test_config:made'\n[agent.settings]\nname = 'Ada'\ntimes = 2"
        assert read(toml, None).agent.instructions == "You are Ada. You are Ada. "

    @pytest.mark.parametrize(
        ("settings", "problem"),
        [
            ("", "Object missing required field `name`"),
            ("name = 3", "Expected `str`, got `int` - at `$.name`"),
            ("name = 'a'\nage = 3", "Object contains unknown field `age`"),
        ],
    )
    def test_settings_that_do_not_fit_are_named(self, settings: str, problem: str, problems: Any) -> None:
        toml = f"[agent]\nmodule = 'tests.test_config:made'\n[agent.settings]\n{settings}"
        assert problems(toml, None) == [f"agent.settings do not fit tests.test_config:made: {problem}"]

    @pytest.mark.parametrize(("module", "problem"), NOT_AGENTS)
    def test_what_is_no_agent_is_named(self, module: str, problem: str, problems: Any) -> None:
        assert problems("", None, ENGINE_AGENT=module) == [problem]


class TestDocs:
    def test_the_file_in_the_docs_is_good(self, read: Any) -> None:
        blocks = re.findall(r"```toml\n(.*?)```", (DOCS / "configuration.md").read_text("utf-8"), re.DOTALL)
        assert len(blocks) == 5
        for block in blocks:
            block = re.sub(r"\n(api_key_file|database) = .*", "", block)
            assert read(block, None, LLM_API_KEY="k").agent.setup().tools


def test_twilio_with_both_is_good() -> None:
    assert TwilioSettings(public_url="https://voice.example.com", auth_token="t").public_url
