"""GitHub's files: workflows, issue forms and the dependency bot's configuration."""

import re

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support.compose import MAKEFILE

WORKFLOWS = PROJECT_ROOT / ".github" / "workflows"


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-workflows", "workflows/ci.yml"),
        ("github-workflows", "workflows/nightly.yml"),
        ("dependabot", "dependabot.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/bug.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/feature.yml"),
        ("github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_githubs_files_are_valid(schema: str, file: str) -> None:
    options = ["--builtin-schema", f"vendor.{schema}", str(PROJECT_ROOT / ".github" / file)]
    checked = CliRunner().invoke(check_jsonschema, options)
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("file", ["ci.yml", "nightly.yml"])
def test_workflows_may_only_read_and_have_a_time_limit(file: str) -> None:
    workflow = yaml.safe_load((WORKFLOWS / file).read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        assert all(re.search(r"@v\d+$", step["uses"]) for step in job["steps"] if "uses" in step), name


def test_ci_runs_the_tests_on_every_python_that_setup_py_allows() -> None:
    (lowest, below) = re.findall(r'python_requires=">=3\.(\d+),<3\.(\d+)"', (PROJECT_ROOT / "setup.py").read_text())[0]
    matrix = yaml.safe_load((WORKFLOWS / "ci.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(int(lowest), int(below))]


def test_nightly_jobs_keep_their_tables() -> None:
    nightly = yaml.safe_load((WORKFLOWS / "nightly.yml").read_text())
    for name, job in nightly["jobs"].items():
        last = job["steps"][-1]
        assert last["uses"].startswith("actions/upload-artifact@"), name
        assert last["if"] == "always()", name
        assert last["with"]["name"] == name


def test_make_has_the_targets_that_workflows_call() -> None:
    made = {
        target
        for file in ("ci.yml", "nightly.yml")
        for target in re.findall(r"\bmake ([a-z-]+)", re.sub(r"#.*|`[^`]*`", "", (WORKFLOWS / file).read_text()))
    }
    assert made == {"lint", "test", "env", "test-services", "test-compose", "install", "fuzz", "bench"}
    assert made <= set(re.findall(r"^([a-z-]+):", MAKEFILE.read_text(), re.MULTILINE))
