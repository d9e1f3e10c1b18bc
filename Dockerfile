# One image for everything of ours: Prefect's server and services, workers, the dashboard, the metrics.
# Versions: base and uv here, every package by version and hash in requirements.lock.

ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b

FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.9
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/venv
RUN python -m venv /opt/venv && python -m pip install --no-cache-dir --disable-pip-version-check uv==${UV_VERSION}
WORKDIR /app
# The packages first: this layer lasts until the lock changes. Of the lock's packages those that the image needs, with
# setuptools for our own below: the same versions and hashes, or the build ends.
COPY pyproject.toml requirements.lock ./
RUN cp requirements.lock image.lock && echo setuptools > build.in \
 && uv pip compile pyproject.toml build.in --quiet --extra server --extra s3 --universal --python-version 3.11 \
      --generate-hashes --no-emit-index-url --no-header --no-annotate --output-file image.lock \
 && ! grep -vxFf requirements.lock image.lock \
 && uv pip install --no-cache --no-deps --require-hashes --requirements image.lock
COPY README.md LICENSE ./
COPY flows flows
COPY deployments deployments
COPY dashboard dashboard
RUN uv pip install --no-cache --no-deps --no-build-isolation --editable . \
 && python -m compileall -q flows deployments dashboard

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 rowrelay \
 && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin rowrelay \
 && install -d -o rowrelay -g rowrelay -m 0750 /data /memory
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    PREFECT_HOME=/tmp/prefect \
    PREFECT_SERVER_UI_STATIC_DIRECTORY=/tmp/prefect-ui \
    PREFECT_SERVER_EPHEMERAL_ENABLED=false \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_RESULTS_DEFAULT_SERIALIZER=json \
    PREFECT_LOGGING_COLORS=false \
    DO_NOT_TRACK=1 \
    ROWRELAY_DATA=/data \
    ROWRELAY_MEMORY=/memory
WORKDIR /app
USER 10001:10001
VOLUME /data /memory
ENTRYPOINT ["python", "-m", "deployments.container.entrypoint"]
CMD ["rowrelay", "--help"]
# Every service of docker-compose.yml has a check of its own; this one is for the image alone.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-c", "import flows.settings"]
