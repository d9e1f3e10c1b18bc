"""Records without idempotency: search by e-mail, create, change, delete. What is created twice is there twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deployments.standin.answer import Answer, answer
from deployments.standin.apis.api import Api, ApiKnobs, not_found, now, number, query
from deployments.standin.apis.book import words
from deployments.standin.arrivals import Arrival


@dataclass(slots=True)
class Contact:
    """A record. It is found by a search from `shown_at` on."""

    email: str
    name: Any
    shown_at: float = 0.0
    locked: bool = False


class Upsert(Api):
    """GET /contacts?email=, POST /contacts, PUT, GET and DELETE /contacts/ID.

    Before the first request there is one record for each e-mail that says `known`, and there are two for each that says
    `twins`. A record of an e-mail that says `pinned` cannot be deleted: somebody has changed it since.
    """

    name = "upsert"
    knows = ("busy", "bad")

    def __init__(self, knobs: ApiKnobs | None = None, **options: Any) -> None:
        super().__init__(knobs, **options)
        self.forget()

    def forget(self) -> None:
        """Begin anew, with the records that were there before."""
        super().forget()
        self._contacts: dict[int, Contact] = {}
        self._by_email: dict[str, list[int]] = {}
        self._last_seed = 0

    def respond(self, arrival: Arrival, sent: Any) -> Answer:
        """One request, one record."""
        if arrival.path.rstrip("/") == self.path:
            return self._search(query(arrival)["email"]) if arrival.method == "GET" else self._create(sent)
        contact = self._contacts.get(number(arrival))
        if contact is None:
            return not_found()
        if arrival.method == "GET":
            return answer(200, self._shown(number(arrival)))
        if arrival.method == "DELETE":
            return self._delete(number(arrival), contact)
        return self._change(number(arrival), contact, sent)

    def about(self, arrival: Arrival, body: bytes) -> list[str]:
        """Also that of a record that is changed or deleted by its id."""
        name = arrival.path.rpartition("/")[2]
        contact = self._contacts.get(int(name)) if name.isdecimal() and arrival.method != "GET" else None
        return [contact.email] if contact else super().about(arrival, body)

    def truth(self) -> dict[str, Any]:
        """With `there`: how many records each e-mail has now, those included that were there before."""
        return {**super().truth(), "there": {email: len(found) for email, found in self._by_email.items()}}

    def _found(self, email: str) -> list[int]:
        """The records of an e-mail; at the first look those are made that were there before."""
        if email.lower() not in self._by_email:
            self._by_email[email.lower()] = []
            for _ in range(2 if "twins" in words(email) else "known" in words(email)):
                self._last_seed += 1
                self._hold(self._last_seed, Contact(email, "from before"))
        return self._by_email[email.lower()]

    def _hold(self, number: int, contact: Contact) -> None:
        self._contacts[number] = contact
        self._found(contact.email).append(number)

    def _search(self, email: str) -> Answer:
        shown = [each for each in self._found(email) if self._contacts[each].shown_at <= now()]
        return answer(200, {"total": len(shown), "items": [self._shown(each) for each in shown]})

    def _shown(self, number: int) -> dict[str, Any]:
        contact = self._contacts[number]
        return {"id": number, "email": contact.email, "name": contact.name}

    def _refused(self, email: str) -> Answer | None:
        match self.book.judge(email):
            case "busy":
                return answer(429, {"message": "Too many requests"}, retry_after="0")
            case "bad":
                return answer(422, {"message": self.book.refuse(email)})
        return None

    def _create(self, sent: Any) -> Answer:
        email = str(sent["email"])
        if refused := self._refused(email):
            return refused
        self._found(email)
        number = self.book.create(email)
        self._hold(number, Contact(email, sent.get("name"), now() + self.knobs.hidden_seconds))
        return answer(201, self._shown(number))

    def _change(self, number: int, contact: Contact, sent: Any) -> Answer:
        if refused := self._refused(contact.email):
            return refused
        self.book.update(contact.email)
        contact.name = sent.get("name", contact.name)
        return answer(200, self._shown(number))

    def _delete(self, number: int, contact: Contact) -> Answer:
        if "pinned" in words(contact.email):
            return answer(409, {"message": f"{contact.email} was changed since"})
        self.book.remove(contact.email, number)
        del self._contacts[number]
        self._found(contact.email).remove(number)
        return Answer(204, b"")
