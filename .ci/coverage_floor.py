"""Compares the share of covered lines with the floor in .ci/coverage-floor, which only rises.

python .ci/coverage_floor.py TOTAL            exit code 1 below the floor
python .ci/coverage_floor.py TOTAL --raise    writes TOTAL, rounded down, where it is higher than the floor
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

FLOOR = Path(__file__).with_name("coverage-floor")


def compare(total: float, file: Path = FLOOR, *, raise_floor: bool = False) -> tuple[bool, str]:
    """(whether `total` percent reaches the floor, one line that says so). Never writes a lower floor."""
    floor = int(file.read_text(encoding="utf-8"))
    if total < floor:
        advice = "Add tests for what is new; `coverage report -m` lists the lines."
        return False, f"Coverage is {total:.2f} %, below the floor of {floor} %. {advice}"
    reached = math.floor(total)
    if reached == floor:
        return True, f"Coverage is {total:.2f} %, the floor is {floor} %."
    if raise_floor:
        file.write_text(f"{reached}\n", encoding="utf-8")
        return True, f"Coverage is {total:.2f} %. The floor rises from {floor} % to {reached} %."
    return True, f"Coverage is {total:.2f} %, the floor is {floor} %. `make coverage RAISE=1` raises it to {reached} %."


def main(arguments: list[str], file: Path = FLOOR) -> int:
    reached, line = compare(float(arguments[0]), file, raise_floor="--raise" in arguments[1:])
    print(line)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
