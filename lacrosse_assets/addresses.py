"""Store addresses without their secrets: one function per store, which parses an address and returns what may be shown.

An address may hold a secret. In an invalid address any part may belong to it: the rest of a password after an `@`, a
token after a missing `/`. So only parsed parts are shown, and an invalid address raises. The caller must not show the
error, whether a `ValueError` or the library's own, as it may quote the address.
"""

import re
from urllib.parse import urlsplit

SPARK_PORT = 15002


def object_store(url: str) -> str:
    """`https://minio.example.edu:9000`; an address with a user or a query is invalid."""
    parts = urlsplit(url)
    _ = parts.port  # raises if it is not a number
    if "@" in parts.netloc or parts.query or parts.fragment or not _is_host(parts.hostname):
        raise ValueError
    return url


def document_store(uri: str) -> str:
    """`host:27017` of each server, with commas; for an SRV address, its host name."""
    from pymongo.uri_parser import parse_uri, split_options

    scheme, _, rest = uri.partition("://")
    servers, _, options = rest.partition("?")
    # Always by `mongodb://`: for `mongodb+srv://`, parse_uri looks the name up.
    nodes = parse_uri(f"mongodb://{servers}")["nodelist"]
    if options:
        split_options(options)
    if not all(host.startswith("/") or _is_host(host) for host, _ in nodes):
        raise ValueError
    return ",".join(host if scheme == "mongodb+srv" else f"{host}:{port}" for host, port in nodes)


def reference_database(url: str) -> str:
    """`mssql://host:1433/sidearmdb`, or `sqlite:////path/to.db`."""
    from sqlalchemy import make_url

    parsed = make_url(url)
    parsed.get_dialect()  # raises if SQLAlchemy has no such dialect
    backend, host, database = parsed.get_backend_name(), parsed.host or "", parsed.database or ""
    if "odbc_connect" in parsed.query:
        server = re.search(r"(?i)\bserver=\{?([^;}]+)", str(parsed.query["odbc_connect"]))
        host = server[1] if server else ""
    if re.search(r"[@;\s]", host) or (backend != "sqlite" and re.search(r"[@;]", database)):
        raise ValueError
    port = f":{parsed.port}" if parsed.port else ""
    return f"{backend}://{host}{port}/{database}"


def spark_server(remote: str) -> str:
    """`sc://host:15002`, without parameters, which may hold a token."""
    parts = urlsplit(remote)
    path, *parameters = parts.path.split(";")
    if (
        not _is_host(parts.hostname)
        or "@" in parts.netloc
        or path not in ("", "/")
        or parts.query
        or parts.fragment
        or any(parameter.count("=") != 1 for parameter in parameters if parameters != [""])
    ):
        raise ValueError
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"sc://{host}:{parts.port or SPARK_PORT}"


def _is_host(host: str | None) -> bool:
    return bool(host and re.fullmatch(r"[\w.:%-]+", host))
