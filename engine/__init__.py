"""A real-time voice agent engine: facts come in, commands go out, and between them stands one table."""

__version__ = "0.1.0"
