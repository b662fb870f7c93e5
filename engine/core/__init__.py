"""The pure core: facts come in, commands go out. No clock, no I/O, no randomness, no await."""
