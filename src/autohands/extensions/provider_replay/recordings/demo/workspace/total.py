"""Revenue by month, from data/*.csv."""

import csv
from pathlib import Path


def amount(text):
    return float(text)


def total(file):
    result = 0.0
    for row in csv.DictReader(file.open()):
        try:
            result += amount(row["amount"])
        except ValueError:
            pass
    return result


for file in sorted(Path("data").glob("*.csv")):
    print(f"{file.stem}  {total(file):9.2f}")
