"""The service: an ASGI app with a page, a browser's WebSocket and a telephone's, all on one host. The composition root."""

from engine.server.app import create_app

__all__ = ["create_app"]
