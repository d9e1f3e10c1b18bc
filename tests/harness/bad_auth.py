"""Bad `auth` parts, each with the exact message that a person gets."""

# ruff: noqa: E501  a message stands in one piece

from __future__ import annotations

_BASE = """\
name: own
columns:
  id: {type: int}
  title: {type: str}
request: {url: "https://api.example.com/rows"}
limit: {name: own, requests: 7, window_seconds: 1}
"""

# What is wrong, the definition, what is said of it.
AUTHS: list[tuple[str, str, str]] = [
    (
        "auth that says nothing",
        _BASE + "auth: {}",
        "own.yaml:7: auth: is empty; write one of oauth2, basic, bearer, login, certificate and hmac",
    ),
    (
        "two of those that exclude each other",
        _BASE + 'auth: {bearer: "${secret:T}", basic: {user: a, password: "${secret:P}"}}',
        "own.yaml:7: auth.bearer: write either `basic` or `bearer`, not both",
    ),
    (
        "oauth2 and basic",
        _BASE
        + 'auth: {basic: {user: a, password: "${secret:P}"}, oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}"}}',
        "own.yaml:7: auth.basic: write either `oauth2` or `basic`, not both",
    ),
    (
        "a login beside oauth2",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}"}, login: {request: {url: "https://api.example.com/login", json: {user: a, password: "${secret:P}"}}}}',
        "own.yaml:7: auth.login: goes beside basic, bearer, certificate or hmac, not beside oauth2",
    ),
    (
        "a token that may take longer than anything under the limit, and counts there",
        _BASE.replace("window_seconds: 1", "window_seconds: 1, max_timeout_seconds: 4")
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}", counts: true}}',
        "own.yaml:7: auth.oauth2.timeout_seconds: 10 is above the limit's max_timeout_seconds of 4; lower it, or raise that",
    ),
    (
        "a kind of auth that there is not",
        _BASE
        + 'auth: {oauth: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}"}}',
        'own.yaml:7: auth.oauth: OAuth2 is a part of its own beside `request`: auth: {oauth2: {grant: client_credentials, token_url: …, client_id: …, client_secret: "${secret:NAME}"}}',
    ),
    (
        "a token in the open",
        _BASE + "auth: {bearer: abc123}",
        "own.yaml:7: auth.bearer: must be ${secret:NAME}: what stands here is stored with every run, and shown",
    ),
    (
        "a token from the environment in the open",
        _BASE + 'auth: {bearer: "${API_TOKEN}"}',
        "own.yaml:7: auth.bearer: ${API_TOKEN} looks like a secret, and would be stored and shown as it is; write ${secret:API_TOKEN}, which is looked up in the same variable and shown nowhere",
    ),
    (
        "a password in the open",
        _BASE + "auth: {basic: {user: a, password: hunter2}}",
        "own.yaml:7: auth.basic.password: must be ${secret:NAME}: what stands here is stored with every run, and shown",
    ),
    (
        "a user with a colon",
        _BASE + 'auth: {basic: {user: "a:b", password: "${secret:P}"}}',
        "own.yaml:7: auth.basic.user: holds a colon, which would end it",
    ),
    (
        "a grant that there is not",
        _BASE + 'auth: {oauth2: {grant: implicit, token_url: "https://api.example.com/token"}}',
        "own.yaml:7: auth.oauth2.grant: 'implicit' is not possible; possible: client_credentials, refresh_token, jwt_bearer, password",
    ),
    (
        "no token_url",
        _BASE + 'auth: {oauth2: {grant: client_credentials, client_id: app, client_secret: "${secret:S}"}}',
        "own.yaml:7: auth.oauth2.token_url: is missing",
    ),
    (
        "a client secret in the open",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: abc}}',
        "own.yaml:7: auth.oauth2.client_secret: must be ${secret:NAME}: what stands here is stored with every run, and shown",
    ),
    (
        "a client secret from the environment in the open",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${CLIENT_SECRET}"}}',
        "own.yaml:7: auth.oauth2.client_secret: ${CLIENT_SECRET} looks like a secret, and would be stored and shown as it is; write ${secret:CLIENT_SECRET}, which is looked up in the same variable and shown nowhere",
    ),
    (
        "client credentials without a secret",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app}}',
        "own.yaml:7: auth.oauth2.client_secret: is missing; the grant client_credentials needs it",
    ),
    (
        "a password grant without a user",
        _BASE
        + 'auth: {oauth2: {grant: password, token_url: "https://api.example.com/token", password: "${secret:P}"}}',
        "own.yaml:7: auth.oauth2.user: is missing; the grant password needs it",
    ),
    (
        "a service account without a key",
        _BASE + 'auth: {oauth2: {grant: jwt_bearer, token_url: "https://api.example.com/token", issuer: me}}',
        "own.yaml:7: auth.oauth2.private_key: is missing; the grant jwt_bearer needs it",
    ),
    (
        "a refresh token of another grant",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}", refresh_token: "${secret:R}"}}',
        "own.yaml:7: auth.oauth2.refresh_token: is for the grant refresh_token, not for client_credentials",
    ),
    (
        "a refresh token in the open",
        _BASE
        + 'auth: {oauth2: {grant: refresh_token, token_url: "https://api.example.com/token", client_id: app, refresh_token: abc}}',
        "own.yaml:7: auth.oauth2.refresh_token: must be ${secret:NAME}: what stands here is stored with every run, and shown",
    ),
    (
        "a token address that is none",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "api.example.com/token", client_id: app, client_secret: "${secret:S}"}}',
        "own.yaml:7: auth.oauth2.token_url: must be an address with http:// or https:// and a fixed host, without user and password (found 'api.example.com/token')",
    ),
    (
        "a token address by row",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/{id}/token", client_id: app, client_secret: "${secret:S}"}}',
        "own.yaml:7: auth.oauth2.token_url: belongs to no row, so that it has no placeholders but secrets",
    ),
    (
        "a header without the token",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}", header: Bearer}}',
        'own.yaml:7: auth.oauth2.header: has no {token}, where the token would go; e.g. "Bearer {token}"',
    ),
    (
        "a header with another placeholder",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}", header: "Bearer {token} {id}"}}',
        "own.yaml:7: auth.oauth2.header: 'id' has no value here; possible: token",
    ),
    (
        "a client by basic without a secret",
        _BASE
        + 'auth: {oauth2: {grant: refresh_token, token_url: "https://api.example.com/token", client_id: app, client: basic}}',
        "own.yaml:7: auth.oauth2.client: is basic, which needs client_id and client_secret",
    ),
    (
        "an extra field that is written already",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}", extra: {client_id: other}}}',
        "own.yaml:7: auth.oauth2.extra.client_id: is written by Rowrelay itself; state it under oauth2",
    ),
    (
        "an extra field with a secret in the open",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}", extra: {api_key: abc}}}',
        "own.yaml:7: auth.oauth2.extra.api_key: looks like a secret, and would be stored and shown as it is; write ${secret:NAME}",
    ),
    (
        "a nested field in a form",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}", extra: {audience: {a: b}}}}',
        "own.yaml:7: auth.oauth2.extra.audience: a form field is text or a number; write body: json for nested values",
    ),
    (
        "a secret in a token's name",
        _BASE
        + 'auth: {oauth2: {grant: client_credentials, token_url: "https://api.example.com/token", client_id: app, client_secret: "${secret:S}", name: "${secret:N}"}}',
        "own.yaml:7: auth.oauth2.name: is shown to people, so that no secret can stand in it",
    ),
    (
        "an authorization that stands twice",
        _BASE
        + 'auth: {bearer: "${secret:T}"}\nundo: {request: {method: DELETE, url: "https://api.example.com/{id}", headers: {authorization: "x"}}}',
        "own.yaml:8: undo.request.headers.authorization: is set by auth.bearer already; leave one of the two out",
    ),
    (
        "a login with a column",
        _BASE + 'auth: {login: {request: {url: "https://api.example.com/login", json: {user: "{title}"}}}}',
        "own.yaml:7: auth.login.request.json.user: 'title' has no value here: it goes before the first row; only secrets may stand in it",
    ),
    (
        "a kept value that goes nowhere",
        _BASE
        + 'auth: {login: {request: {url: "https://api.example.com/login", json: {user: a, password: "${secret:P}"}}, keep: {csrf: "header:X-CSRF-Token"}}}',
        "own.yaml:7: auth.login.keep.csrf: goes nowhere; write {csrf} under auth.login.headers",
    ),
    (
        "a header of a login that nothing keeps",
        _BASE
        + 'auth: {login: {request: {url: "https://api.example.com/login", json: {user: a, password: "${secret:P}"}}, headers: {X-CSRF: "{csrf}"}}}',
        "own.yaml:7: auth.login.headers.X-CSRF: 'csrf' has no value here; there are none",
    ),
    (
        "a login that changes nothing",
        _BASE
        + 'auth: {login: {request: {url: "https://api.example.com/login", json: {user: a, password: "${secret:P}"}}, cookies: false}}',
        "own.yaml:7: auth.login: changes nothing: it has neither cookies nor headers",
    ),
    (
        "a session that every answer ends",
        _BASE
        + 'auth: {login: {request: {url: "https://api.example.com/login", json: {user: a, password: "${secret:P}"}}, expired_when: {}}}',
        "own.yaml:7: auth.login.expired_when: fits every answer; write a status, headers, or both",
    ),
    (
        "a login with a secret in the open",
        _BASE + 'auth: {login: {request: {url: "https://api.example.com/login", json: {password: "${PASSWORD}"}}}}',
        "own.yaml:7: auth.login.request.json.password: ${PASSWORD} looks like a secret, and would be stored and shown as it is; write ${secret:PASSWORD}, which is looked up in the same variable and shown nowhere",
    ),
    (
        "a certificate outside of the folder",
        _BASE + "auth: {certificate: {cert: /etc/ssl/me.pem}}",
        "own.yaml:7: auth.certificate.cert: must be the name of a file in ROWRELAY_SECRETS, without folders (found '/etc/ssl/me.pem')",
    ),
    (
        "a key of a certificate whose password is in the open",
        _BASE + "auth: {certificate: {cert: me.pem, password: abc}}",
        "own.yaml:7: auth.certificate.password: must be ${secret:NAME}: what stands here is stored with every run, and shown",
    ),
    (
        "a signature that goes nowhere",
        _BASE + 'auth: {hmac: {key: "${secret:K}", sign: "{body}"}}',
        "own.yaml:7: auth.hmac: must say where the signature goes: either `header` or `query`",
    ),
    (
        "a signature over what there is not",
        _BASE + 'auth: {hmac: {key: "${secret:K}", sign: "{url}", header: X-Sign}}',
        "own.yaml:7: auth.hmac.sign: 'url' has no value here; did you mean `query`?",
    ),
    (
        "a signature over nothing",
        _BASE + 'auth: {hmac: {key: "${secret:K}", sign: always, header: X-Sign}}',
        "own.yaml:7: auth.hmac.sign: is the same for every request; sign at least {body} or {path}",
    ),
    (
        "a timestamp that nobody is told",
        _BASE + 'auth: {hmac: {key: "${secret:K}", sign: "{timestamp}{body}", header: X-Sign}}',
        "own.yaml:7: auth.hmac.sign: has a timestamp that nobody is told; write timestamp_header or timestamp_query",
    ),
    (
        "a nonce that nobody is told",
        _BASE + 'auth: {hmac: {key: "${secret:K}", sign: "{nonce}{body}", header: X-Sign}}',
        "own.yaml:7: auth.hmac.sign: has a nonce that nobody is told; write nonce_header",
    ),
    (
        "a signature that is left out",
        _BASE + 'auth: {hmac: {key: "${secret:K}", sign: "{body}", header: X-Sign, value: v1}}',
        "own.yaml:7: auth.hmac.value: has no {signature}, where the signature would go",
    ),
    (
        "a key of a signature in the open",
        _BASE + 'auth: {hmac: {key: abc, sign: "{body}", header: X-Sign}}',
        "own.yaml:7: auth.hmac.key: must be ${secret:NAME}: what stands here is stored with every run, and shown",
    ),
    (
        "an algorithm that there is not",
        _BASE + 'auth: {hmac: {key: "${secret:K}", sign: "{body}", header: X-Sign, algorithm: md5}}',
        "own.yaml:7: auth.hmac.algorithm: 'md5' is not possible; possible: sha256, sha512, sha384, sha1",
    ),
    (
        "a poll at another host, that may or may not have the token",
        _BASE
        + 'auth: {bearer: "${secret:T}"}\nundo: {request: {method: DELETE, url: "https://other.example.org/rows/1"}}',
        "own.yaml:7: auth.hosts: is missing, as undo.request goes to another host; write hosts: [other.example.org] if what lets requests in is meant for it too, else hosts: []",
    ),
    (
        "an address in place of a host that has the token",
        _BASE + 'auth: {bearer: "${secret:T}", hosts: ["https://api.example.com/"]}',
        "own.yaml:7: auth.hosts[0]: 'https://api.example.com/' is no host; write one such as api.example.com, or *.example.com",
    ),
]
