"""A page on which recorded and running calls can be walked: an ASGI app to mount or to serve alone."""

from engine.inspector.app import create_inspector

__all__ = ["create_inspector"]
