"""/v1/audio/transcriptions as it is on the wire. Source: openai/openai-openapi (2026-08-21). Variant "whisper.cpp" answers text
alone, and tells of its errors in a sentence, with status 200.
"""

import io
import wave

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from engine.sandbox.base import GARBAGE, Fault, HangUp, Line, ModelProvider
from engine.sandbox.speech import Ear


class TranscriptionServer(ModelProvider):
    """The batch endpoint."""

    def routes(self) -> list[BaseRoute]:
        listing = self.listing("/v1/models", {"object": "list", "data": []})
        return [Route("/v1/audio/transcriptions", self._transcribe, methods=["POST"]), listing]

    def settings(self) -> dict[str, object]:
        return {"base_url": f"{self.url}/v1", "api_key": self.key}

    async def _transcribe(self, request: Request) -> Response:
        if refusal := self.refusal(request):
            return refusal
        async with request.form() as form:
            file = form.get("file")
            if not isinstance(file, UploadFile) or not str(file.filename).endswith(".wav") or "model" not in form:
                return JSONResponse(self.refusal_body(400, "invalid_request_error"), 400)
            self.seen[-1]["form"] = {name: value for name, value in form.items() if isinstance(value, str)}
            data = await file.read()
        with wave.open(io.BytesIO(data)) as sound:
            ear = Ear(sound.getframerate())
            words = ear.hear(sound.readframes(sound.getnframes())) + ear.hear(bytes(sound.getframerate()))
        line = Line(self.behaviour)
        fault = Fault.NONE
        for _ in range(2):
            # An answer is one piece, so a fault that would come after the first strikes it too.
            try:
                fault = await line.step() or fault
            except HangUp:
                raise ConnectionAbortedError from None
        match fault:
            case Fault.GARBAGE:
                return Response(GARBAGE, media_type="application/json")
            case Fault.ERROR if self.behaviour.variant == "whisper.cpp":
                return JSONResponse({"error": "FFmpeg conversion failed."})
            case Fault.ERROR | Fault.FORMAT:
                return JSONResponse(self.refusal_body(500, "server_error"), 500)
        usage = {} if self.behaviour.variant == "whisper.cpp" else {"usage": {"type": "duration", "seconds": 1}}
        return JSONResponse({"text": " " + " ".join(word.text for word in words), **usage})
