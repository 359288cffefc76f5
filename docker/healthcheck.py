#!/usr/local/bin/python
"""Health checks of Dagster's containers.

    healthcheck code-server     Dagster's code server on port 4000 reports that it serves
    healthcheck daemon          the daemon's sensor loop has written a heartbeat within the last minutes

Dagster's own commands for this import Dagster: one to two seconds of CPU each time, and a timeout under load.
"""

import os
import sys

CODE_SERVER = "127.0.0.1:4000"
POSTGRES = {"host": "postgres", "port": 5432}
SERVICE = b"DagsterApi"
SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse(status=SERVING)
TIMEOUT_SECONDS = 10
# The loop writes one every 30 seconds, between two evaluations. An evaluation takes up to a minute.
HEARTBEAT_TIMEOUT_SECONDS = 300


def check_code_server() -> None:
    import grpc

    request = b"\x0a" + bytes([len(SERVICE)]) + SERVICE  # grpc.health.v1.HealthCheckRequest(service=SERVICE)
    with grpc.insecure_channel(CODE_SERVER) as channel:
        answer = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=TIMEOUT_SECONDS)
    if answer != SERVING:
        sys.exit(f"the code server at {CODE_SERVER} is not serving (its answer: {answer!r})")


def check_daemon() -> None:
    import psycopg2

    user = os.environ["POSTGRES_USER"]
    connection = psycopg2.connect(
        **POSTGRES, user=user, dbname=user, password=os.environ["POSTGRES_PASSWORD"], connect_timeout=TIMEOUT_SECONDS
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM localtimestamp - timestamp) FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'"
        )
        found = cursor.fetchone()
    if found is None or found[0] > HEARTBEAT_TIMEOUT_SECONDS:
        sys.exit(
            f"the daemon's sensor loop has written no heartbeat {'yet' if found is None else f'for {found[0]:.0f} s'}"
        )


CHECKS = {"code-server": check_code_server, "daemon": check_daemon}

if __name__ == "__main__":
    if sys.argv[1:] not in [[name] for name in CHECKS]:
        sys.exit(f"usage: healthcheck {'|'.join(CHECKS)}")
    try:
        CHECKS[sys.argv[1]]()
    except Exception as error:
        sys.exit(f"{sys.argv[1]}: {error}")
