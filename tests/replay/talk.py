"""A long call as a script, made by arithmetic: what a real one looks like to a journal, without a provider."""

WORDS = "I can offer you nine in the morning, ten thirty, or two in the afternoon. Which of these would suit you best?"
FIRST = WORDS.index(",") + 1
"""Where the first chunk ends."""
ASKED_MS = 2_400
"""From the caller's first sound to the first token."""
SPOKEN_MS = 7_000
CUT_MS = 3_100


def talk(turns: int, report_ms: int = 100) -> str:
    """A script of so many turns: speech, partials, tokens, chunks with word times, a report of playout every `report_ms`.

    Every third answer is interrupted by the next question. Turns take 11.4 s, those that are interrupted 5.6 s.
    """
    lines = ["50 asr open"]
    at = 1_000
    for turn in range(1, turns + 1):
        cut = turn % 3 == 0 and turn < turns
        lines += _asked(at)
        lines += _answered(at + ASKED_MS, turn, report_ms, cut=cut)
        at += ASKED_MS + (CUT_MS + 120 if cut else SPOKEN_MS + 2_000)
    return "\n".join(sorted(lines, key=lambda line: int(line.split()[0])))


def _asked(at: int) -> list[str]:
    said = "What do you have on Monday morning?"
    words = said.split()
    partials = [f'{at + 300 * n} asr partial "{" ".join(words[:n])}"' for n in range(1, len(words))]
    return [f"{at} caller speaks", *partials, f'{at + 1_950} asr final "{said}"', f"{at + 2_000} caller quiet"]


def _answered(at: int, run: int, report_ms: int, *, cut: bool) -> list[str]:
    tokens = [word + " " for word in WORDS.split()]
    lines = [f'{at + 10 * n} llm r{run} "{token}"' for n, token in enumerate(tokens)]
    at += 10 * len(tokens)
    ends = [index for index, letter in enumerate(WORDS[:FIRST]) if letter == " "]
    words = ",".join(f"[{end},{310_000_000 * (n + 1)}]" for n, end in enumerate(ends))
    lines += [
        f"{at} llm r{run} done input_tokens={200 * run} output_tokens={len(tokens)}",
        f"{at + 10} tts r{run} c1 starts",
        f"{at + 15} tts r{run} c1 words words=[{words}]",
        f"{at + 20} playing r{run}",
        f"{at + 200} tts r{run} c1 done 2500",
        f"{at + 210} tts r{run} c2 starts",
        f"{at + 400} tts r{run} c2 done 2400",
        f"{at + 410} tts r{run} c3 starts",
        f"{at + 600} tts r{run} c3 done 2100",
    ]
    start = at + 20
    heard = CUT_MS if cut else SPOKEN_MS
    lines += [f"{start + ms} heard r{run} {ms}" for ms in range(report_ms, heard, report_ms)]
    if cut:
        return [*lines, f"{start + heard + 10} paused r{run} {heard}", f"{start + heard + 190} cleared r{run} {heard}"]
    return [*lines, f"{start + heard} played r{run} {heard}"]
