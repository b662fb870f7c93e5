"""A real-time voice agent engine: facts come in, commands go out, and between them stands one table."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.agent import Agent
from engine.errors import ConfigError, EngineError, ToolError
from engine.toolbox import tool

if TYPE_CHECKING:
    from engine.server import create_app
    from engine.server.switchboard import Switchboard

__version__ = "0.1.0"

__all__ = ["Agent", "ConfigError", "EngineError", "Switchboard", "ToolError", "create_app", "tool"]

_LATE = {"Switchboard": "engine.server.switchboard", "create_app": "engine.server"}
"""Names whose modules import half the engine: fetched when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
