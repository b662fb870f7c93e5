"""What an embedder writes: an agent.

agent = Agent("You book appointments. Be brief.", tools=[find_slots], greeting="Hello!")
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from engine.core.events import Stage
from engine.core.policy import PRESETS, Policy, Setup
from engine.errors import ConfigError
from engine.toolbox import Tool, Toolbox

Text = str | Callable[[], str]
"""A text, or what makes it when a call begins (today's date, the caller's name)."""


class Agent:
    """One agent: what it is told, what it may do, how it takes turns and what it runs on. Made once, shared by all calls.

    instructions:  the model's system text.
    tools:         functions, decorated with `tool` or plain.
    greeting:      said first; empty: the caller speaks first.
    policy:        a preset's name (patient, balanced, eager) or a Policy.
    asr, llm, tts: providers by name, in order of preference. The configuration's, where it names any, win.
    options:       settings of providers, "llm.openai" -> {"model": ...}. The configuration's win, one by one.
    domain:        what callers are likely to say, for a recogniser that can be told: a domain file's path, or its text.
    Raises:        ConfigError.
    """

    def __init__(
        self,
        instructions: Text,
        *,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        greeting: Text = "",
        greeting_interruptible: bool = True,
        policy: Policy | str = "balanced",
        asr: Sequence[str] = ("pocketsphinx",),
        llm: Sequence[str] = ("scripted",),
        tts: Sequence[str] = ("espeak",),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        domain: str = "",
    ) -> None:
        self.instructions = instructions
        self.greeting = greeting
        self.greeting_interruptible = greeting_interruptible
        self.policy = policy_named(policy) if isinstance(policy, str) else policy
        self.providers: dict[Stage, tuple[str, ...]] = {
            Stage.ASR: tuple(asr),
            Stage.LLM: tuple(llm),
            Stage.TTS: tuple(tts),
        }
        self.options = {key: dict(values) for key, values in (options or {}).items()}
        self.domain = domain
        self.toolbox = Toolbox(tools)

    def configured(self, policy: Policy, providers: Mapping[Stage, Sequence[str]]) -> "Agent":
        """The same agent on other providers, with another policy. Stages that `providers` does not name stay as they are."""
        other = copy.copy(self)
        other.policy = policy
        other.providers = {stage: tuple(providers.get(stage, names)) for stage, names in self.providers.items()}
        return other

    def setup(self, transport: str = "") -> Setup:
        """What the rules are told when a call begins, on the transport of that name."""
        return Setup(
            policy=self.policy,
            instructions=text_now(self.instructions),
            greeting=text_now(self.greeting),
            greeting_interruptible=self.greeting_interruptible,
            tools=self.toolbox.specs,
            asr=self.providers[Stage.ASR],
            llm=self.providers[Stage.LLM],
            tts=self.providers[Stage.TTS],
            transport=transport,
        )


def policy_named(name: str) -> Policy:
    """The preset of that name. Raises ConfigError."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ConfigError(f"policy is {name!r}; allowed: {', '.join(PRESETS)}, or a Policy") from None


def text_now(text: Text) -> str:
    """The text as it reads now."""
    return text if isinstance(text, str) else text()
