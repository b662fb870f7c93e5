"""What the adapters for OpenAI, and for servers that speak as it does, share: who is asking, and with what key.

Source: openai/openai-openapi (2026-08-21).
"""

from typing import ClassVar

from engine.adapters.base import Options


class OpenAIOptions(Options, frozen=True, kw_only=True):
    """Who is asking. A server of one's own may take no key; the vendor's takes no question without."""

    key_required: ClassVar[bool] = False
    address: ClassVar[str] = "base_url"
    """The option that holds the server's address."""
    remedy: ClassVar[str] = "set OPENAI_API_KEY, or base_url for a server of your own"

    organization: str = ""
    """Where a key belongs to several."""
    project: str = ""

    def __post_init__(self) -> None:
        if "://api.openai.com" in getattr(self, self.address) and not self.api_key:
            raise ValueError(f"api.openai.com needs a key: {self.remedy}")

    def headers(self) -> dict[str, str]:
        """What every request says of who is asking."""
        found = {
            "Authorization": f"Bearer {self.api_key}" if self.api_key else "",
            "OpenAI-Organization": self.organization,
            "OpenAI-Project": self.project,
        }
        return {name: value for name, value in found.items() if value}
