"""The scorecard: labelled scenes, played through the real detector and the real pipeline, and scored by public definitions.

    sounds.py    the material: voices, coughs, clicks, noise
    material.py  who speaks, and what
    scenes.py    what happens in each scene, and what would be right
    cast.py      providers with known delays, so that theirs can be told from ours
    stage.py     one scene, on virtual time
    outside.py   the same scenes against a server that can only be heard, in real time
    line.py      a telephone line to it, and what the line plays
    heard.py     what is told from that sound
    card.py      the definitions, the figures, the aims

The caller's sound goes through μ-law at 8 kHz, as on a telephone. Recogniser, model and voice are scripted; the detector, the pacing and the
rules are the ones that take real calls.
"""
