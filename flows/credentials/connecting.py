"""A person allows an account: the address to open, and what came back of it (RFC 6749, 4.1 with PKCE). Pure."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from flows.credentials.signing import text_of
from flows.errors import RowrelayError
from flows.pipeline.auth import OAuth2
from flows.pipeline.template import Secrets


class NotAllowed(RowrelayError):
    """The account was not connected."""


@dataclass(frozen=True, slots=True)
class Consent:
    """One try to have an account allowed. `state` and `verifier` are random and used once."""

    redirect: str
    state: str
    verifier: str

    def address(self, oauth2: OAuth2, secrets: Secrets) -> str:
        """What the person has to open."""
        assert oauth2.authorize_url is not None
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": text_of(oauth2.client_id or "", secrets),
            "redirect_uri": self.redirect,
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        asked |= {"scope": oauth2.scope} if oauth2.scope else {}
        mark = "&" if "?" in oauth2.authorize_url else "?"
        return f"{oauth2.authorize_url}{mark}{urlencode(asked)}"

    def code(self, came: str) -> str:
        """The code in the address that the person was sent to, or as it was pasted alone. Raises NotAllowed."""
        came = came.strip()
        bare = came.startswith(("code=", "state=", "error="))
        query = parse_qs(came if bare else urlsplit(came).query) if bare or "?" in came else {}
        if not query:
            if not came or any(char.isspace() for char in came) or "://" in came:
                raise NotAllowed(
                    "That is no code.", hint="Paste the whole address that the browser was sent to, or the code in it."
                )
            return came
        if query.get("state") != [self.state]:
            raise NotAllowed("The address belongs to another try.", hint="Begin again, and use the newest address.")
        if "error" in query:
            detail = "".join(f": {text}" for text in query.get("error_description", []))
            raise NotAllowed(f"The account was not connected: {query['error'][0]}{detail}"[:300] + ".")
        if not query.get("code"):
            raise NotAllowed("The address holds no code.", hint="Paste the address that the browser was sent to last.")
        return query["code"][0]
