"""What holds for every workflow. None has run from here: that takes GitHub."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .repository import IMAGES, ROOT, WORKFLOWS, complaints, read_yaml

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path) -> dict[str, Any]:
    return dict(read_yaml(path)["jobs"])


def commands(path: Path) -> Iterator[str]:
    for job in jobs(path).values():
        yield from (step["run"] for step in job.get("steps", []) if "run" in step)


def test_actionlint_has_nothing_to_say() -> None:
    assert complaints("actionlint", *WORKFLOWS) == ""


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_workflows_agree_with_the_schema(schema: str) -> None:
    assert complaints("check-jsonschema", "--builtin-schema", schema, *WORKFLOWS) == ""


def test_renovate_is_configured_as_it_understands() -> None:
    assert complaints("check-jsonschema", "--builtin-schema", "vendor.renovate", ".github/renovate.json") == ""


def test_every_action_is_a_commit_with_its_version_and_each_is_one_commit() -> None:
    commits = defaultdict(set)
    for path in WORKFLOWS:
        for used in re.findall(r"uses: (.+)", path.read_text()):
            if used.startswith("./"):
                assert (ROOT / used).is_file()
                continue
            pinned = re.fullmatch(r"([\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", used)
            assert pinned is not None, used
            commits[pinned[1]].add(pinned.groups()[1:])
    assert {action: found for action, found in commits.items() if len(found) > 1} == {}


@every_workflow
def test_by_default_a_workflow_may_only_read(path: Path) -> None:
    assert read_yaml(path)["permissions"] == {"contents": "read"}


def test_only_images_and_releases_may_write() -> None:
    writing = {
        (path.stem, name, scope)
        for path in WORKFLOWS
        for name, job in jobs(path).items()
        for scope, access in job.get("permissions", {}).items()
        if access == "write"
    }
    pushing = {(image, "image") for image in IMAGES} | {("image", "image"), ("release", "images")}
    scopes = ("packages", "id-token")
    assert writing == {(*job, scope) for job in pushing for scope in scopes} | {("release", "release", "contents")}


@every_workflow
def test_a_workflow_does_not_run_twice_at_once_for_the_same_branch(path: Path) -> None:
    content = read_yaml(path)
    called_only = set(content[True]) == {"workflow_call"}
    assert called_only or "github.ref" in content["concurrency"]["group"]


@every_workflow
def test_the_checkout_keeps_no_credentials(path: Path) -> None:
    for job in jobs(path).values():
        for step in job.get("steps", []):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@every_workflow
def test_nothing_from_outside_becomes_part_of_a_script(path: Path) -> None:
    assert [command for command in commands(path) if "${{" in command] == []


def test_workflows_call_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {target for path in WORKFLOWS for run in commands(path) for target in re.findall(r"\bmake (\w+)", run)}
    assert {"lint", "types", "test"} <= called <= targets


@every_workflow
def test_the_paths_that_start_it_exist(path: Path) -> None:
    for event in ("push", "pull_request"):
        for pattern in (read_yaml(path)[True].get(event) or {}).get("paths", []):
            assert any(ROOT.glob(pattern)), pattern


@every_workflow
def test_the_tests_it_runs_exist(path: Path) -> None:
    for job in jobs(path).values():
        if job.get("uses", "").endswith("/check.yml"):
            assert all((ROOT / folder).is_dir() for folder in job["with"]["tests"].split())


@pytest.mark.parametrize("image", IMAGES)
def test_every_image_is_built_once_its_app_is_checked(image: str) -> None:
    content = read_yaml(ROOT / ".github" / "workflows" / f"{image}.yml")
    assert f"apps/{image}/**" in content[True]["push"]["paths"]
    job = content["jobs"]["image"]
    assert (job["uses"], job["with"], job["needs"]) == ("./.github/workflows/image.yml", {"app": image}, "check")


def test_a_release_has_every_image() -> None:
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    assert sorted(release["images"]["strategy"]["matrix"]["app"]) == sorted(IMAGES)
    assert release["release"]["needs"] == "images"


def test_what_is_pushed_has_provenance_a_bill_of_materials_and_a_signature() -> None:
    steps = jobs(ROOT / ".github" / "workflows" / "image.yml")["image"]["steps"]
    (build,) = (step for step in steps if step.get("uses", "").startswith("docker/build-push-action@"))
    assert (build["with"]["provenance"], build["with"]["sbom"]) == ("mode=max", True)
    assert steps[-1]["run"].startswith("cosign sign ")
    assert steps[-1]["if"] == "github.event_name != 'pull_request'"
    assert build["with"]["push"] == f"${{{{ {steps[-1]['if']} }}}}"
