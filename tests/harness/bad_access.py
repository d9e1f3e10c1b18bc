"""Bad rights of secrets and bad proxies, each with the exact message that a person gets."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_BASE = """\
name: own
columns:
  id: {type: int}
  title: {type: str}
limit: {name: own, requests: 7, window_seconds: 1}
"""
_ROWS = 'request: {url: "https://api.example.com/rows", headers: {Authorization: "Bearer ${secret:TOKEN}"}}'


@dataclass(frozen=True, slots=True)
class Access:
    """A definition, what lies in the folder of secrets, the environment, and what is said of it."""

    what: str
    parts: tuple[str, ...]
    said: str
    files: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The definition."""
        return _BASE + "".join(f"{part}\n" for part in self.parts)


_PLAIN = 'request: {url: "https://api.example.com/rows"}'
_ADD = "if that is meant, whoever keeps the secrets writes the line"
ACCESS = [
    Access(
        "a secret in a header of another host",
        (_ROWS,),
        f"own.yaml:6: request.headers.Authorization: the secret TOKEN may not go to api.example.com, only to crm.example.org; {_ADD} api.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "crm.example.org\n"},
    ),
    Access(
        "a secret in the path of another host",
        ('request: {url: "https://api.example.com/${secret:TOKEN}/rows"}',),
        f"own.yaml:6: request.url: the secret TOKEN may not go to api.example.com, only to crm.example.org, *.crm.example.org; {_ADD} api.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "crm.example.org  # ours\n\n# and what belongs to it\n*.crm.example.org\n"},
    ),
    Access(
        "a secret in a body for another host",
        ('request: {url: "http://API.example.com.:8080/rows", json: {id: "{id}", token: "${secret:TOKEN}"}}',),
        f"own.yaml:6: request.json.token: the secret TOKEN may not go to api.example.com, only to *.api.example.com; {_ADD} api.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "*.api.example.com\n"},
    ),
    Access(
        "a secret that goes nowhere",
        (_ROWS,),
        f"own.yaml:6: request.headers.Authorization: the secret TOKEN may not go to api.example.com, only to no host at all; {_ADD} api.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "# nobody yet\n"},
    ),
    Access(
        "a secret whose hosts are an address",
        (_ROWS,),
        "own.yaml:6: request.headers.Authorization: the secret TOKEN goes nowhere, since its hosts cannot be read: secrets/TOKEN.hosts:2: 'https://api.example.com/' is no host; write one such as api.example.com, or *.example.com",
        {"TOKEN": "t", "TOKEN.hosts": "crm.example.org\nhttps://api.example.com/\n"},
    ),
    Access(
        "a secret for every host",
        (_ROWS,),
        "own.yaml:6: request.headers.Authorization: the secret TOKEN goes nowhere, since its hosts cannot be read: secrets/TOKEN.hosts:1: '*' is no host; write one such as api.example.com, or *.example.com",
        {"TOKEN": "t", "TOKEN.hosts": "*\n"},
    ),
    Access(
        "a secret of a step's other host",
        (
            "steps:",
            '  - {name: find, request: {method: GET, url: "https://api.example.com/q?id={id}", headers: {Authorization: "Bearer ${secret:TOKEN}"}}}',
            '  - {name: tell, request: {url: "https://log.example.net/rows", json: {by: "${secret:TOKEN}"}}}',
        ),
        f"own.yaml:8: steps[1].request.json.by: the secret TOKEN may not go to log.example.net, only to api.example.com; {_ADD} log.example.net into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "api.example.com\n"},
    ),
    Access(
        "a secret of an undo elsewhere",
        (
            _ROWS,
            'undo: {request: {method: DELETE, url: "https://old.example.com/{id}", headers: {X-Key: "${secret:TOKEN}"}}}',
        ),
        f"own.yaml:7: undo.request.headers.X-Key: the secret TOKEN may not go to old.example.com, only to api.example.com; {_ADD} old.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "api.example.com\n"},
    ),
    Access(
        "a secret of a question elsewhere",
        (
            _ROWS,
            'reconcile: {request: {method: GET, url: "https://q.example.com/{id}?k=${secret:TOKEN}"}, answers: [{status: 200, means: done}]}',
        ),
        f"own.yaml:7: reconcile.request.url: the secret TOKEN may not go to q.example.com, only to api.example.com; {_ADD} q.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "api.example.com\n"},
    ),
    Access(
        "a secret in a row's part of a batch",
        (
            'request: {url: "https://api.example.com/rows"}',
            'batch: {rows: 9, each: {id: "{id}", by: "${secret:TOKEN}"}}',
        ),
        f"own.yaml:7: batch.each.by: the secret TOKEN may not go to api.example.com, only to crm.example.org; {_ADD} api.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "crm.example.org\n"},
    ),
    Access(
        "a secret of an inbox elsewhere",
        (
            'request: {url: "https://api.example.com/rows"}',
            'schedules: [{interval_seconds: 60, inbox: "https://me:${secret:TOKEN}@files.example.com/in.csv"}]',
        ),
        f"own.yaml:7: schedules[0].inbox: the secret TOKEN may not go to files.example.com, only to crm.example.org; {_ADD} files.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "crm.example.org\n"},
    ),
    Access(
        "a secret of the environment for another host",
        (_ROWS,),
        "own.yaml:6: request.headers.Authorization: the secret TOKEN may not go to api.example.com, only to crm.example.org, *.example.net; if that is meant, whoever keeps the secrets adds TOKEN=api.example.com to ROWRELAY_SECRET_HOSTS",
        environ={"TOKEN": "t", "ROWRELAY_SECRET_HOSTS": "TOKEN=crm.example.org,*.example.net OTHER=a.example"},
    ),
    Access(
        "hosts of the environment without a secret",
        (_ROWS,),
        "ROWRELAY_SECRET_HOSTS: Value error, api.example.com does not say NAME=HOST,HOST (found 'api.example.com')",
        environ={"TOKEN": "t", "ROWRELAY_SECRET_HOSTS": "api.example.com"},
    ),
    Access(
        "an address as a host of the environment",
        (_ROWS,),
        "ROWRELAY_SECRET_HOSTS: 'https://api.example.com' is no host; write one such as api.example.com, or *.example.com",
        environ={"TOKEN": "t", "ROWRELAY_SECRET_HOSTS": "TOKEN=https://api.example.com"},
    ),
    Access(
        "a SOCKS proxy",
        (_PLAIN, 'proxy: "socks5://127.0.0.1:1080"'),
        "own.yaml:7: proxy: SOCKS is not supported; put an HTTP proxy in front of it (privoxy does that), or run Rowrelay on a machine that reaches the API directly",
    ),
    Access(
        "a proxy by TLS",
        (_PLAIN, 'proxy: "https://proxy.example.com:3128"'),
        "own.yaml:7: proxy: the way to a proxy is plain HTTP; write http:// (a request to https://… is encrypted inside, up to the API)",
    ),
    Access(
        "a proxy without a scheme",
        (_PLAIN, 'proxy: "proxy.example.com:3128"'),
        "own.yaml:7: proxy: must be http://HOST:PORT or environment (found 'proxy.example.com:3128'); did you mean http://proxy.example.com:3128?",
    ),
    Access(
        "a proxy by another word",
        (_PLAIN, 'proxy: "env"'),
        "own.yaml:7: proxy: must be http://HOST:PORT or environment (found 'env'); did you mean `environment`?",
    ),
    Access(
        "a proxy without a port",
        (_PLAIN, 'proxy: "http://proxy.example.com"'),
        "own.yaml:7: proxy: names no port; write http://proxy.example.com:3128, with the port of your proxy",
    ),
    Access(
        "a proxy of an impossible port",
        (_PLAIN, 'proxy: "http://proxy.example.com:70000"'),
        "own.yaml:7: proxy: is no address of a proxy; write http://HOST:PORT",
    ),
    Access(
        "a proxy with a path",
        (_PLAIN, 'proxy: "http://proxy.example.com:3128/pac"'),
        "own.yaml:7: proxy: is the address of a proxy, with nothing behind the port",
    ),
    Access(
        "a password of a proxy in the open",
        (_PLAIN, 'proxy: "http://me:hunter2@proxy.example.com:3128"'),
        "own.yaml:7: proxy: has a password in it, which would be stored and shown; write ${secret:NAME} in its place",
    ),
    Access(
        "a password of a proxy and no scheme",
        (_PLAIN, 'proxy: "me:hunter2@proxy.example.com:3128"'),
        "own.yaml:7: proxy: must be http://HOST:PORT or environment",
    ),
    Access(
        "half a password of a proxy in the open",
        (_PLAIN, 'proxy: "http://me:${secret:PW}x@proxy.example.com:3128"'),
        "own.yaml:7: proxy: has a password in it, which would be stored and shown; write ${secret:NAME} in its place",
    ),
    Access(
        "a user of a proxy without a password",
        (_PLAIN, 'proxy: "http://me@proxy.example.com:3128"'),
        "own.yaml:7: proxy: names a user without a password; write http://${secret:USER}:${secret:PASSWORD}@HOST:PORT",
    ),
    Access(
        "a secret in the host of a proxy",
        (_PLAIN, 'proxy: "http://${secret:PROXY}:3128"'),
        "own.yaml:7: proxy: a secret may stand in its user and password, not in its host",
    ),
    Access(
        "a proxy by a column",
        (_PLAIN, 'proxy: "http://{title}:3128"'),
        "own.yaml:7: proxy: is the same for all rows: there are no placeholders in it but ${secret:NAME}",
    ),
    Access(
        "a password of a proxy from the environment",
        (_PLAIN, 'proxy: "http://me:${PROXY_PW}@proxy.example.com:3128"'),
        "own.yaml:7: proxy: has a password in it, which would be stored and shown; write ${secret:NAME} in its place",
        environ={"PROXY_PW": "hunter2"},
    ),
    Access(
        "no proxy, by a truth value",
        (_PLAIN, "proxy: false"),
        "own.yaml:7: proxy: must be text; put it in quotes (found false)",
    ),
    Access(
        "proxies in place of a proxy",
        (_PLAIN, "proxies: {https: 'http://p:1'}"),
        "own.yaml:7: proxies: write it at the top of the definition: proxy: http://HOST:PORT, or proxy: environment",
    ),
    Access(
        "a secret of a proxy for another host",
        (_PLAIN, 'proxy: "http://me:${secret:TOKEN}@proxy.example.com:3128"'),
        f"own.yaml:7: proxy: the secret TOKEN may not go to proxy.example.com, only to api.example.com; {_ADD} proxy.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "api.example.com\n"},
    ),
    Access(
        "what remains, but not until when",
        (_PLAIN, "slow_by: {remaining: X-Left}"),
        "own.yaml:7: slow_by.reset: is missing; what remains and until when go together",
    ),
    Access(
        "until when, but not what remains",
        (_PLAIN, "slow_by: {reset: X-Reset}"),
        "own.yaml:7: slow_by.remaining: is missing; what remains and until when go together",
    ),
    Access(
        "an expression in place of a header",
        (_PLAIN, 'slow_by: {remaining: "header:X-Left", reset: X-Reset}'),
        "own.yaml:7: slow_by.remaining: is no header name; letters, digits and hyphens (found 'header:X-Left')",
    ),
    Access(
        "one header for both",
        (_PLAIN, "slow_by: {remaining: X-RateLimit, reset: x-ratelimit}"),
        "own.yaml:7: slow_by.reset: names the same header as `remaining`",
    ),
    Access(
        "headers in a list",
        (_PLAIN, "slow_by: [X-Left, X-Reset]"),
        "own.yaml:7: slow_by: must be standard, or {remaining: NAME, reset: NAME} with the names of two headers (found ['X-Left', 'X-Reset'])",
    ),
    Access(
        "a misspelt kind of header",
        (_PLAIN, "slow_by: {remain: X-Left, reset: X-Reset}"),
        "own.yaml:7: slow_by.remain: unknown key; did you mean `remaining`?",
    ),
    Access(
        "a secret by plain http, where its hosts are named",
        ('request: {url: "http://api.example.com/rows"}', 'auth: {bearer: "${secret:TOKEN}"}'),
        "own.yaml:7: auth.bearer: the secret TOKEN, whose hosts are named, may not go to api.example.com by http://, which everybody on the way can read; write https://",
        {"TOKEN": "t", "TOKEN.hosts": "api.example.com\n"},
    ),
    Access(
        "a secret by plain http, through a proxy that is none of its hosts",
        (
            'request: {url: "http://localhost/rows"}',
            'auth: {bearer: "${secret:TOKEN}"}',
            'proxy: "http://proxy.example.org:3128"',
        ),
        f"own.yaml:7: auth.bearer: by the proxy, the secret TOKEN may not go to proxy.example.org, only to localhost; {_ADD} proxy.example.org into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "localhost\n"},
    ),
    Access(
        "a token of a server that its client's secret may go to, for another host",
        (
            _PLAIN,
            'auth: {oauth2: {grant: client_credentials, token_url: "https://login.example.com/token", client_id: a, client_secret: "${secret:TOKEN}"}}',
        ),
        f"own.yaml:7: auth.oauth2.client_secret: the secret TOKEN may not go to api.example.com, only to login.example.com; {_ADD} api.example.com into secrets/TOKEN.hosts",
        {"TOKEN": "t", "TOKEN.hosts": "login.example.com\n"},
    ),
]
