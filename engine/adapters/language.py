"""What every language model that streams events over HTTP shares: one pool of connections, kept warm, and one way to read an answer.

Cancelling closes the connection, so the next question would pay for a new one: another is opened in the background while the caller
is still speaking.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, suppress
from typing import Any, ClassVar, NamedTuple, Protocol

import httpx
import msgspec

from engine.adapters.base import LLMFact, LLMRequest, Options
from engine.adapters.http import answers, body_of, check, error_in, failures, stream_failure
from engine.adapters.sse import ERROR, ServerEvent, read_events
from engine.core.events import LLMDone, LLMToken, LLMToolCall
from engine.errors import AdapterError, FailureKind

AFTER_FINISH_S = 0.3
"""Wait for usage and the stream's own end once the model has finished. They come in the same packet, or not at all."""
STREAM_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "text/event-stream",
}


class Question(NamedTuple):
    """One request as HTTP has it."""

    path: str
    body: dict[str, Any]


class Answer(Protocol):
    """One answer, put together from its events."""

    @property
    def ending(self) -> bool:
        """The model has finished; only usage and the stream's end may follow."""

    def take(self, event: ServerEvent) -> Iterable[LLMFact]:
        """What one event says. Raises AdapterError."""

    def close(self) -> LLMDone:
        """The stream has ended. Raises AdapterError (CLOSED), where the model had not finished."""


class StreamingModel(ABC):
    """A language model. Subclasses put the question and read the answer."""

    name: ClassVar[str]
    options: ClassVar[type[Options]]
    key_env: ClassVar[str]
    warm_path: ClassVar[str] = "models"
    """A path that costs nothing to ask."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._warming: asyncio.Task[None] | None = None

    @abstractmethod
    def ask(self, request: LLMRequest) -> Question:
        """The request in the provider's form."""

    @abstractmethod
    def answer(self, request: LLMRequest) -> Answer:
        """What reads the answer to it."""

    async def start(self) -> None:
        """Open a connection. Raises AdapterError, where the server cannot be reached or the key is wrong; it may be used all the
        same (the server may come up later), and must be stopped."""
        await self._warm()

    async def ready(self) -> None:
        """See base."""
        await answers(self.name, self._client, self.warm_path)

    async def stop(self) -> None:
        """Close all connections."""
        if self._warming is not None:
            self._warming.cancel()
            with suppress(asyncio.CancelledError, AdapterError):
                await self._warming
        await self._client.aclose()

    async def stream(self, request: LLMRequest) -> AsyncIterator[LLMFact]:
        """One answer. Raises AdapterError."""
        answer = self.answer(request)
        question = self.ask(request)
        sent = self._client.stream(
            "POST",
            question.path,
            content=msgspec.json.encode(question.body),
            headers=dict(request.headers),
        )
        try:
            with failures(self.name):
                async with sent as response:
                    await check(self.name, response)
                    await self._check_stream(response)
                    async with aclosing(read_events(self.name, body_of(response))) as events:
                        while (event := await following(events, ending=answer.ending)) is not None:
                            if event.name == ERROR:
                                raise self._trouble(event.data)
                            for fact in answer.take(event):
                                yield fact
        except (asyncio.CancelledError, GeneratorExit):
            self._warm_again()
            raise
        yield answer.close()

    async def _check_stream(self, response: httpx.Response) -> None:
        """Some servers put an error, or a page, where the stream should be, with status 200."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if kind == "application/json":
            raise self._trouble(await response.aread())
        if kind == "text/html":
            raise AdapterError(self.name, FailureKind.PROTOCOL, f"{kind} instead of a stream")

    def _trouble(self, data: str | bytes) -> AdapterError:
        """What came in the place of an answer, as the failure it tells of."""
        try:
            found = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return AdapterError(self.name, FailureKind.PROTOCOL, "no stream, and no error that can be read")
        return stream_failure(self.name, error_in(found) or found)

    async def _warm(self) -> None:
        """Any answer opens a connection; only a refused key is trouble (a server need not list its models)."""
        with failures(self.name):
            response = await self._client.get(self.warm_path)
        if response.status_code == 401:
            raise AdapterError(self.name, FailureKind.REJECTED, "HTTP 401: the key is not accepted")

    def _warm_again(self) -> None:
        """Replace the connection that a cancelled answer closed, unless that is under way."""
        if self._warming is None or self._warming.done():
            self._warming = asyncio.create_task(self._warm(), name=f"{self.name}: warm")
            self._warming.add_done_callback(taken)


def taken(task: "asyncio.Task[None]") -> None:
    """Warming that failed is no trouble yet: the next question will meet it, and say so."""
    if not task.cancelled():
        task.exception()


async def following(events: AsyncGenerator[ServerEvent, None], *, ending: bool) -> ServerEvent | None:
    """The next event, or None at the end of the stream, which is not waited for when the model has finished already."""
    if not ending:
        return await anext(events, None)
    try:
        async with asyncio.timeout(AFTER_FINISH_S):
            return await anext(events, None)
    except TimeoutError:
        return None


class Telling:
    """The numbers every fact of an answer carries, and how many tools it has called."""

    def __init__(self, provider: str, request: LLMRequest) -> None:
        self.provider = provider
        self._run = request.run
        self._request = request.request
        self.called = 0

    def token(self, text: str) -> LLMToken:
        return LLMToken(run=self._run, request=self._request, text=text)

    def call(self, call_id: str, name: str, arguments: str) -> LLMToolCall:
        """A whole tool call; one that came without a name of its own is given one."""
        self.called += 1
        call_id = call_id or f"call_{self._run}_{self._request}_{self.called}"
        return LLMToolCall(
            run=self._run, request=self._request, call_id=call_id, name=name, arguments=arguments or "{}"
        )

    def done(self, reason: str, *, input_tokens: int, output_tokens: int, cached_tokens: int, model: str) -> LLMDone:
        return LLMDone(
            run=self._run,
            request=self._request,
            reason="tool_calls" if self.called else reason,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            model=model,
        )

    def unfinished(self) -> AdapterError:
        return AdapterError(self.provider, FailureKind.CLOSED, "the stream ended before the answer did")

    def unreadable(self) -> AdapterError:
        return AdapterError(self.provider, FailureKind.PROTOCOL, "an event that cannot be read")
