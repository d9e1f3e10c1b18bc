"""Faults of what lets requests in, and of the pace that follows what answers say."""

from __future__ import annotations

from tests.mutants.fault import of

TOKENS = ("delivery/test_tokens.py",)
TURNS = ("delivery/test_token_turns.py",)
OWNERS = ("delivery/test_token_owners.py",)
TRACES = ("delivery/test_credentials.py",)
LET_IN = ("unit/test_let_in.py",)
GRANT = ("unit/test_grant.py",)
SLOWING = ("unit/test_slowing.py",)

ACCESS = [
    *of(
        "flows/credentials/tokens.py",
        TOKENS,
        (
            "tokens are used after their end",
            "now + left - min(_EDGE_SECONDS, spare / 4)",
            "now + left + 5",
        ),
        ("tokens are renewed when they are over", "now + left - spare\n", "now + left + 5\n"),
        ("a token that was refused is taken again", " or held.generation <= self.standing.refused_up_to:", ":"),
        (
            "a token on the disk is not found",
            "if (token := self._store.shelved(held.generation, first)) is not None:",
            "if (token := self._store.shelved(-1, first)) is not None:",
        ),
        ("a refusal is no refusal", "raise TokenRefused(came.refused)", "raise TokenAway(came.refused)"),
        ("tokens are not hidden", "            self._on_token([held.access, held.refresh])\n", ""),
    ),
    *of(
        "flows/credentials/tokens.py",
        OWNERS,
        ("the token of another account is used", "if self._store.is_foreign(held) and", "if False and"),
    ),
    *of(
        "flows/credentials/tokens.py",
        TURNS,
        (
            "whoever asks a slow server loses the lock",
            "if not self._store.hold(asked.timeout_seconds + HOLD_SECONDS):",
            "if not self._store.hold(START_SECONDS):",
        ),
        ("whoever waits for a permit has the lock", "        if self._paying.counts:  #", "        if False:  #"),
        (
            "the wait for a permit counts as patience",
            "self._clock() - self._paying.waited_seconds >= began + patience",
            "self._clock() >= began + patience",
        ),
    ),
    *of(
        "flows/credentials/paying.py",
        TURNS,
        (
            "whoever has a permit asks, renewed or not",
            "if not taken or now.generation != held.generation:",
            "if taken is None:",
        ),
        (
            "a permit that was not needed stays taken",
            "                permit.unused()\n                raise",
            "                raise",
        ),
        ("a permit that is void lets it go", "                permit.check()\n", ""),
    ),
    *of(
        "flows/credentials/standing.py",
        TOKENS,
        (
            "a fresh token that is refused is renewed for ever",
            "if self._after_refusal and not self._worked and now - self._since < FRESH_SECONDS:",
            "if now < 0:",
        ),
    ),
    *of(
        "flows/credentials/token.lua",
        TURNS,
        (
            "everybody has the lock",
            "redis.call('SET', lock, owner, 'NX', 'PX', ARGV[3])",
            "redis.call('SET', lock, owner, 'PX', ARGV[3])",
        ),
        (
            "anybody lets go of the lock",
            "if redis.call('GET', lock) == owner then redis.call('DEL', lock) end",
            "redis.call('DEL', lock)",
        ),
        ("an older token replaces a newer one", "if generation() ~= tonumber(ARGV[3]) then free() return 0 end", ""),
        (
            "a refresh token is used up by two",
            "if (holder and holder ~= owner) or generation() ~= tonumber(ARGV[3]) then return 0 end",
            "",
        ),
        ("generations begin anew", "math.max(generation() + 1, math.floor(now))", "generation() + 1"),
    ),
    *of(
        "flows/credentials/errand.py",
        TOKENS,
        (
            "nobody notes that a refresh token is used up",
            "if not store.intend(errand.generation,",
            "if not store.hold(",
        ),
    ),
    *of(
        "flows/credentials/access.py",
        ("delivery/test_auth_hosts.py",),
        ("every host gets the token", "if not self._lets_in(request.url.raw_host):", "if not request.url.raw_host:"),
    ),
    *of(
        "flows/credentials/access.py",
        TRACES,
        ("signatures are shown", "            self._masker.learn_briefly(made)\n", "            del made\n"),
        ("the password of basic is shown", "            self._masker.learn([coded], lasting=True)\n", ""),
    ),
    *of(
        "flows/credentials/session.py",
        TRACES,
        ("cookies are shown", "self._hide([text for text in secret if", "self._hide([text for text in secret if not"),
    ),
    *of(
        "flows/credentials/session.py",
        LET_IN,
        ("two cookies go along", 'request.headers.pop("Cookie", None)', 'request.headers.get("Cookie", None)'),
        ("a ban at the login is none", "if reply.ban:", "if reply.ban and reply.stop:"),
    ),
    *of(
        "flows/credentials/store.py",
        LET_IN,
        (
            "the lock is let go between two attempts",
            "            self.hold(seconds + HOLD_SECONDS)\n",
            "            self.free()\n",
        ),
    ),
    *of(
        "flows/credentials/grant.py",
        GRANT,
        ("an error in a 200 is none", "if error or status >= 400:", "if status >= 400:"),
        (
            "a token may have any characters",
            "if not (access.isascii() and access.isprintable()):",
            "if not access:",
        ),
        ("a busy token server refuses us", "_LATER, _LATER_WORDS = (408, 425, 429),", "_LATER, _LATER_WORDS = (408,),"),
    ),
    *of(
        "flows/credentials/vault.py",
        TOKENS,
        ("the key lies open", "os.O_EXCL, 0o600)", "os.O_EXCL, 0o644)"),
    ),
    *of(
        "flows/pipeline/definition.py",
        TURNS,
        (
            "token requests that count arrive as rows do",
            "max([self.timeout_seconds, *self.token_seconds])",
            "self.timeout_seconds",
        ),
    ),
    *of(
        "flows/client/slowing.py",
        SLOWING,
        ("a reset that has passed counts", "LEAST_SECONDS < seconds <= MOST_SECONDS", "-1e9 < seconds <= MOST_SECONDS"),
        ("the quota of a day is a pace", "LEAST_SECONDS < seconds <= MOST_SECONDS", "LEAST_SECONDS < seconds"),
        ("any number remains", "not 0 <= number <= MOST_REQUESTS", "not number <= MOST_REQUESTS"),
    ),
    *of(
        "flows/delivery/slowing.py",
        SLOWING,
        ("headers quicken the pace", "_MATERIAL * min(stated, standing)", "_MATERIAL * max(stated, standing)"),
    ),
    *of(
        "flows/client/meaning.py",
        ("commands/test_auth.py",),
        ("a 401 of any host renews the token", "and definition.lets_in(host_of(request.url)) else None", "else None"),
    ),
]
