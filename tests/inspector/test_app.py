"""What the inspector's routes give, and to whom."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from engine.inspector import create_inspector
from engine.inspector.rows import COLUMNS
from engine.replay.redact import redact
from engine.replay.sheet import Sheet
from tests.replay.record import CALL, record
from tests.replay.talk import talk
from tests.replay.test_verify import rewritten
from tests.script import SETUP as PLAIN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(tmp_path / "one.jsonl")
    return tmp_path


class Client:
    """A browser without a page: it keeps cookies and reads every answer to its end."""

    def __init__(self, place: Path, *, local: bool = True, token: str = "", jaeger: str = "") -> None:
        check = token.__eq__ if token else None
        app = create_inspector(place, is_local=lambda _: local, check_token=check, jaeger=jaeger)
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(self, *trouble: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def get(
        self, url: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return self._runner.run(self._client.get(url, params=params, headers=headers))


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    with Client(folder) as client:
        yield client


def name_of(client: Client, search: str = "") -> str:
    (call,) = client.get("/api/calls", params={"search": search}).json()["calls"]
    return str(call["name"])


def pieces(body: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    while body:
        size = int.from_bytes(body[:4], "little")
        piece, body = body[4 : 4 + size], body[4 + size :]
        head = int.from_bytes(piece[:4], "little")
        yield json.loads(piece[4 : 4 + head]), piece[4 + head :]


def test_the_list_holds_what_a_call_comes_to(client: Client) -> None:
    (call,) = client.get("/api/calls").json()["calls"]
    assert (call["session"], call["events"], call["seconds"], call["live"]) == ("CA123", 19, 5.3, False)
    assert call["figures"] == {
        "turns": 1,
        "median_ms": 1060.0,
        "worst_ms": 1060.0,
        "interruptions": 0,
        "problems": 1,
        "broken": False,
    }


def test_one_journal_can_be_the_whole_shelf(folder: Path) -> None:
    with Client(folder / "one.jsonl") as client:
        assert client.get("/api/calls").json()["calls"][0]["file"] == "one.jsonl"


@pytest.mark.parametrize(
    ("search", "found"), [("CA12", 1), ("memory", 1), ("SLOT ON monday", 1), ("nobody said this", 0)]
)
def test_a_search_looks_at_names_and_at_what_was_said(search: str, found: int, client: Client) -> None:
    assert len(client.get("/api/calls", params={"search": search}).json()["calls"]) == found


def test_a_file_that_is_no_journal_is_listed_with_its_problem(folder: Path) -> None:
    (folder / "junk.jsonl").write_text("junk\n")
    with Client(folder) as client:
        calls = {call["file"]: call for call in client.get("/api/calls").json()["calls"]}
    assert "does not begin with a journal's header" in calls["junk.jsonl"]["problem"]
    assert calls["one.jsonl"]["problem"] == ""


def test_a_call_streams_as_columns_and_is_folded(client: Client) -> None:
    name = name_of(client)
    found = list(pieces(client.get(f"/api/calls/{name}/rows").content))
    head, data = found[0]
    assert head["rows"] == 28
    assert {"SessionStarted", ">StartLLM", "ASRFinal"} < set(head["types"])
    assert len(data) >= sum(head["rows"] * {"d": 8, "I": 4, "H": 2, "B": 1}[code] for _, code in COLUMNS)
    assert b"I need a slot on Monday." in data
    last = found[-1][0]
    assert (last["over"], last["folded"], last["done"]) == ("complete", 19, True)


def test_a_changed_file_is_not_told_as_if_it_had_happened(folder: Path, client: Client) -> None:
    path = folder / "one.jsonl"
    path.write_bytes(path.read_bytes().replace(b"a slot on Monday.", b"a slot on Sunday.", 1))
    name = client.get("/api/calls").json()["calls"][0]["name"]
    client.get(f"/api/calls/{name}/rows")
    story = client.get(f"/api/calls/{name}/story").json()
    assert story["broken"] == "The file was changed: what follows step 7 is not what was written"
    assert client.get("/api/calls").json()["calls"][0]["figures"]["broken"] is True


def test_the_story_is_told_with_its_waterfalls(client: Client) -> None:
    name = name_of(client)
    client.get(f"/api/calls/{name}/rows")
    story = client.get(f"/api/calls/{name}/story").json()
    assert [answer["cause"] for answer in story["answers"]] == ["greeting", "turn"]
    assert [stretch["owner"] for stretch in story["answers"][1]["stretches"]] == [
        "endpointing",
        "model",
        "synthesizer",
        "transport",
    ]
    verdict = "turn 1: 730 ms of 1,060 ms is the model's (model) first token"
    assert story["problems"] == [{"at": story["answers"][1]["quiet_at"], "what": verdict}]


def test_a_step_shows_its_line_and_what_it_changed(client: Client, folder: Path) -> None:
    name = name_of(client)
    client.get(f"/api/calls/{name}/rows")
    raw = (folder / "one.jsonl").read_bytes()
    offset = raw.index(b'{"kind":"event","seq":8')
    step = client.get(f"/api/calls/{name}/step", params={"offset": offset}).json()
    assert step["fact"] == 'asr e1 final "I need a slot on Monday."'
    assert step["entry"]["seq"] == 8
    assert {"path": "turn.text", "before": "", "after": "I need a slot on Monday."} in step["changes"]


@pytest.mark.parametrize("offset", [-1, 7, 10**9, "x", "9" * 99])
def test_a_step_where_no_line_begins_is_refused(offset: int | str, client: Client) -> None:
    answer = client.get(f"/api/calls/{name_of(client)}/step", params={"offset": offset})
    assert answer.status_code == 422
    assert answer.json()["error"] == "no line begins there"


def test_a_step_not_folded_yet_says_how_far_it_is(client: Client) -> None:
    header = len((Path(client.get("/api/calls").json()["folder"]) / "one.jsonl").read_bytes().splitlines()[0]) + 1
    step = client.get(f"/api/calls/{name_of(client)}/step", params={"offset": header}).json()
    assert step["changes"] is None
    assert step["folded"] == 0


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"event","seq":\xff}',
        b'{"kind":"event","seq":-1,"at":0,"event":{"type":"x"},"after":"Idle","commands":[]}',
        b"[" * 50_000,
        b'{"kind":"event","seq":1,"at":' + b"9" * 400 + b',"event":{"type":"x"},"after":"Idle","commands":[]}',
    ],
)
def test_a_line_from_a_stranger_is_told_as_corrupt(line: bytes, folder: Path) -> None:
    path = folder / "one.jsonl"
    head, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(head + b"\n" + line + b"\n" + rest)
    with Client(folder) as client:
        name = name_of(client)
        last = list(pieces(client.get(f"/api/calls/{name}/rows").content))[-1][0]
        assert last["over"].startswith(f"corrupt at byte {len(head) + 1}")
        step = client.get(f"/api/calls/{name}/step", params={"offset": len(head) + 1})
        assert step.status_code == 422
        assert client.get(f"/api/calls/{name}/story").status_code == 200


def test_states_between_those_kept_are_folded_again(tmp_path: Path) -> None:
    path = record(tmp_path / "long.jsonl", talk(9), PLAIN)
    with Client(tmp_path) as client:
        name = name_of(client)
        client.get(f"/api/calls/{name}/rows")
        lines = path.read_bytes().splitlines(keepends=True)
        offset = sum(len(line) for line in lines[:701])
        step = client.get(f"/api/calls/{name}/step", params={"offset": offset}).json()
        assert step["entry"]["seq"] == 700
        assert step["changes"][0] == {
            "path": "at",
            "before": json.loads(lines[700])["at"],
            "after": step["entry"]["at"],
        }


def test_what_is_not_there_is_said_in_a_sentence(client: Client) -> None:
    answer = client.get("/api/calls/0123456789abcdef/story")
    assert (answer.status_code, answer.json()) == (422, {"error": "there is no such call (any more)"})
    assert client.get("/../../etc/passwd").status_code == 404
    assert client.get("/nothing.js").status_code == 404


def test_a_truncated_call_is_shown_up_to_its_tear(folder: Path) -> None:
    path = folder / "one.jsonl"
    path.write_bytes(path.read_bytes()[:6_000])
    with Client(folder) as client:
        (call,) = client.get("/api/calls").json()["calls"]
        last = list(pieces(client.get(f"/api/calls/{call['name']}/rows").content))[-1][0]
    assert call["problem"] == last["over"] == "torn: it ends without a footer"
    assert 0 < last["folded"] < 19


def test_nonsense_in_the_middle_ends_the_rows_with_its_place(folder: Path) -> None:
    path = folder / "one.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seq":7,', b'"seq":x,', 1))
    with Client(folder) as client:
        last = list(pieces(client.get(f"/api/calls/{name_of(client)}/rows").content))[-1][0]
    assert last["over"].startswith("corrupt at byte")


def test_a_call_the_rules_take_otherwise_today_is_told_up_to_there(folder: Path) -> None:
    rewritten(folder / "one.jsonl", {11: {"commands": ()}})
    with Client(folder) as client:
        name = name_of(client)
        client.get(f"/api/calls/{name}/rows")
        story = client.get(f"/api/calls/{name}/story").json()
    assert story["folded"] == 11
    assert story["parted"].startswith("step 11: recorded was no orders; today's rules give open r2")


def test_a_redacted_call_can_be_walked_without_its_states(folder: Path) -> None:
    redact(folder / "one.jsonl", folder / "two.jsonl")
    (folder / "one.jsonl").unlink()
    with Client(folder) as client:
        name = name_of(client)
        found = list(pieces(client.get(f"/api/calls/{name}/rows").content))
        story = client.get(f"/api/calls/{name}/story").json()
    assert found[0][0]["rows"] == 28
    assert story["faithful"] is False


def test_a_live_call_is_summed_up_and_streamed_until_it_ends(folder: Path) -> None:
    """The file is whole when the stream is read to its end; it was live when the list was read."""
    lines = (folder / "one.jsonl").read_bytes().splitlines(keepends=True)
    sheet = Sheet(folder / "live.jsonl")
    for line in lines[:10]:
        sheet.write(line)
    sheet.flush()
    with Client(folder / "live.jsonl") as client:
        (call,) = client.get("/api/calls").json()["calls"]
        assert call["live"] is True
        assert call["figures"]["turns"] == 0
        for line in lines[10:-1]:
            sheet.write(line)
        sheet.flush()
        (grown,) = client.get("/api/calls").json()["calls"]
        assert (grown["live"], grown["figures"]["turns"], grown["figures"]["median_ms"]) == (True, 1, 1060.0)
        sheet.close(lines[-1])
        (ended,) = client.get("/api/calls").json()["calls"]
        assert (ended["live"], ended["figures"]) == (False, grown["figures"])
        found = list(pieces(client.get(f"/api/calls/{call['name']}/rows").content))
    assert sum(head["rows"] for head, _ in found) == 28
    assert found[-1][0]["over"] == "complete"


# Who may look.


def test_a_stranger_may_not_look(folder: Path) -> None:
    with Client(folder, local=False) as client:
        for url in ("/", "/main.js", "/api/calls", "/api/calls/x/rows"):
            answer = client.get(url)
            assert answer.status_code == 403
            assert "needs a token" in answer.json()["error"]


def test_a_token_opens_the_door_once_and_is_kept_in_a_cookie(folder: Path) -> None:
    with Client(folder, local=False, token="s3cret") as client:
        assert client.get("/?token=wrong").status_code == 403
        answer = client.get("/?token=s3cret")
        assert answer.status_code == 303
        assert "token" not in answer.headers["location"]
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert client.get("/").status_code == 200
        assert "Secure" not in cookie
        assert "Secure" in client.get("https://localhost/?token=s3cret").headers["set-cookie"]
        client.cookies.clear()
        assert client.get("/api/calls", headers={"authorization": "Bearer s3cret"}).status_code == 200
        assert client.get("/api/calls", headers={"authorization": "Bearer wrong"}).status_code == 403


def test_traces_are_linked_where_jaeger_is_known(folder: Path) -> None:
    with Client(folder, jaeger="http://127.0.0.1:16686/") as client:
        name = name_of(client)
        client.get(f"/api/calls/{name}/rows")
        link = client.get(f"/api/calls/{name}").json()["links"]["trace"]
        answers = client.get(f"/api/calls/{name}/story").json()["answers"]
    assert link.startswith("http://127.0.0.1:16686/trace/")
    assert len(link.rpartition("/")[2]) == 32
    assert answers[1]["trace"] != link


def test_a_scripts_end_in_a_transcript_is_only_text(tmp_path: Path) -> None:
    record(tmp_path / "call.jsonl", CALL.replace("on Monday.", "</script><script>alert(1)</script>"))
    with Client(tmp_path) as client:
        answer = client.get(f"/api/calls/{name_of(client)}/rows")
    assert answer.headers["content-type"] == "application/octet-stream"
