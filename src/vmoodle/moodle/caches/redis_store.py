"""Moodle's Redis store: a cache is one hash, and is dropped by deleting its key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from vmoodle.errors import Unavailable
from vmoodle.moodle.caches.stores import CachePlace, CacheStore

_APPLICATION = 1
_DEFAULT_PORT = 6379
_TIMEOUT_SECONDS = 3.0
# cachestore_redis::TTL_SUFFIX, 4.5 and 5.1: when the entries of a cache that ages were written.
_TTL_SUFFIX = "_ttl"


def drop_from_redis(_place: CachePlace, store: CacheStore, caches: Sequence[str]) -> None:
    """Drop the named caches from the store's server.

    Raise Unavailable `cache.redis.library` without the extra `redis`, `cache.redis` when the
    server does not answer, does not take the password, or the store has none.
    """
    try:
        import redis
    except ImportError as error:
        raise Unavailable(
            "cache.redis.library",
            f"The cache store {store.name} is in Redis, and Python's redis library is missing.",
            "Install vmoodle[redis], or purge them: vmoodle cache purge.",
        ) from error
    try:
        client = _client(store)
        try:
            client.delete(*keys(store.option("prefix"), caches))
        finally:
            client.close()
    except (redis.RedisError, OSError, ValueError) as error:
        # The library's messages may name the account; its class says enough.
        raise Unavailable(
            "cache.redis",
            f"The Redis of the cache store {store.name} does not answer: {type(error).__name__}.",
            "Start it, or let this machine reach it; then run the change again.",
        ) from error


def keys(prefix: str, caches: Sequence[str]) -> list[str]:
    """Return the keys of application caches: generate_definition_hash() of
    cache/classes/definition.php, 4.5 and 5.1."""
    found = []
    for cache in caches:
        component, _, area = cache.partition("/")
        words = f"{_APPLICATION} {component} {area}"
        digest = hashlib.md5(words.encode(), usedforsecurity=False).hexdigest()
        found += [prefix + digest, prefix + digest + _TTL_SUFFIX]
    return found


def _client(store: CacheStore) -> Any:
    """Connect as cachestore_redis::new_redis does (cache/stores/redis/lib.php, 4.5 and 5.1)."""
    import redis

    servers = [line.strip().lower() for line in store.option("server").split("\n") if line.strip()]
    if not servers:
        raise ValueError("no server")
    options: dict[str, Any] = {
        "password": store.option("password") or None,
        "socket_timeout": _TIMEOUT_SECONDS,
        "socket_connect_timeout": _TIMEOUT_SECONDS,
    }
    first = servers[0].removeprefix("unix://")
    if first.startswith("/"):
        return redis.Redis(unix_socket_path=first, **options)
    host, _, port = first.removeprefix("tls://").partition(":")
    if store.is_on("encryption"):
        authority = store.option("cafile")
        options |= {"ssl": True, "ssl_check_hostname": bool(authority)}
        options |= {"ssl_ca_certs": authority} if authority else {"ssl_cert_reqs": "none"}
    if store.is_on("clustermode"):
        return redis.RedisCluster(host=host, port=int(port or _DEFAULT_PORT), **options)
    return redis.Redis(host=host, port=int(port or _DEFAULT_PORT), **options)
