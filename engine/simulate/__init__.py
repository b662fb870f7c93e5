"""A seeded world on virtual time that tries to break the rules.

The real reducer and the real account of outgoing sound (`runtime.pacing`) run against callers, recognisers, models, voices, tools and
wires that are made up from a seed, with every fault the field has seen. No asyncio, no clock, no sound.

    world.py       time, the queue of things to come, one call
    caller.py      what the caller does
    services.py    what the providers answer, late, twice or not at all
    wire.py        the transport: pacing, marks, clears, jitter
    faults.py      which faults this seed has, and how often
    invariants.py  what must hold after every step, and what must sometimes happen
    runs.py        many seeds; a failing one shrunk to its shortest prefix
    explore.py     every order of a small alphabet, to a depth
"""
