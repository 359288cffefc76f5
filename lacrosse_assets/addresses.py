"""The addresses of the stores, one function each: where a store is, as people may be shown it.

An address may hold a secret, and with a slip in it any part may be a piece of that: the rest of a password after an
`@`, a token behind a forgotten `/`. So what is shown has been parsed out of it, and an address that does not parse
raises: whatever its library says then, a `ValueError` or its own kind of error, is not to be shown.
"""

import re
from urllib.parse import urlsplit

SPARK_PORT = 15002


def object_store(url: str) -> str:
    """`https://minio.example.edu:9000`, with no user and no query."""
    parts = urlsplit(url)
    _ = parts.port  # raises where it is no number
    if "@" in parts.netloc or parts.query or parts.fragment or not _is_host(parts.hostname):
        raise ValueError
    return url


def document_store(uri: str) -> str:
    """`host:27017` of each server; of an SRV address, the name that is looked up when it is connected to."""
    from pymongo.uri_parser import parse_uri, split_options

    scheme, _, rest = uri.partition("://")
    servers, _, options = rest.partition("?")
    # Not the address as it is: an SRV name would be looked up.
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
    parsed.get_dialect()  # raises where SQLAlchemy has none of that name
    backend, host, database = parsed.get_backend_name(), parsed.host or "", parsed.database or ""
    if "odbc_connect" in parsed.query:
        server = re.search(r"(?i)\bserver=\{?([^;}]+)", str(parsed.query["odbc_connect"]))
        host = server[1] if server else ""
    if re.search(r"[@;\s]", host) or (backend != "sqlite" and re.search(r"[@;]", database)):
        raise ValueError
    port = f":{parsed.port}" if parsed.port else ""
    return f"{backend}://{host}{port}/{database}"


def spark_server(remote: str) -> str:
    """`sc://host:15002`, without the parameters, which may hold a token."""
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
