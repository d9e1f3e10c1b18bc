"""A row as a request: body, address and headers, from a definition's compiled templates. Pure.

`rendering = Rendering.of(definition)` once, then one call a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec

from flows.pipeline.definition import Definition
from flows.pipeline.outgoing import address, outgoing, whole
from flows.pipeline.template import (
    Address,
    Fixed,
    Header,
    Node,
    Outgoing,
    Secrets,
    Unsendable,
    Values,
    compile_json,
    compile_text,
)
from flows.values import as_text

_NONE: Mapping[str, str] = {}
_JSON = msgspec.json.Encoder(decimal_format="number")  # a decimal keeps all its digits
_JSON_TYPE = {"Content-Type": "application/json"}
_FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Rendering:
    """A definition's request, its templates compiled. `accept` is the type that the answer should have."""

    method: str
    has_body: bool
    accept: str
    address: Address
    headers: tuple[Header, ...]
    fixed_headers: dict[str, str]
    body: Node | None
    is_form: bool

    @classmethod
    def of(cls, definition: Definition) -> Rendering:
        """Compile a definition's request. Raises TemplateError."""
        request, how = definition.request, outgoing(definition)
        headers = [Header(name, compile_text(text, how)) for name, text in request.headers.items()]
        body = _body(definition, how)
        fixed = {header.name: header.make({}, {}) for header in headers if isinstance(header.text, Fixed)}
        if body is not None and not any(header.name.casefold() == "content-type" for header in headers):
            fixed = (_FORM_TYPE if request.form is not None else _JSON_TYPE) | fixed
        moving = tuple(header for header in headers if not isinstance(header.text, Fixed))
        accept = "application/json" if definition.response.expects_json else "*/*"
        return cls(
            method=request.method,
            has_body=request.has_body,
            accept=accept,
            address=address(request.url, how, request.empty),
            headers=moving,
            fixed_headers=fixed,
            body=body,
            is_form=request.form is not None,
        )

    def make_body(self, values: Values, secrets: Secrets = _NONE) -> Any:
        """JSON data (decimals stay Decimal), form fields as a dict of text, or None for a request without body."""
        return self.body.make(values, secrets) if self.body is not None else None

    def make_content(self, values: Values, secrets: Secrets = _NONE) -> bytes:
        """The body as it goes out; empty for a request without one."""
        if self.body is None:
            return b""
        made = self.body.make(values, secrets)
        if self.is_form:
            return urlencode([(name, as_text(value)) for name, value in made.items()]).encode()
        try:
            return _JSON.encode(made)
        except (TypeError, ValueError, OverflowError) as exc:  # e.g. half of a surrogate pair
            raise Unsendable(f"the body cannot be written as JSON: {exc}") from exc

    def make_url(self, values: Values, secrets: Secrets = _NONE) -> str:
        """The address, percent-encoded."""
        try:
            return self.address.make(values, secrets)
        except UnicodeEncodeError as exc:
            raise Unsendable(f"the address cannot be written: {exc}") from exc

    def make_headers(self, values: Values, secrets: Secrets = _NONE) -> dict[str, str]:
        """The headers of the definition, and the type of the body."""
        if not self.headers:
            return dict(self.fixed_headers)
        return self.fixed_headers | {header.name: header.make(values, secrets) for header in self.headers}


def _body(definition: Definition, how: Outgoing) -> Node | None:
    request = definition.request
    if request.form is not None:
        return whole(compile_json(request.form, how))
    if request.body is not None:
        return whole(compile_json(request.body, how))
    if not request.has_body:
        return None
    return whole(how.mapping(tuple((name, how.alone(name)) for name in definition.column_names)))
