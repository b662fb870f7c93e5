import msgspec
import pytest

from engine.__main__ import main

AGENT = '[agent]\nasr = ["rehearsal"]\nllm = ["rehearsal"]\ntts = ["rehearsal"]\n[journal]\nfolder = ""\n'


@pytest.mark.parametrize(
    ("takes", "code", "status", "by"), [("answer", 0, "completed", "human"), ("busy", 1, "busy", "")]
)
def test_a_call_can_be_tried_without_an_account(
    takes: str, code: int, status: str, by: str, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = f"{tmp_path}/engine.toml"
    with open(settings, "w") as file:
        file.write(AGENT)
    given = ["dial", "+15550003333", "--simulate", takes, "--seconds", "3", "--machine", "detect", "--json"]
    assert main([*given, "--config", settings]) == code
    ended = msgspec.json.decode(capsys.readouterr().out)
    assert (ended["status"], ended["answered_by"]) == (status, by)


def test_without_an_account_everything_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dial", "+15550003333", "--port", "0"]) == 2
    told = capsys.readouterr().err
    assert "TWILIO_ACCOUNT_SID" in told
    assert "public_url" in told
