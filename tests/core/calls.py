"""How calls begin, for scripts that are about what happens next."""

ASKED = """
        0     asr open                                 [Idle]
        500   caller speaks                            [Listening]
        1400  asr final "what time is it?"             [Transcribing]
        1500  caller quiet
        1620  timer                                   -> llm r1 "what time is it?"
        1850  timer                                   -> open r1  [Generating]
"""
"""A question, its turn taken, the model asked."""

SPEAKING = (
    ASKED
    + """\
        1900  llm r1 "It is noon. And then some more." -> tts r1 "It is noon."
        2000  tts r1 c1 done 800
        2010  playing r1                               [Speaking]
"""
)
"""The agent is saying the first sentence of its answer."""
