"""An S3 server of this machine (moto's) in a process of its own, and an address in it for each test."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import fsspec
import pytest

from deployments.embedded.redis_server import free_port
from tests.harness.wait import wait_until


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Runs while the block does; gives the environment that leads every S3 client to it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url + "/moto-api/", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_until(answers, seconds=30, what="the S3 server")
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def s3_environment() -> Iterator[dict[str, str]]:
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture
def bucket(s3_environment: dict[str, str]) -> str:
    """The address of an empty bucket."""
    assert os.environ["AWS_ENDPOINT_URL"] == s3_environment["AWS_ENDPOINT_URL"]
    url = f"s3://b{uuid4().hex[:16]}"
    fsspec.filesystem("s3").mkdir(url)
    return url
