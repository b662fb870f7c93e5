"""The only async code that decides when; never what."""
