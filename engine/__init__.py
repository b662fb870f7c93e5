"""A real-time voice agent engine: facts come in, commands go out, and between them stands one table."""

from engine.agent import Agent, tool
from engine.errors import ConfigError, EngineError, ToolError

__version__ = "0.1.0"

__all__ = ["Agent", "ConfigError", "EngineError", "ToolError", "tool"]
