"""`python -m dashboards`: write the dashboards, the alert rules and the data source again."""

import sys

from dashboards.generate import write

if __name__ == "__main__":
    changed = write()
    sys.stdout.writelines(f"{path}\n" for path in changed)
    sys.stdout.write(f"{len(changed)} files changed\n")
