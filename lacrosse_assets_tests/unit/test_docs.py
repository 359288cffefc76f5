"""The docs, compared with the code and with each other: citations, links, figures, commands, quoted messages."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from lacrosse_assets import automation
from lacrosse_assets.settings import load_settings
from lacrosse_assets_tests import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs"
README = PROJECT_ROOT / "README.md"
PAGES = sorted(
    [
        *PROJECT_ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(PROJECT_ROOT / "examples").rglob("*.md"),
        *(PROJECT_ROOT / ".github").rglob("*.md"),
    ]
)
CODE = ("lacrosse_assets", "lacrosse_assets_tests", "bench", "examples", "docker", ".ci")
GENERATED = ("benchmark.md", "benchmark-gameday.md", "chaos.md", "chaos-gameday.md")


def sources(*folders: str, suffix: str = ".py") -> Iterator[Path]:
    for folder in folders:
        yield from sorted((PROJECT_ROOT / folder).rglob(f"*{suffix}"))


def named(page: Path) -> str:
    return str(page.relative_to(PROJECT_ROOT))


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows in a text, without the lines below the headers."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [cells for cells in table if not set("".join(cells)) <= set("-|: ")]


def section(page: Path, heading: str) -> str:
    """The text below a heading of any level, up to the next one of the same level."""
    level = re.findall(rf"^(#+) {re.escape(heading)}$", page.read_text(), re.MULTILINE)[0]
    return page.read_text().partition(f"{level} {heading}\n")[2].partition(f"\n{level} ")[0]


# The contract


def test_every_cited_section_of_the_contract_exists() -> None:
    """A citation of a section that is renamed or not written would send the reader nowhere."""
    sections = set(re.findall(r"^## (\d+)\. ", (DOCS / "contract.md").read_text(), re.MULTILINE))
    cited = {}
    for file in [*sources(*CODE), *PAGES]:
        text = " ".join(file.read_text().split())
        for numbers in re.findall(r"docs/contract\.md, sections? ((?:\d+(?:, | and | to )?)+)", text):
            cited.update(dict.fromkeys(re.findall(r"\d+", numbers), named(file)))
        for number in re.findall(r"contract\.md, section (\d+)\]", text):
            cited[number] = named(file)
    assert cited
    assert {number: file for number, file in cited.items() if number not in sections} == {}


def test_the_contract_is_cited_where_it_can_be_opened() -> None:
    for file in [*sources(*CODE), *PAGES]:
        if file.name != Path(__file__).name:
            assert "CONTRACT.md" not in file.read_text(), named(file)


# Links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_relative_to(PROJECT_ROOT), target
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_that_are_named_exist(page: Path) -> None:
    for path in re.findall(
        r"`((?:lacrosse_assets|lacrosse_assets_tests|bench|examples|docs|docker|\.ci)/[\w./-]*)`", page.read_text()
    ):
        assert (PROJECT_ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert set(typed) <= targets


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_functions_that_are_named_with_their_file_are_in_it(page: Path) -> None:
    for name, path in re.findall(r"`(\w+)`\s+in\s+`((?:lacrosse_assets|assets)/[\w/]+\.py)`", page.read_text()):
        file = PROJECT_ROOT / ("" if path.startswith("lacrosse_assets") else "lacrosse_assets") / path
        assert re.search(rf"^(def|class) {name}\b", file.read_text(), re.MULTILINE), f"{name} in {path}"


def test_every_page_is_linked_from_readme_or_a_page_that_is() -> None:
    linked, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        linked.add(page)
        targets = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text())
        waiting += {(page.parent / target).resolve() for target in targets} - linked
    assert set(DOCS.rglob("*.md")) <= linked


# README


def test_readme_is_short() -> None:
    assert len(README.read_bytes()) <= 5000


def test_readmes_figures_are_those_of_the_generated_tables() -> None:
    """`make bench` and `make chaos` rewrite their tables; README must follow."""
    for bullet in re.findall(r"^- (.+?)(?=^- |^$)", section(README, "Measured"), re.MULTILINE | re.DOTALL):
        text, link = re.findall(r"(.*)\]\(docs/([\w-]+\.md)\)", bullet, re.DOTALL)[0]
        assert link in GENERATED
        figures = re.findall(r"\d+(?:\.\d+)?(?: %| MiB)?", re.sub(r"p50|\d+ of \d+ recovered", "", text))
        table = (DOCS / link).read_text()
        assert [figure for figure in figures if not re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.])", table)] == []


def test_the_pythons_are_those_of_setup_py() -> None:
    (pythons,) = re.findall(r'python_requires="(.+)"', (PROJECT_ROOT / "setup.py").read_text())
    for page in (README, PROJECT_ROOT / "CONTRIBUTING.md"):
        assert f"Python `{pythons}`" in page.read_text()


def test_the_changelog_has_the_version_and_the_tag_of_the_fault_matrix() -> None:
    (version,) = re.findall(r'version="(.+)"', (PROJECT_ROOT / "setup.py").read_text())
    (tag,) = re.findall(
        r'^EARLIER = "v(.+)"', (PROJECT_ROOT / "lacrosse_assets_tests/chaos/matrix.py").read_text(), re.MULTILINE
    )
    assert re.findall(r"^## (\S+)", (PROJECT_ROOT / "CHANGELOG.md").read_text(), re.MULTILINE) == [version, tag]


# Tables and lists that the code has as well


def test_the_decision_table_is_that_of_automation_py() -> None:
    assert automation.__doc__
    assert rows(section(DOCS / "architecture.md", "The sensor's decision")) == rows(automation.__doc__)


def test_the_docs_have_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LACROSSE_DEPLOYMENT", "mock")
    from lacrosse_assets.definitions import build_definitions

    graph = build_definitions(load_settings()).resolve_asset_graph()
    checks = {(key.name, key.asset_key.to_user_string()) for key in graph.asset_check_keys}
    documented = rows(section(DOCS / "data-model.md", "Checks"))[1:]
    on_assets = {(check, asset) for check, assets, _ in documented for asset in assets.split(", ")}
    assert {(check.strip("`"), asset.strip("`")) for check, asset in on_assets} == checks
    explained = rows(section(DOCS / "operations.md", "When a check fails"))[1:]
    assert {cells[0].strip("`") for cells in explained} == {name for name, _ in checks}


@cache
def messages() -> str:
    """All string literals of the product, a line each; the values in f-strings are `…`."""
    found = []
    for file in sources("lacrosse_assets", "examples"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_messages_that_operations_md_quotes_are_in_the_code() -> None:
    """A reader who searches for a message has to find it: one that is changed in the code is changed here as well."""
    stores = {"object store", "document store", "reference database", "Spark Connect server"}
    quoted = []
    for cells in rows(section(DOCS / "operations.md", "Failures")):
        for message in re.findall(r"`([^`]+)`", cells[1]):
            if " " in message and not message.startswith("docker compose"):
                quoted += [part.strip(" :") for part in re.split("…", message)]
    quoted = [part.removesuffix(" at") if part.removesuffix(" at") in stores else part for part in quoted if part]
    assert len(quoted) > 10
    assert [part for part in quoted if part not in messages()] == []


def test_tests_that_the_track_record_names_exist() -> None:
    texts = [f"{file.stem}\n{file.read_text()}" for file in sources("lacrosse_assets_tests")]
    record = section(DOCS / "reliability.md", "Track record")
    selections = re.findall(r"`pytest -k \"?([\w ]+)\"?`", record)
    assert selections
    for words in selections:
        for word in words.split(" or "):
            assert any(
                re.search(rf"^(test_\w*{word}|{word}$|def test_\w*{word})", text, re.MULTILINE) for text in texts
            ), word
    faults = (PROJECT_ROOT / "lacrosse_assets_tests" / "chaos" / "faults.py").read_text() + (
        DOCS / "chaos.md"
    ).read_text()
    for fault in re.findall(r"--fault \"([^\"]+)\"", record):
        assert fault in faults


# Words


def banned(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT_ROOT / ".ci" / "banned_words.py"), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_banned_words_are_found_with_file_line_and_word(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Plain English.\nIn Dagit, Whoever is told of dirt mends it.\n")

    checked = banned(tmp_path)

    assert checked.returncode == 1
    assert [line.split(" (")[0] for line in checked.stdout.splitlines()] == [
        f"{page}:2: {word}" for word in ("'dirt'", "'Whoever'", "'told'", "'mends'", "'Dagit'")
    ]


def test_words_within_words_and_names_that_users_type_are_not_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("The entries of `docker compose up -d dagit`, with DAGIT_PORT; its former name, Dagit.\n")
    assert banned(page).returncode == 0
