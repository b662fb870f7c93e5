import httpx
import pytest

from engine.sandbox.twilio import Callee
from tests.server.servers import make_config, serving
from tests.server.test_dialling import CONTROL, HER, world
from tests.transports.wires import run

BEARER = {"authorization": f"Bearer {CONTROL}"}


def test_a_call_is_ordered_looked_at_and_hung_up() -> None:
    async def main() -> None:
        async with world() as here, httpx.AsyncClient(base_url=here.server.http, headers=BEARER) as client:
            placed = await client.post("/calls", json={"to": HER, "from": "+15550005555", "machine": "detect"})
            assert placed.status_code == 201
            call_sid = placed.json()["call_sid"]
            peer = here.twilio.calls[call_sid]
            assert (peer.target, peer.caller) == (HER, "+15550005555")
            assert (await client.get(f"/calls/{call_sid}")).json()["target"] == HER
            assert (await client.delete(f"/calls/{call_sid}")).status_code == 204
            ended = await here.server.app.dialler.ended(call_sid)
            assert ended.over
            assert (await client.get(f"/calls/{call_sid}")).json()["status"] == ended.status
            assert (await client.delete(f"/calls/{call_sid}")).status_code == 204

    run(main())


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer guess"}, {"authorization": CONTROL}])
def test_without_the_token_nobody_orders_a_call(header: dict[str, str]) -> None:
    async def main() -> None:
        async with world() as here, httpx.AsyncClient(base_url=here.server.http, headers=header) as client:
            assert (await client.post("/calls", json={"to": HER})).status_code == 401
            assert (await client.get("/calls/CA1")).status_code == 401
            assert (await client.delete("/calls/CA1")).status_code == 401
            assert here.twilio.seen == []

    run(main())


def test_without_a_token_set_orders_are_closed_on_this_machine_too() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, httpx.AsyncClient(base_url=server.http) as client:
            refused = await client.post("/calls", json={"to": HER}, headers={"authorization": "Bearer x"})
            assert (refused.status_code, "ENGINE_CONTROL_TOKEN" in refused.text) == (403, True)

    run(main())


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b'{"to":7}', b'{"to":"her"}', b'{"to":"+1555","x":1}', b'{"to":"' + b"1" * 5_000 + b'"}'],
)
def test_an_order_that_cannot_be_read_is_refused(body: bytes) -> None:
    async def main() -> None:
        async with world() as here, httpx.AsyncClient(base_url=here.server.http, headers=BEARER) as client:
            assert (await client.post("/calls", content=body)).status_code == 400
            assert (await client.get("/calls/CA1")).status_code == 404
            assert here.twilio.seen == []

    run(main())


@pytest.mark.parametrize(("status", "answer"), [(400, 422), (401, 422)])
def test_twilios_refusal_is_told_with_its_number(status: int, answer: int) -> None:
    async def main() -> None:
        async with world() as here, httpx.AsyncClient(base_url=here.server.http, headers=BEARER) as client:
            here.twilio.callees[HER] = Callee()
            here.twilio.behaviour.status, here.twilio.behaviour.code = status, "21211"
            refused = await client.post("/calls", json={"to": HER})
            assert (refused.status_code, refused.json()["twilio_code"]) == (answer, 21211)

    run(main())
