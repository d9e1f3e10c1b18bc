"""Stand-ins of eleven kinds of API, in the shapes in which real ones answer, each with the truth about its rows."""

from __future__ import annotations

from deployments.standin.apis.api import Api, ApiKnobs
from deployments.standin.apis.bulk_ndjson import BulkNdjson
from deployments.standin.apis.errors_only import ErrorsOnly
from deployments.standin.apis.graphql import GraphQL
from deployments.standin.apis.indices400 import Indices400
from deployments.standin.apis.items207 import Items207
from deployments.standin.apis.job202 import Job202
from deployments.standin.apis.jsonrpc import JsonRpc
from deployments.standin.apis.keyed import Keyed
from deployments.standin.apis.status200 import Status200
from deployments.standin.apis.upsert import Upsert
from deployments.standin.apis.wait403 import Wait403

__all__ = ["APIS", "Api", "ApiKnobs"]

_ONE_ROW = (GraphQL, JsonRpc, Status200, Wait403, Upsert)
_MANY_ROWS = (Items207, ErrorsOnly, Indices400, Keyed, BulkNdjson, Job202)

APIS: dict[str, type[Api]] = {api.name: api for api in (*_ONE_ROW, *_MANY_ROWS)}
"""By the name that `rowrelay standin --api NAME` and the example definitions have for it."""
