"""Talk with the scripted receptionist as the engine would: the model's stream, the agent's tools, the history."""

import asyncio

from engine.adapters.base import LLMFact, LLMRequest
from engine.adapters.scripted import Scripted, ScriptedOptions
from engine.agent import Agent
from engine.core.commands import CallMade, Message, Role
from engine.core.events import LLMToken, LLMToolCall
from engine.demo import make_agent

TODAY = "2026-11-23"
"""A Monday."""


class Desk:
    """One conversation."""

    def __init__(self, agent: Agent | None = None) -> None:
        self.agent = agent or make_agent(today=TODAY)
        self.messages = [Message(Role.SYSTEM, self.agent.setup().instructions)]
        self.called: list[tuple[str, str]] = []
        """Tools called, and what they were given."""
        self._runs = 0

    def ask(self) -> list[LLMFact]:
        """What the model says to the messages as they are."""
        model = Scripted(ScriptedOptions())
        self._runs += 1
        request = LLMRequest(
            run=self._runs, request=self._runs, messages=tuple(self.messages), tools=self.agent.toolbox.specs
        )

        async def read() -> list[LLMFact]:
            return [fact async for fact in model.stream(request)]

        return asyncio.run(read())

    def say(self, text: str) -> str:
        """One turn of the caller; returns all that the agent says to it."""
        self.messages.append(Message(Role.USER, text))
        return self.go_on()

    def go_on(self) -> str:
        """Let the model speak and call tools until it has no more to call."""
        said = ""
        while True:
            facts = self.ask()
            text = "".join(fact.text for fact in facts if isinstance(fact, LLMToken))
            calls = [fact for fact in facts if isinstance(fact, LLMToolCall)]
            made = tuple(CallMade(call.call_id, call.name, call.arguments) for call in calls)
            self.messages.append(Message(Role.ASSISTANT, text, made))
            said = f"{said} {text}".strip()
            for call in calls:
                output, _ = asyncio.run(self.agent.toolbox.call(call.name, call.arguments))
                self.called.append((call.name, call.arguments))
                self.messages.append(Message(Role.TOOL, output, call_id=call.call_id))
            if not calls:
                self.agent.toolbox.close()
                return said
