"""Print coverage by branch, overall and for the named packages, from coverage's JSON report.

Usage: coverage_table.py REPORT.json PACKAGE...
"""

import json
import sys
from pathlib import Path

COUNTS = ("covered_lines", "covered_branches", "num_statements", "num_branches")


def percent(summaries: list[dict[str, int]]) -> float:
    """Covered lines and branches in percent of all, as coverage itself counts; nothing to cover is 100."""
    lines, branches, all_lines, all_branches = (sum(summary[key] for summary in summaries) for key in COUNTS)
    total = all_lines + all_branches
    return 100 * (lines + branches) / total if total else 100.0


def main(report: str, *packages: str) -> None:
    """Print one line for each of `packages` and one for all of the product."""
    files = json.loads(Path(report).read_text())["files"]
    summaries = {name.partition("src/autohands/")[2]: entry["summary"] for name, entry in files.items()}
    print("Coverage by branch")
    for package in packages:
        inside = [summary for name, summary in summaries.items() if name.startswith(package + "/")]
        print(f"  {package:<12}{percent(inside):6.1f} %")
    print(f"  {'all':<12}{percent(list(summaries.values())):6.1f} %")


if __name__ == "__main__":
    main(*sys.argv[1:])
