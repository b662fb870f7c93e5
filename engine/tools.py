"""Tools that an agent on the telephone needs, ready to be listed.

    Agent("You are the front desk.", tools=[hang_up, transfer_to({"sales": "+15550003333", "billing": "sip:billing@example.com"})])

Whom the caller may be handed over to is written down here by the embedder: a model, or a caller who talks it into something, chooses
among the names and never makes up a number.
"""

from collections.abc import Mapping
from typing import Literal

from engine.core.policy import OnInterrupt
from engine.core.units import LIMITS, TARGET
from engine.errors import ConfigError
from engine.toolbox import Tool, make_tool, tool


@tool(ends_call=True)
def hang_up() -> str:
    """End the call. Use it when the conversation is over and the caller wants nothing else; it ends when your goodbye was heard."""
    return "The call ends after your next words. Say goodbye in one short sentence."


def transfer_to(destinations: Mapping[str, str], *, name: str = "transfer_to", filler: str = "") -> Tool:
    """A tool that hands the caller over.

    destinations:  what the model may choose -> a telephone number (E.164) or SIP address.
    name, filler:  as for `tool`.
    Raises:        ConfigError.
    """
    if not destinations:
        raise ConfigError(f"tool {name}: there is nobody to hand the caller over to")
    for label, target in destinations.items():
        if not TARGET.fullmatch(target) or len(target) > LIMITS.target_chars:
            raise ConfigError(
                f"tool {name}: {label} is {target!r}, which is neither a telephone number nor a SIP address"
            )
    targets = dict(destinations)

    def hand_over(destination: str) -> str:
        """Hand the caller over to somebody else and leave the call. Use it when they ask for it, or when you cannot help.

        destination: to whom
        """
        return f"{targets[destination]}\nThe caller is put through after your next words. Say so in one short sentence."

    hand_over.__annotations__["destination"] = Literal[tuple(targets)]
    return make_tool(hand_over, name=name, on_interrupt=OnInterrupt.CANCEL, filler=filler, transfers_call=True)
