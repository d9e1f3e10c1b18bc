"""The faults: where, what stands there, what is put in its place, and the tests that should notice."""

from __future__ import annotations

from tests.mutants.access import ACCESS
from tests.mutants.courses import COURSES
from tests.mutants.fault import Fault
from tests.mutants.fault import of as _of
from tests.mutants.files import FILES

__all__ = ["ALL", "Fault"]

RULE = ("limit/test_limit_rule.py", "limit/test_limiter.py")
PERMITS = ("limit/test_permit.py", "limit/test_limiter.py")
SETS = ("limit/test_limit_sets.py",)
LEDGER = ("ledger/test_ledger.py", "files/test_export.py")
ANSWER = ("unit/test_answer.py", "unit/test_retry.py", "client/test_client.py")
CLIENT = ("client/test_client.py",)
SCHEMA = ("files/test_schema.py",)
SOURCE = ("files/test_source.py",)
OUTGOING = ("unit/test_outgoing.py",)
TEMPLATE = ("files/test_template.py",)


LIMIT = [
    *_of(
        "flows/limit/limiter.lua",
        RULE,
        (
            "one arrival more a window",
            "redis.call('ZRANGE', slot.log, -n, -n, 'WITHSCORES')",
            "redis.call('ZRANGE', slot.log, -n - 1, -n - 1, 'WITHSCORES')",
        ),
        ("windows a tenth shorter", "math.ceil(window + math.max(2000, window * 0.002))", "math.ceil(window * 0.9)"),
        ("windows not stretched", "math.ceil(window + math.max(2000, window * 0.002))", "math.ceil(window) - 1"),
        ("a slot is free from its start", "enter(slot, id, cost, start + l.hold)", "enter(slot, id, cost, start)"),
        (
            "answers count as earlier than they came",
            "'LT', text(now - number), entry",
            "'LT', text(now - number - 50000), entry",
        ),
        (
            "an unused slot stays taken",
            "redis.call('ZREM', slot.log, entry) > 0 and l.longest > SLEEP",
            "false",
        ),
        ("others' requests are known like one's own", "(own_entry and l.own_earlier or 0)", "l.own_earlier"),
        ("nobody hears of a slot that is handed back", "if l.handed_back then", "if false then"),
        ("a flight never ends", "kind == 'f' then\n      redis.call('ZREM', slot.flights, id)", "kind == 'f' then"),
        ("no quarantine after a restart", "      begin(l, 'restart')\n", ""),
        (
            "a caller's word of a clock step is ignored",
            "if jumped or now < before - STEP then",
            "if now < before - STEP then",
        ),
        ("a clock set back is not noticed", "if jumped or now < before - STEP then", "if jumped then"),
        ("pauses are not kept", "not_before(l.paused, 'pause')", "not_before(now, 'pause')"),
        (
            "a shorter pause ends a longer one",
            "kind == 'p' and now + number > l.paused then",
            "kind == 'p' then",
        ),
        ("a latch lasts one visit", "        redis.call('HSET', l.state, 'latched', id)\n", ""),
        ("a latch stops nobody", "if l.latched then return nil", "if l.latched == 0 then return nil"),
        ("any number in flight", "return slot.held < l.cap and (", "return ("),
        ("starts come in bursts", "l.gap > 0 and l.last > start then", "l.last > now + HORIZON then"),
        ("a late start is not made up for", "math.max(l.last + l.gap * cost, start), l", "start + l.gap * cost, l"),
        (
            "the looser of two caps",
            "math.min(l.cap or set.in_flight, set.in_flight)",
            "math.max(l.cap or 0, set.in_flight)",
        ),
        (
            "quarantine without what may still arrive",
            "math.max(l.born + l.lapse + HORIZON, l.purged)), l.purged",
            "math.max(l.born, l.purged)), l.purged",
        ),
        ("purged by a clock set forward", "math.min(now, trusted) - l.keep", "now - l.keep"),
        ("purged too early", "math.min(now, trusted) - l.keep", "math.min(now, trusted) - l.keep / 2"),
        ("other numbers are forgotten at once", "if expires < now then", "if found[i] ~= l.own then"),
        ("flights of the dead stay", "redis.call('ZREMRANGEBYSCORE', slot.flights, '-inf', text(now))", ""),
        (
            "only the first window counts",
            "if cost > w[1] then return nil",
            "if w ~= l.windows[1] then break end\n    if cost > w[1] then return nil",
        ),
    ),
    *_of(
        "flows/limit/limiter.lua",
        SETS,
        (
            "only the first place counts",
            "local slot, cost = slots[demand[at]], demand[at + 1]\n    local earliest",
            "if at > 2 then break end\n    local slot, cost = slots[demand[at]], demand[at + 1]\n    local earliest",
        ),
        ("every request costs one unit", "l.weighs and weight_of(found[i]) or 1", "1"),
        ("a request may be dearer than what is left", "if units > n - cost then", "if units > n - 1 then"),
        ("a request dearer than all units may go", "if cost > w[1] then return", "if false then return"),
        (
            "a cheap request overtakes a dear one",
            "    full[slot] = reason ~= 'too much' or nil",
            "    full[slot] = nil",
        ),
        (
            "requests of a value are under way elsewhere",
            "redis.call('ZCARD', slot.flights)",
            "redis.call('ZCARD', slot.limit.flights)",
        ),
        (
            "a pause of a value is not kept",
            "if slot.paused > start then start, why",
            "if false then start, why",
        ),
        (
            "a pause of a value pauses all",
            "kind == 'p' and slot.value ~= '' then",
            "kind == 'P' then",
        ),
        ("a period begins when it does here", "local EDGE = 5000000 ", "local EDGE = 0 "),
        (
            "a period holds one more",
            "units_since(slot, math.max(0, begun - EDGE)) + cost + l.reserve > w[1]",
            "units_since(slot, math.max(0, begun - EDGE)) > w[1]",
        ),
        (
            "what a visit grants is not counted in its period",
            "if score >= moment then slot.counts[moment] = slot.counts[moment] + cost end",
            "",
        ),
        ("a budget is used at once", "l.slow_last + l.slow_gap > start then", "l.slow_last > start then"),
        ("values are kept for ever", "      redis.call('PEXPIRE', slot.log, ends)\n", ""),
        (
            "a value's future is believed after a step of the clock",
            "redis.call('ZREMRANGEBYSCORE', slot.log, '(' .. text(now + HORIZON + l.lapse), '+inf')",
            "",
        ),
        ("a clock that is set leaves the past where it was", "kept[i + 1] + later,", "kept[i + 1] + 0,"),
        (
            "a clock that is set brings all of the past back",
            "math.min(kept[i + 1] + later, now + HORIZON + l.lapse)",
            "now + HORIZON + l.lapse",
        ),
        ("the first of the limits decides", "if earliest > start or not binding then", "if not binding then"),
        (
            "a dear request is entered as a cheap one",
            "return cost == 1 and id or id .. '*' .. text(cost)",
            "return id",
        ),
        ("what becomes of a dear request is not found", "entry_of(id, report[i + 1])", "entry_of(id, 1)"),
        ("reports go to the first limit alone", "for i = 4, #report, 2 do", "for i = 4, math.min(4, #report), 2 do"),
        (
            "nothing is left to a dear request",
            "if each[1] < l.since and each[2] > 1 then l.reserve",
            "if false then l.reserve",
        ),
        (
            "a longer window of values knows all at once",
            "if l.family and l.keep > kept and kept > 0 then l.known = now end",
            "",
        ),
        (
            "a shorter pause of a value cuts a longer one short",
            "if number > 0 and now + number > tonumber(redis.call('GET', slot.pause) or 0) then",
            "if number > 0 then",
        ),
        (
            "one budget quickens what another has slowed",
            "if now >= l.slow_until or apart > l.slow_gap then",
            "if true then",
        ),
        ("what never fits holds up the others", "full[slot] = reason ~= 'too much' or nil", "full[slot] = true"),
        ("flights of one visit are not counted", "    slot.held = slot.held + 1\n", ""),
    ),
    *_of(
        "flows/limit/places.py",
        SETS,
        ("together they allow as if all were cheap", "max(1, units // max(1, cost))", "units"),
    ),
    *_of(
        "flows/limit/calendar.py",
        SETS,
        ("days are those of Greenwich", 'ZoneInfo(zone or "UTC")', 'ZoneInfo("UTC")'),
    ),
    *_of(
        "flows/limit/waiting.py",
        PERMITS,
        ("a value that was paused meanwhile is granted", "if place.value}", "if not place}"),
    ),
    *_of(
        "flows/limit/permit.py",
        PERMITS,
        ("void permits are written", "if self._generation != self._issuer.generation:", "if self._generation < 0:"),
        ("stale permits are written", "self._granted + self._issuer.fresh_seconds:", "self._granted + 1000:"),
        ("permits are written before their start", "if now < self.start:", "if now < self.start - 1:"),
        (
            "a lost answer frees the slot",
            '            self._fate = "lost"\n',
            '            self._fate = "lost"\n            self._issuer.report("a", self)\n',
        ),
        (
            "a request that is given up late is not held anew",
            '            self._issuer.report("g", self)\n',
            "",
        ),
        ("a refused permit is not handed back", "if not self._checked:\n", "if self._checked:\n"),
    ),
    *_of(
        "flows/limit/asker.py",
        PERMITS,
        (
            "permits of a lost reply are kept",
            "for number, places in enumerate(asked.places, first)",
            "for number, places in enumerate((), first)",
        ),
        (
            "a latch leaves the waiters waiting",
            "                self.waiting.fail(partial(latched, *latch))",
            "                pass",
        ),
        ("Redis away for ever", "if now - self._failing_since > self._give_up:", "if now < 0:"),
        ("a clock step leaves permits valid", '            self._share.void("Redis\'s clock was set")\n', ""),
        ("reports of a failed visit are lost", "            self._reports.extendleft(reversed(reports))\n", ""),
    ),
    *_of(
        "flows/limit/limit.py",
        PERMITS,
        ("a pause elsewhere leaves permits valid", 'if event in ("pause", "latch"):', 'if event == "latch":'),
    ),
    *_of(
        "flows/limit/script.py",
        RULE,
        ("a crash is said to lose nothing", '"everysec": 5}', '"everysec": 0}'),
        (
            "late requests are held for no grace",
            "round(hold_seconds(terms) * MICRO),  #",
            "round(terms.max_timeout_seconds * MICRO),  #",
        ),
    ),
    *_of(
        "flows/limit/clock.py",
        RULE,
        ("a clock set back is within bounds", " or high < self._low - _TOLERANCE:", ":"),
        ("a clock set forward is within bounds", "if low > self._high + _TOLERANCE or high", "if high"),
    ),
    *_of(
        "flows/limit/clock.py",
        ("unit/test_clock_guard.py",),
        (
            "of two steps the last one counts",
            "self._low if self._unset is None else self._unset - drift",
            "self._low",
        ),
        (
            "a step that was told counts again",
            '"""Redis knows of the steps so far."""\n        self._unset = None',
            '"""Redis knows of the steps so far."""',
        ),
    ),
    *_of(
        "flows/limit/pace.py",
        ("unit/test_pace.py",),
        (
            "the worst window is one short",
            "while self._last[0] <= at - self._width:",
            "while self._last[0] <= at - self._width / 2:",
        ),
        ("the guaranteed rate forgets the round trip", "requests / (width + held)", "requests / width"),
    ),
    *_of(
        "flows/limit/stops.py",
        ("limit/test_stops.py", "limit/test_limiter.py"),
        (
            "a pause that is over is kept for ever",
            'if kept["kind"] == "p" and left <= 0:',
            'if kept["kind"] == "p" and left <= -1e9:',
        ),
        ("a stop is forgotten on disk only", "            path.unlink(missing_ok=True)", "            pass"),
    ),
]

LEDGERS = [
    *_of(
        "flows/ledger/ledger.lua",
        LEDGER,
        (
            "an old epoch claims",
            "if tonumber(field('epoch')) ~= epoch then\n    return {'superseded'}",
            "if not epoch then\n    return {'superseded'}",
        ),
        ("a cancelled run claims", "elseif field('cancel') ~= '' then", "elseif field('cancel') == '0' then"),
        ("counters do not move", "      redis.call('HINCRBY', run, state, delta)\n", ""),
        ("the index keeps rows that left", "':is:' .. from, rec.row - 1, 0)", "':is:' .. from, rec.row - 1, 1)"),
        (
            "an older claim's outcome is taken",
            "rec.epoch > epoch or rec.epoch == epoch and rec.serial > serial",
            "rec.epoch > epoch",
        ),
        ("an old epoch's outcome is refused", "elseif not newer then", "elseif same then"),
        ("the deliverer's own rows are settled", "if rec.epoch < epoch and move('settle'", "if move('settle'"),
        (
            "rows are settled while they may be answered",
            "':sending', '-inf', now, 'LIMIT'",
            "':sending', '-inf', '+inf', 'LIMIT'",
        ),
        (
            "doubt is forgotten with the next claim",
            "rec.state == 'unknown' or rec.doubt and (rec.state == 'sending' or rec.state == 'waiting')",
            "rec.state == 'unknown'",
        ),
        ("one request sends a row again and again", "if rec.request < request and move('resend'", "if move('resend'"),
        ("failed rows keep their key", "rec.generation, rec.at = rec.generation + 1, 0", "rec.at = 0"),
        ("unknown rows get a new key", "      if failed then\n", "      if true then\n"),
        ("keys never expire", "ticks(now) - rec.at < idempotency / 10 then", "true then"),
        ("a parcel goes in parts", "if whole and rec.event and move(", "if rec.event and move("),
        ("rows in doubt go in any parcel", "elseif rec.doubt and went_in(rec) ~= parcel and", "elseif false and"),
        ("a lease keeps nobody out", "if left > 0 and left <=", "if left > 1e15 and left <="),
        ("a lease outlasts a step of the clock", "left <= (tonumber(field('leased')) or left)", "left <= left"),
        (
            "a claim that comes after its outcome is granted",
            "elseif same and (rec.state == 'waiting' or rec.state == 'unknown') then",
            "elseif same and rec.state == 'none' then",
        ),
        (
            "a take-over keeps the epoch",
            "redis.call('HINCRBY', run, 'epoch', 1)",
            "redis.call('HINCRBY', run, 'epoch', 0)",
        ),
        ("back-off is ignored", "and not rec.doubt and rec.at > ticks(now) then", "and rec.at < 0 then"),
        ("rejections need not add up", "if found ~= tonumber(rejected) then", "if not found then"),
        ("rows lie one further", "math.floor((row - 1) / 100), (row - 1) % 100", "math.floor(row / 100), row % 100"),
        ("marked rows become failed", "judge('mark', 'done', detail, ...)", "judge('mark', 'failed', detail, ...)"),
        (
            "an attempt without effect ends the doubt",
            "if rec.doubt and values[9] == 1 and",
            "if rec.doubt and values[9] == 2 and",
        ),
        ("requests are counted twice", "sent[at] = (sent[at] or 0) + 1", "sent[at] = (sent[at] or 0) + 2"),
        (
            "a new check keeps old rejections",
            "redis.call('DEL', run .. ':is:rejected', run .. ':samples')",
            "redis.call('DEL', run .. ':samples')",
        ),
        ("totals may be set twice", "elseif (tonumber(field('total')) or 0) > 0 then", "elseif false then"),
        (
            "the time of a doubtful row's key begins anew",
            "serial, rec.doubt and rec.at or ticks(now)",
            "serial, ticks(now)",
        ),
    ),
    *_of(
        "flows/ledger/moves.py",
        LEDGER,
        (
            "done rows may be sent again",
            '"resend": {F: frozenset({W}),',
            '"resend": {D: frozenset({W}), F: frozenset({W}),',
        ),
        ("what waits in an old ledger is sent", '"restored": {W: frozenset({U})}', '"restored": {U: frozenset({U})}'),
    ),
    *_of(
        "flows/delivery/journal.py",
        ("delivery/test_journal.py",),
        ("half a line stays", "                    file.truncate(whole)\n", "                    pass\n"),
        (
            "parts are left out",
            "for path in (self.path, *self._parts) if path.exists()",
            "for path in (self.path,) if path.exists()",
        ),
    ),
    *_of(
        "flows/ledger/backup_guard.py",
        ("ledger/test_restored.py",),
        ("a restored ledger is not noticed", "int(count or 0) < remembered.get", "-1 > remembered.get"),
        ("one number is remembered for all ledgers", "known = self._remembered()\n", "known = {}\n"),
    ),
    *_of(
        "flows/restored.py",
        ("ledger/test_restored.py",),
        ("a ledger is doubted again and again", "        turn(client)\n", ""),
        ("limits trust a restored ledger", "            distrust(client, name)\n", "            pass\n"),
    ),
]

CLIENTS = [
    *_of(
        "flows/client/answer.py",
        ANSWER,
        ("a redirect is no refusal", "if 300 <= status < 400:", "if 300 <= status < 302:"),
        ("409 fails the row", "if status == 409 and (", "if status == 499 and ("),
        (
            "5xx fails the row",
            'return Reply(RowState.UNKNOWN, f"{said}; it may',
            'return Reply(RowState.FAILED, f"{said}; it may',
        ),
        (
            "secrets are masked after the cut",
            "text = clean(mask(text))",
            "text = clean(mask(text[:most]))",
        ),
        ("HTML bans nobody", "excerpt=excerpt, ban=definition.ban.html)", "excerpt=excerpt, ban=False)"),
        (
            "another 2xx is success",
            "if 200 <= status < 300:\n        reason",
            "if 200 <= status < 201:\n        reason",
        ),
    ),
    *_of(
        "flows/client/pause.py",
        ANSWER,
        ("a date is read by our clock", 'return moment_of(headers.get("date", "")) or now', "return now"),
        ("pauses without end", "min(seconds, MAX_PAUSE_SECONDS) if seconds", "seconds if seconds"),
        ("milliseconds read as seconds", "((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e9, 1.0))", "((1e9, 1.0),)"),
    ),
    *_of(
        "flows/client/breakage.py",
        ANSWER,
        (
            "a lost answer is a failed row",
            'return Reply(RowState.UNKNOWN, f"{words}; the API may',
            'return Reply(RowState.FAILED, f"{words}; the API may',
        ),
        ("what cannot be sent is tried for ever", "if isinstance(exc, ValueError) and not", "if wrote and not"),
        (
            "nothing written is unknown",
            'return Reply(RowState.WAITING, f"{words}; nothing',
            'return Reply(RowState.UNKNOWN, f"{words}; nothing',
        ),
    ),
    *_of(
        "flows/client/retry.py",
        ("unit/test_retry.py",),
        ("one attempt more", "outcome.again and attempts < most:", "outcome.again and attempts <= most:"),
        ("tried beyond the time", "if elapsed_seconds + wait <= most_seconds:", "if True:"),
        ("rows wait for ever", "if outcome.state is RowState.WAITING:", "if outcome.state is RowState.SENDING:"),
        ("no jitter", "rng.uniform(0, min(", "max(0, min("),
        ("an expired token is one row's trouble", "(401, 403, 404, ", "(403, 404, "),
        ("a quota that is used up is one row's trouble", "404, 408, 425, 429)", "404, 408, 425)"),
    ),
    *_of(
        "flows/client/client.py",
        CLIENT,
        ("bodies of any length", "if len(body) > most:", "if len(body) < 0:"),
        ("bodies that never end", "asyncio.timeout(seconds), aclosing", "asyncio.timeout(None), aclosing"),
        (
            "heads that never end",
            "until = min(permit.deadline, permit.start + seconds)",
            "until = permit.deadline + 60",
        ),
        (
            "a gateway's answer frees the slot",
            "at_edge = response.status_code in GATEWAY_STATUSES and not definition.counts_at_edge",
            "at_edge = False",
        ),
        (
            "a cancelled attempt keeps its permit",
            "            current.give_up()\n            raise",
            "            raise",
        ),
        (
            "a dead connection fails the attempt",
            "if current.wrote or not current.hung_up or not left:",
            "if current.hung_up or current.wrote or not left:",
        ),
    ),
    *_of(
        "flows/client/transport.py",
        (*CLIENT, "limit/test_partition.py"),
        (
            "the kernel sends after a close",
            "    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP_UNSENT)\n",
            "",
        ),
        (
            "the kernel sends for a frozen process",
            "        sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, max(1, int(seconds * 1000)))\n",
            "        pass\n",
        ),
        (
            "what had been said before is taken for the answer",
            "if transport is None or not isinstance(protocol, tolerant.Protocol) or _is_useless(connection):",
            "if transport is None or not isinstance(protocol, tolerant.Protocol):",
        ),
        (
            "a header may hold a second one",
            'head.count(b"\\n") != len(lines) - 1 or head.count(b"\\r") != len(lines) - 1 or',
            "len(lines) == 0 or",
        ),
        ("the permit is not asked", "            self.permit.check()\n", "            pass\n"),
        ("what has come at once may be of any length", "content.total_bytes > most:", "content.total_bytes < 0:"),
        (
            "a lost request is called unused",
            "        if self.wrote:\n            self.permit.lost()",
            "        if not self.wrote:\n            self.permit.lost()",
        ),
    ),
    *_of(
        "flows/client/request.py",
        ("unit/test_answer.py", "client/test_client.py"),
        ("the key forgets the generation", "(run, row.row, generation, row.values)", "(run, row.row, row.values)"),
        ("credentials are shown", "if name.lower() not in _CREDENTIALS:", "if name not in _CREDENTIALS or True:"),
    ),
]

SCHEMAS = [
    *_of(
        "flows/schema/schema.py",
        SCHEMA,
        ("pandera's cases are dropped", "        cases += found\n        if unread:", "        if unread:"),
        (
            "other cells of an unreadable row are not looked at",
            "            cases += self._by_column(frame.loc[unread], columns)",
            "            pass",
        ),
        (
            "repeated rows are accepted",
            '            good = good.drop(index=[at for at, _, _ in repeated], errors="ignore")\n',
            "",
        ),
        (
            "two columns are unique by the first",
            "for row in zip(*texts, strict=True)]",
            "for row in zip(list(texts)[0])]",
        ),
    ),
    *_of(
        "flows/schema/unique.py",
        SCHEMA,
        (
            "unique within a frame only",
            'if self.write("INSERT OR IGNORE INTO seen',
            'self.write("DELETE FROM seen WHERE ?", [(1,)])\n        if self.write("INSERT OR IGNORE INTO seen',
        ),
        (
            "long values are equal by their beginning",
            "value if len(value) <= SHORT else hashlib.sha256(value.encode()).digest()",
            "value[:SHORT]",
        ),
        ("the wrong earlier line", "found[at] = int(first)", "found[at] = int(first) + 1"),
    ),
    *_of(
        "flows/schema/cell.py",
        SCHEMA,
        ("infinity is a price", "pc.invert(pc.is_finite(numbers))", "pc.is_nan(numbers)"),
        (
            "empty cells are let through",
            "    if not how.null and how.default is None:\n",
            "    if how.null and how.default is None:\n",
        ),
        (
            "offsets are not asked for",
            "    if how.zoned is not None:\n",
            "    if how.zoned is None and kind is None:\n",
        ),
        ("numbers with underscores", r'rf"\A({shape})\z"', r'rf"\A({shape})"'),
    ),
    *_of(
        "flows/pipeline/outgoing.py",
        OUTGOING,
        (
            "an offset is ignored",
            "if value.tzinfo else value.replace(tzinfo=UTC)",
            "if not value else value.replace(tzinfo=UTC)",
        ),
        ("an empty text is no empty cell", 'if value is None or value == "" else', "if value is None else"),
        (
            "an emptied object stays",
            "return made if made or self.stays else _GONE\n\n\n@dataclass(frozen=True, slots=True)\nclass SparseList",
            "return made\n\n\n@dataclass(frozen=True, slots=True)\nclass SparseList",
        ),
        ("an empty body is nothing", "return replace(body, stays=True)", "return body"),
        ("a parameter with more in it is left out", 'if name.find("=") == len(name) - 1:', "if name:"),
    ),
    *_of(
        "dashboard/files/template.py",
        TEMPLATE,
        ("a template is not tried", "if row and _is_accepted(made, definition) else", "if row else"),
        ("examples are not judged", " and not said_of(column, text)", ""),
    ),
    *_of(
        "flows/pipeline/judge.py",
        SCHEMA,
        ("yes is false", '("true", "t", "yes", "1")', '("true", "t", "1")'),
        ("one number too many", "INT64 = range(-(2**63), 2**63)", "INT64 = range(-(2**63), 2**63 + 1)"),
    ),
    *_of(
        "flows/source/quoting.py",
        SOURCE,
        (
            "lines are one too high",
            "Batch(list(range(line, line + len(cells))), cells)",
            "Batch(list(range(line + 1, line + 1 + len(cells))), cells)",
        ),
        (
            "a quoted line break is not counted",
            "batch.lines.append(line + begin)",
            "batch.lines.append(line + len(batch.cells))",
        ),
        (
            "an open quote at the end is a cell",
            "        if self._is_open(raw):\n            raise self._unclosed(raw, line)\n",
            "",
        ),
    ),
    *_of(
        "flows/source/frame.py",
        SOURCE,
        ("short rows are filled up", "if len(record) != self._width:", "if len(record) > self._width:"),
        (
            "row numbers from 0",
            "range(self.row + 1, self.row + 1 + len(lines))",
            "range(self.row, self.row + len(lines))",
        ),
        (
            "blank lines are no rows",
            "            yield from self._reject_held()\n            wrong",
            "            self._pending = []\n            wrong",
        ),
    ),
]

ANSWERS = [
    *_of(
        "flows/pipeline/rules.py",
        ("unit/test_rules.py", "unit/test_items.py"),
        ("bans are any rule's", "if guarded and not rule.names(said.status):", "if False:"),
        ("what cannot be read fits no condition", "                raise Unreadable\n", "                continue\n"),
        ("no JSON fits what is negated", "if said.value is not NO_JSON and holds(", "if holds("),
        (
            "items are asked for 2xx",
            "if not (self.of_items or 200 <= said.status < 300):",
            "if not 200 <= said.status < 300:",
        ),
        ("milliseconds are seconds", "return number / 1000 if number > 1e11 else number", "return number"),
    ),
    *_of(
        "flows/client/items.py",
        ("unit/test_items.py",),
        ("a list of another length", "or len(items) != len(values):", "or len(items) < len(values):"),
        ("strangers are no matter", "            stray += not places or None in places\n", ""),
        ("negative places", "if whole and 0 <= at < size", "if whole and at < size"),
        ("the best of several counts", "    worst = min(outcomes", "    worst = max(outcomes"),
        ("the first of two rows alike", "places[0] if len(places) == 1 else None", "places[0] if places else None"),
        ("no rule means done", 'reply.by_rule is None or reply.by_rule.means != "items":', "True:"),
    ),
    *_of(
        "flows/client/exchange.py",
        ("unit/test_steps.py",),
        ("steps: each with the row's key", 'f"{key}:{step}".encode()', "key.encode()"),
        ("steps: nothing has to fit", "if not fitted and any(", "if False and any("),
        (
            "steps: from the beginning again",
            "range(begun.next, len(compiled.steps))",
            "range(0, len(compiled.steps))",
        ),
        ("steps: an answered write is not noted", "if step.is_write and at + 1 <", "if False and at + 1 <"),
        ("steps: reads are writes", "reads=not each.step.is_write", "reads=False"),
    ),
    *_of(
        "flows/delivery/packing.py",
        ("unit/test_packing.py",),
        ("a comma too many", "-1 if self._merges else 1", "-1 if self._merges else 2"),
        ("rows alike travel together", "or known.intersection(names))", "or False)"),
        ("rows of one key travel together", "        if self._held:\n", "        if False:\n"),
        ("a row without part takes others with it", "return max(1, count)", "return count + 1"),
    ),
    *_of(
        "flows/delivery/splitting.py",
        ("unit/test_splitting.py",),
        ("a quarter at a time", "half = (len(tickets) + 1) // 2", "half = (len(tickets) + 3) // 4"),
        ("rows that are held are lost", "    return Next(loose=job.apart)\n", "    return Next()\n"),
        ("held rows travel in between", "return _inside(job.others, held=job.held)", "return Next(loose=job.apart)"),
        (
            "a refused half forgets what is held",
            "_inside(job.tickets, held=job.apart)",
            "_inside(job.tickets, held=[])",
        ),
    ),
    *_of(
        "flows/ledger/ledger.lua",
        ("ledger/test_parcels_and_steps.py",),
        ("steps: a read leaves doubt", "epoch == rec.epoch and serial == rec.serial and open == 1", "true"),
        ("steps: a write leaves none", "epoch == rec.epoch and serial == rec.serial and open == 1", "false"),
        ("a broken parcel is never sent", "and not (rec.state == 'waiting' and is_broken(rec)) then", "then"),
        ("keys: anybody's", "if not raw or string.byte(raw) % DOUBT ~= CODES.sending then", "if true then"),
        ("keys: one a parcel", "      rec.digest = next_key()\n", "      rec.digest = #recs == 0 and next_key()\n"),
        ("parcels of earlier claims stay", "old ~= name and went_in(first) == parcel then", "false then"),
        ("parcels that rows still have go", "old ~= name and went_in(first) == parcel then", "old ~= name then"),
        ("keys: never let go", "      release(rec.row)\n", ""),
        ("resolve: of any claim", "if rec.epoch == item[2] and rec.serial == item[3] and move(", "if move("),
    ),
]
ALL = (*LIMIT, *LEDGERS, *CLIENTS, *SCHEMAS, *ANSWERS, *ACCESS, *COURSES, *FILES)
