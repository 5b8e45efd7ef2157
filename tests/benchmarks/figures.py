"""What a benchmark found: figures beside their goals and baselines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured ``value``; it meets its goal between ``at_least`` and ``at_most``, where they are given.

    ``baseline`` says what it is to be read beside. A figure without a goal is there for comparison.
    """

    group: str
    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    baseline: str = ""

    @property
    def has_goal(self) -> bool:
        return self.at_most is not None or self.at_least is not None

    @property
    def met(self) -> bool:
        """Whether the goal is met; a figure without one misses nothing."""
        enough = self.at_least is None or self.value >= self.at_least
        return enough and (self.at_most is None or self.value <= self.at_most)

    @property
    def goal(self) -> str:
        limits = (("≥", self.at_least), ("≤", self.at_most))
        return " ".join(f"{sign} {limit:g}{self.unit}" for sign, limit in limits if limit is not None)

    @property
    def verdict(self) -> str:
        return "" if not self.has_goal else "met" if self.met else "MISSED"

    def as_json(self) -> dict[str, object]:
        return {**vars(self), "met": self.met if self.has_goal else None}


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """The figures as text, one line each, a heading per group."""
    head = ("figure", "value", "goal", "", "baseline")
    lines: list[str] = []
    group = ""
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        if figure.group != group:
            group = figure.group
            lines += ["", group, _line(head, width)]
        value = f"{number(figure.value)}{figure.unit}"
        lines.append(_line((figure.name, value, figure.goal, figure.verdict, figure.baseline), width))
    return "\n".join(lines)


def _line(cells: Sequence[str], width: int) -> str:
    name, value, goal, verdict, baseline = cells
    return f"  {name:<{width}}  {value:>10}  {goal:>12}  {verdict:<6}  {baseline}".rstrip()


def report(figures: Sequence[Figure], *, as_json: bool) -> str:
    """All that is printed on standard output."""
    load = [round(each, 2) for each in os.getloadavg()]
    if as_json:
        found = [figure.as_json() for figure in figures]
        return json.dumps({"load": load, "cpus": os.cpu_count(), "figures": found}, ensure_ascii=False)
    missed = [figure for figure in figures if not figure.met]
    told = f"{sum(figure.has_goal for figure in figures) - len(missed)} goals met, {len(missed)} missed"
    return f"{table(figures)}\n\n{told}; load average {load} on {os.cpu_count()} processors"


def exit_status(figures: Iterable[Figure]) -> int:
    return int(any(not figure.met for figure in figures))
