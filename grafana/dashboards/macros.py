"""What Grafana puts in the place of its variables and macros before Postgres sees a query."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

_VARIABLE: Final = re.compile(r"\$\{(\w+):sqlstring\}")
_MACRO: Final = re.compile(r"\$__(\w+)\(([^)]*)\)")


def expanded(
    sql: str, variables: Mapping[str, Sequence[str]], *, start: datetime, end: datetime, interval_seconds: int = 60
) -> str:
    """Return a query as Postgres gets it from Grafana, for a dashboard that shows the time from `start` to `end`.

    Raises KeyError for a variable without values, and for a macro that is not among those the dashboards use.
    """

    def macro(match: re.Match[str]) -> str:
        column, _, _ = (part.strip() for part in match[2].partition(","))
        return {
            "timeFilter": f"{column} BETWEEN '{start.isoformat()}' AND '{end.isoformat()}'",
            "timeFrom": f"'{start.isoformat()}'",
            "timeTo": f"'{end.isoformat()}'",
            "timeGroup": f"floor(extract(epoch from {column})/{interval_seconds})*{interval_seconds}",
        }[match[1]]

    return _MACRO.sub(macro, _VARIABLE.sub(lambda match: ",".join(map(_quoted, variables[match[1]])), sql))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
