"""Which content of a pipeline's inboxes is whose: a file is taken once by what it holds, whatever it is called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec
import redis
from redis.commands.core import Script

from flows.ledger import keys
from flows.ledger.connection import translated

_RELEASE = "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end"

# All the runs that were missed ask at once, so looking and noting is one step.
_BEGIN = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found then
  local at, by = string.match(found, '^(%S+) (.*)$')
  if tonumber(at) > tonumber(ARGV[2]) and by ~= ARGV[3] then return at end
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], now[1] .. '.' .. string.format('%06d', now[2]) .. ' ' .. ARGV[3])
return '0'
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A file that is not to be sent again: under which name it came, and which run delivered it.

    `at`: when it was put away, or its run deleted (Unix seconds). `well`: whether nothing of it was left to be seen to.
    """

    run: str
    name: str
    at: float
    well: bool = True


@dataclass(frozen=True, slots=True)
class Version:
    """What a server last gave at an address: the digest, and by what it tells whether it is another by now."""

    digest: str
    etag: str = ""
    modified: str = ""

    @property
    def asks(self) -> dict[str, str]:
        """The headers that ask for it only if it is another by now; none where the server says too little."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.modified} if self.modified else {}


class Claims:
    """The claims of one pipeline, over a plain Redis client. Raises StackError where Redis does not answer."""

    def __init__(self, client: redis.Redis, pipeline: str) -> None:
        self.client = client
        self._pipeline = pipeline
        self._key = keys.inbox_key(pipeline)

    @cached_property
    def _release(self) -> Script:
        return self.client.register_script(_RELEASE)

    @cached_property
    def _begin(self) -> Script:
        return self.client.register_script(_BEGIN)

    @translated()
    def holder(self, digest: str) -> str:
        """The run that delivers this content, or nothing."""
        found = self.client.hget(self._key, digest)
        return found.decode() if isinstance(found, bytes) else ""

    @translated()
    def take(self, digest: str, run: str) -> str:
        """Claim this content for a run. Returns whose it is: one of several that ask at once gets it, for good."""
        self.client.hsetnx(self._key, digest, run)
        return self.holder(digest)

    @translated()
    def release(self, digest: str, run: str) -> None:
        """Give up a claim of which no row was sent, so that the same content may come again."""
        self._release(keys=[self._key], args=[digest, run])

    @translated()
    def end(self, digest: str, ended: Ended) -> None:
        """Note that the file was put away: from now on the same content is passed over."""
        self.client.hset(self._key + ":ended", digest, msgspec.json.encode(ended).decode())

    @translated()
    def ended(self, digest: str) -> Ended | None:
        """What became of this content, if it was put away."""
        found = self.client.hget(self._key + ":ended", digest)
        return msgspec.json.decode(found, type=Ended) if isinstance(found, bytes) else None

    @translated()
    def version(self, address: str) -> Version | None:
        """What was last downloaded from an address, if that was put away."""
        found = self.client.hget(self._key + ":versions", address)
        version = msgspec.json.decode(found, type=Version) if isinstance(found, bytes) else None
        return version if version and self.ended(version.digest) else None

    @translated()
    def note_version(self, address: str, version: Version) -> None:
        """Remember what an address gave."""
        self.client.hset(self._key + ":versions", address, msgspec.json.encode(version).decode())

    @translated()
    def looked(self, folder: str, at: float) -> None:
        """Note that everything that lay in a folder at a time was looked at."""
        self.client.hset(self._key + ":looks", folder, str(at))

    @translated()
    def begin(self, what: str, due: float, flow_run: str) -> float:
        """Let a scheduled delivery of `what` begin, unless the like of it began after this one was due (Unix seconds).

        Returns 0 if it may begin, else when the other did. The same flow run may ask again.
        """
        return float(self._begin(keys=[keys.scheduled_key(self._pipeline)], args=[what, due, flow_run]))

    @translated()
    def last_look(self, folder: str) -> float:
        """When the last complete look through a folder began; 0 if there was none."""
        found = self.client.hget(self._key + ":looks", folder)
        return float(found) if isinstance(found, bytes) else 0.0
