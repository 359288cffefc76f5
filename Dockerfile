# This project's images: `platform` (Dagster, the simulator), `spark`, `jupyter` and `page`; docker-compose.yaml runs them.
# What changes least comes first: a change in the code rebuilds the last layers alone.

FROM python:3.11-slim-bookworm AS requirements
WORKDIR /requirements
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt uv
COPY setup.py ./
RUN uv pip compile --quiet --constraint constraints.txt --extra compose --extra page --output-file platform.txt setup.py \
    && uv pip compile --quiet --constraint constraints.txt --extra jupyter --output-file jupyter.txt setup.py

FROM python:3.11-slim-bookworm AS package
COPY lacrosse_assets /app/lacrosse_assets
RUN python -m compileall -q /app

# All of them have the same libraries, in one layer: Python that is sent to Spark finds there what it found at home.
FROM python:3.11-slim-bookworm AS base
ENV LANG=C.UTF-8 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 lacrosse
RUN --mount=type=bind,from=requirements,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=requirements,source=/requirements,target=/requirements \
    --mount=type=cache,target=/root/.cache/uv \
    uv pip install --system --compile-bytecode --link-mode copy --requirements /requirements/platform.txt

FROM base AS spark
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless=17.* \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /home/lacrosse
USER 1000

# The box score page, which has nothing of the platform.
FROM base AS page
COPY examples/boxscore_page /app/examples/boxscore_page
WORKDIR /app
USER 1000

# Microsoft's ODBC driver, which SQL Server wants.
FROM base AS sqlserver
ADD --chmod=644 https://packages.microsoft.com/keys/microsoft.asc /usr/share/keyrings/microsoft.asc
COPY docker/microsoft.sources /etc/apt/sources.list.d/
RUN apt-get update \
    && ACCEPT_EULA=Y apt-get install --yes --no-install-recommends msodbcsql18=18.* unixodbc=2.3.* \
    && rm -rf /var/lib/apt/lists/*

FROM sqlserver AS jupyter
RUN --mount=type=bind,from=requirements,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=requirements,source=/requirements,target=/requirements \
    --mount=type=cache,target=/root/.cache/uv \
    uv pip install --system --compile-bytecode --link-mode copy --requirements /requirements/jupyter.txt
COPY --from=package /app /app
WORKDIR /notebooks
USER 1000

FROM sqlserver AS platform
ENV DAGSTER_HOME=/var/lib/dagster
# The folder is there beforehand, for a new volume takes over the owner of what it is mounted on.
RUN --mount=type=bind,source=dagster.yaml,target=/run/dagster.yaml \
    --mount=type=bind,source=docker/postgres.yaml,target=/run/postgres.yaml \
    install --directory --owner lacrosse "$DAGSTER_HOME" "$DAGSTER_HOME/storage" \
    && cat /run/dagster.yaml /run/postgres.yaml > "$DAGSTER_HOME/dagster.yaml"
WORKDIR /app
COPY docker/workspace.yaml ./
COPY --from=package /app /app
USER 1000
