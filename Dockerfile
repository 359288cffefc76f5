# This project's images: `platform` (Dagster), `gamestream`, `spark`, `jupyter` and `page`; docker-compose.yaml runs them.
# What changes least comes first: a change in the code rebuilds the last layers alone.
#
# A copied file keeps the mode that it has in the checkout, which a umask of 077 closes to the user 1000. So each COPY
# from the checkout sets the mode, or is followed by a chmod.

# Only the two lists of versions go from here to the other stages: what does not change them, such as a comment in
# constraints.txt, causes no reinstallation. PySpark has no wheel, so its 456 MB are fetched to resolve its dependencies;
# the cache is that of the installs below, which then do not fetch it again.
FROM python:3.11-slim-bookworm AS requirements
WORKDIR /requirements
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt uv
COPY setup.py ./
RUN --mount=type=cache,target=/root/.cache/uv \
    mkdir locked \
    && uv pip compile --quiet --no-header --no-annotate --constraint constraints.txt --extra compose --extra page --output-file locked/platform.txt setup.py \
    && uv pip compile --quiet --no-header --no-annotate --constraint constraints.txt --extra jupyter --output-file locked/jupyter.txt setup.py

# Each stage below is rebuilt only if its own sources have changed. Compiled again, bytecode would differ.
FROM python:3.11-slim-bookworm AS package
COPY lacrosse_assets /app/lacrosse_assets
RUN chmod -R a+rX /app \
    && python -m compileall -q /app

FROM python:3.11-slim-bookworm AS imported
COPY docker/imported.py /docker/imported.py
COPY lacrosse_assets /app/lacrosse_assets
RUN chmod -R a+rX /app \
    && python /docker/imported.py /app lacrosse_assets.gamestream.__main__ /simulator

FROM python:3.11-slim-bookworm AS simulator
COPY --from=imported /simulator /app
RUN python -m compileall -q /app

FROM python:3.11-slim-bookworm AS example
COPY examples/boxscore_page /app/examples/boxscore_page
RUN chmod -R a+rX /app \
    && python -m compileall -q /app

# All images have the same libraries, in one layer, so Python functions that are sent to Spark find the same versions.
FROM python:3.11-slim-bookworm AS base
ENV LANG=C.UTF-8 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 lacrosse
RUN --mount=type=bind,from=requirements,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=requirements,source=/requirements/locked,target=/requirements \
    --mount=type=cache,target=/root/.cache/uv \
    uv pip install --system --compile-bytecode --link-mode copy --requirements /requirements/platform.txt

FROM base AS spark
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless=17.* \
    && rm -rf /var/lib/apt/lists/*
# Where a cluster's master keeps its state. A new volume takes over the owner of its mount point.
RUN install --directory --owner lacrosse /var/lib/spark
WORKDIR /home/lacrosse
USER 1000

# The box score page, which has nothing of the platform.
FROM base AS page
COPY --chmod=755 docker/mongodb_page_user.py /usr/local/bin/mongodb_page_user
COPY --from=example /app /app
WORKDIR /app
USER 1000

# Microsoft's ODBC driver, which the clients of SQL Server need.
FROM base AS sqlserver
ADD --chmod=644 https://packages.microsoft.com/keys/microsoft.asc /usr/share/keyrings/microsoft.asc
COPY --chmod=644 docker/microsoft.sources /etc/apt/sources.list.d/
RUN apt-get update \
    && ACCEPT_EULA=Y apt-get install --yes --no-install-recommends msodbcsql18=18.* unixodbc=2.3.* \
    && rm -rf /var/lib/apt/lists/*

# The simulator, with the modules that it imports and no others: a change elsewhere leaves this image as it is, and
# `docker compose up -d --build` then leaves the game alone that is being played.
FROM sqlserver AS gamestream
COPY --from=simulator /app /app
WORKDIR /app
USER 1000

FROM sqlserver AS jupyter
RUN --mount=type=bind,from=requirements,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=requirements,source=/requirements/locked,target=/requirements \
    --mount=type=cache,target=/root/.cache/uv \
    uv pip install --system --compile-bytecode --link-mode copy --requirements /requirements/jupyter.txt
COPY --from=package /app /app
WORKDIR /notebooks
USER 1000

FROM sqlserver AS platform
ENV DAGSTER_HOME=/var/lib/dagster
# The folder is created here, because a new volume takes over the owner of its mount point.
RUN --mount=type=bind,source=lacrosse_assets/dagster.yaml,target=/run/dagster.yaml \
    --mount=type=bind,source=docker/postgres.yaml,target=/run/postgres.yaml \
    install --directory --owner lacrosse "$DAGSTER_HOME" "$DAGSTER_HOME/storage" \
    && cat /run/dagster.yaml /run/postgres.yaml > "$DAGSTER_HOME/dagster.yaml"
WORKDIR /app
COPY --chmod=755 docker/healthcheck.py /usr/local/bin/healthcheck
COPY --chmod=644 docker/workspace.yaml ./
COPY --from=package /app /app
USER 1000
