"""A store in an S3-compatible bucket, through s3fs: a put is whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.exceptions
import s3fs
from aiohttp import ClientError as TransportError

from vmoodle.errors import NotFound, Unavailable
from vmoodle.store.address import StoreAddress, StoreCredentials
from vmoodle.store.place import FAN_OUT, SMALL, Entry, Guarded, denied, full, login, unreachable

_LOGIN = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "403"}
_SPACE = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"}
_BLOCK = 8 << 20


class S3Place:
    """Keep objects below a prefix of one bucket."""

    def __init__(self, address: StoreAddress, credentials: StoreCredentials) -> None:
        self.address = address
        self.parallel = 16
        self.spool: Path | None = None
        self._bucket = address.host
        self._prefix = f"{address.path}/" if address.path else ""
        style = address.options.get("addressing", "auto")
        # No instance is cached: fsspec would keep the secret for the life of the process.
        self._fs = s3fs.S3FileSystem(
            key=credentials.user or None,
            secret=credentials.password.reveal() or None,
            endpoint_url=address.options.get("endpoint"),
            client_kwargs={"region_name": address.options.get("region", "us-east-1")},
            config_kwargs={
                "max_pool_connections": 2 * self.parallel,
                "connect_timeout": 10,
                "read_timeout": 60,
                "retries": {"mode": "standard", "max_attempts": 3},
                "s3": {"addressing_style": style},
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def prepare(self, *, create: bool) -> None:  # noqa: ARG002 - buckets are made by their owner
        try:
            with self._errors():
                self._call("head_bucket")
        except FileNotFoundError:
            raise NotFound(
                "store.missing",
                f"There is no bucket for the store {self.address.display()}.",
                "Create the bucket, or check its name and the endpoint.",
            ) from None

    def is_empty(self) -> bool:
        with self._errors():
            return not self._call("list_objects_v2", Prefix=self._prefix, MaxKeys=1)["KeyCount"]

    def list(self, folder: str) -> Iterator[Entry]:
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        more: dict[str, str] = {} if folder else {"Delimiter": "/"}
        while True:
            with self._errors():
                page = self._call("list_objects_v2", Prefix=prefix, **more)
            for item in page.get("Contents", ()):
                name = item["Key"].rpartition("/")[2]
                yield Entry(name, item["Size"], item["LastModified"])
            if not page.get("IsTruncated"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]

    def read(self, folder: str, name: str, size: int) -> AbstractContextManager[Guarded]:
        path = f"{self._bucket}/{self._key(folder, name)}"
        with self._errors():
            if size <= 2 * SMALL:
                opened: Any = io.BytesIO(self._fs.cat_file(path, max_concurrency=1))
            else:
                opened = self._fs.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
            return closing(Guarded(opened, self._errors))

    def exists(self, folder: str, name: str) -> bool:
        try:
            with self._errors():
                self._call("head_object", Key=self._key(folder, name))
        except FileNotFoundError:
            return False
        return True

    def write(self, folder: str, name: str, data: bytes, *, replace: bool = False) -> None:  # noqa: ARG002
        with self._errors():
            self._call("put_object", Key=self._key(folder, name), Body=data)

    def write_file(self, folder: str, name: str, path: Path) -> None:
        with self._errors():
            self._fs.put_file(str(path), f"{self._bucket}/{self._key(folder, name)}")

    def remove(self, folder: str, name: str) -> None:
        with self._errors(), contextlib.suppress(FileNotFoundError):
            self._call("delete_object", Key=self._key(folder, name))

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()

    def sweep(self, before: datetime) -> int:
        """Abort uploads in parts that nobody will complete; the provider bills for them."""
        removed = 0
        with self._errors():
            page = self._call("list_multipart_uploads", Prefix=self._prefix)
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] <= before:
                    self._call(
                        "abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    removed += 1
        return removed

    def _call(self, method: str, **parameters: Any) -> Any:
        return self._fs.call_s3(method, Bucket=self._bucket, **parameters)

    def _key(self, folder: str, name: str) -> str:
        inner = f"{name[:2]}/{name}" if folder == FAN_OUT else name
        return f"{self._prefix}{folder}/{inner}" if folder else f"{self._prefix}{inner}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (botocore.exceptions.NoCredentialsError, PermissionError) as error:
            # s3fs names both a wrong login and a missing right a PermissionError.
            raise (login if _code(error) in _LOGIN else denied)(self.address) from None
        except (OSError, botocore.exceptions.BotoCoreError, TransportError) as error:
            raise self._trouble(error) from None

    def _trouble(self, error: Exception) -> Unavailable:
        code = _code(error)
        if code in _SPACE or getattr(error, "errno", None) == errno.ENOSPC:
            return full(self.address)
        # The text of such an error may hold what was sent; its kind is enough for a person.
        return unreachable(self.address, code or type(error).__name__)


def _code(error: BaseException) -> str:
    if isinstance(error, botocore.exceptions.NoCredentialsError):
        return "403"
    cause = error.__cause__
    if isinstance(cause, botocore.exceptions.ClientError):
        return str(cause.response.get("Error", {}).get("Code", ""))
    return ""
