"""`engine check` with simulated providers, and without keys."""

import pytest

from engine.__main__ import main
from engine.cli.check import word_error


def test_every_stage_is_tried_and_the_sentence_comes_back_whole(capsys, monkeypatch):
    monkeypatch.delenv("DEEPGRAM_API_KEY", raising=False)
    chosen = ["--asr", "deepgram", "--llm", "anthropic", "--tts", "cartesia"]
    assert main(["check", *chosen, "--simulate-providers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["tts cartesia", "llm anthropic", "asr deepgram"]
    assert "sonic-3, " in lines[0]
    assert "nova-3; " in lines[2]
    assert "2023-06-01; " in lines[1]
    assert "9 word times" in lines[0]
    assert "first token after" in lines[1]
    assert "word error 0%" in lines[2]


def test_a_provider_that_fails_is_named_and_the_others_are_tried(capsys):
    chosen = ["--asr", "deepgram", "--llm", "anthropic", "--tts", "cartesia"]
    assert main(["check", *chosen, "--simulate-providers", "llm.status=503", "asr.status=401"]) == 1
    told = capsys.readouterr()
    assert "failed: anthropic: unavailable (HTTP 503" in told.out
    assert "failed: deepgram: rejected (HTTP 401" in told.out
    assert "first sound after" in told.out


def test_a_missing_key_is_named(capsys, monkeypatch):
    monkeypatch.delenv("CARTESIA_API_KEY", raising=False)
    assert main(["check", "--tts", "cartesia"]) == 2
    assert "set CARTESIA_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "heard", "expected"),
    [
        ("One two, three.", "one two three", 0),
        ("one two three", "one too three", 1 / 3),
        ("one two three", "", 1),
        ("one two", "one two three", 1 / 2),
        ("", "", 0),
    ],
)
def test_words_wrong_missing_or_too_many_count(said, heard, expected):
    assert word_error(said, heard) == pytest.approx(expected)
