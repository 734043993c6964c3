"""What the extra brings is loaded when it is first used, not before."""

import subprocess
import sys


def test_off_policy_evaluation_is_imported_without_numba_and_polars() -> None:
    script = (
        "import sys, bandit_core, bandit_core.ope.evaluation, bandit_core.ope.bootstrap, bandit_core.ope.clipping\n"
        "print(sorted({'numba', 'polars'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
