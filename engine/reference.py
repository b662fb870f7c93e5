"""The reference of all settings, in Markdown, read from the source: names, types, defaults and the sentences under the fields."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from engine.adapters.base import Options
from engine.adapters.registry import PROVIDERS, provider_class
from engine.core.policy import PRESETS, Policy
from engine.core.units import MS
from engine.settings import (
    SECTIONS,
    allowed,
    is_duration,
    is_secret,
    policy_fields,
    setting_name,
    variables,
)

HEAD = """\
# Settings

Every setting there is, with what is allowed, the default, and the well-known variable where there is one. This file is written by
`make docs`, from the source; how settings are given is in [configuration.md](configuration.md).
"""
DEFAULT_CHARS = 60
"""A longer default is not shown."""


def markdown() -> str:
    """The whole reference. Raises ConfigError, where a provider's package is not installed."""
    parts = [HEAD, *(chapter(section.section, section, fields(section)) for section in SECTIONS), policy_chapter()]
    for stage, names in PROVIDERS.items():
        for name in names:
            provider = provider_class(stage, name)
            parts.append(chapter(f"{stage}.{name}", provider.options, fields(provider.options), provider))
    return "\n".join(parts)


def policy_chapter() -> str:
    presets = ", ".join(f"`{name}`" for name in PRESETS)
    intro = f"`preset` names where to start from: {presets}; without it, the agent's own policy. The defaults are `balanced`'s."
    return chapter("policy", Policy, policy_fields(), intro=intro)


def chapter(
    path: str, kind: type[Struct], all_fields: tuple[FieldInfo, ...], provider: Any = None, intro: str = ""
) -> str:
    """One table of the configuration file."""
    texts = field_texts(kind)
    about = intro or first_line(provider if provider is not None else kind)
    lines = [f"## [{path}]", "", about, ""]
    for field in all_fields:
        if field.name == "api_key" and provider is not None and not provider.key_env:
            continue
        well_known = variables(path, field, provider.key_env if provider else "")[:-1]
        names = "".join(f"; `{name}`" for name in well_known)
        kind_of = "secret" if is_secret(field) else allowed(field.type)
        lines.append(f"- **`{setting_name(field)}`** ({kind_of}{default_of(field)}{names})")
        if field.name in texts:
            lines[-1] += f"\\\n  {texts[field.name]}"
    return "\n".join([*lines, ""])


def first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def default_of(field: FieldInfo) -> str:
    """The default, as the configuration writes it; nothing where it is long, or empty."""
    if field.required:
        return "; required"
    value = field.default if field.default is not NODEFAULT else field.default_factory()
    if is_secret(field) or value in ("", (), None) or value == {} or len(str(value)) > DEFAULT_CHARS:
        return ""
    if isinstance(value, bool):
        return f"; `{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"; `{', '.join(map(str, value))}`"
    return f"; `{value // MS if is_duration(field) else value}`"


def field_texts(kind: type[Struct]) -> dict[str, str]:
    """The sentences under the fields of a Struct and of those it derives from, by field."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if issubclass(each, Struct) and each not in (Struct, Options):
            found |= dict(texts_in(each))
    return {"api_key": "The key."} | found


def texts_in(kind: type[Struct]) -> Iterator[tuple[str, str]]:
    definition: Any = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            yield field.target.id, " ".join(str(text.value.value).split())
