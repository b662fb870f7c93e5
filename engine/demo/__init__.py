"""The demo: a receptionist who keeps a small appointment book."""

from engine.demo.receptionist import make_agent

__all__ = ["make_agent"]
