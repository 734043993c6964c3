"""Who runs which tests."""

from pathlib import Path

import pytest

from bandit_local.testing import workers

FAILURES = "apps/bandit-service/tests/failures"


def test_a_file_is_a_group_and_some_folders_are() -> None:
    assert (
        workers.group_of("apps/bandit-core/tests/test_blend.py::test_a[1::2]") == "apps/bandit-core/tests/test_blend.py"
    )
    assert workers.group_of(f"{FAILURES}/test_redis.py::test_a") == FAILURES


def test_groups_begin_before_files_and_keep_their_order() -> None:
    tests = ["a.py::test_b", f"{workers.GROUPS[1]}/test_a.py::test_a", "a.py::test_a", f"{FAILURES}/test_a.py::test_a"]
    assert sorted(tests, key=workers.rank) == [tests[3], tests[1], tests[0], tests[2]]


def test_every_group_is_a_folder(pytestconfig: pytest.Config) -> None:
    assert all((pytestconfig.rootpath / group).is_dir() for group in workers.GROUPS)


def test_files_need_no_workers_and_folders_do(tmp_path: Path) -> None:
    file = tmp_path / "test_a.py"
    file.touch()
    assert workers.number_for([str(file), f"{file}::test_b"]) == 0
    assert workers.number_for([str(file), str(tmp_path)]) >= 2
