"""What every bench needs: both sides in turn, medians, and a row that says whether the goal is met."""

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Row = dict[str, Any]
ROUNDS = 7


def at_most(bench: str, ours: float, against: float, unit: str, goal: float, **more: Any) -> Row:
    """`ratio` is ours / against and may be `goal` at most: for what is spent (time, memory)."""
    ratio = ours / against
    return _row(bench, ours, against, unit, ratio, goal, met=ratio <= goal, **more)


def at_least(bench: str, ours: float, against: float, unit: str, goal: float, **more: Any) -> Row:
    """`ratio` is ours / against and must reach `goal`: for rates."""
    ratio = ours / against
    return _row(bench, ours, against, unit, ratio, goal, met=ratio >= goal, **more)


def times_faster(bench: str, ours: float, against: float, unit: str, goal: float, **more: Any) -> Row:
    """`ratio` is against / ours and must reach `goal`: for times where ours has to be the shorter."""
    ratio = against / ours
    return _row(bench, ours, against, unit, ratio, goal, met=ratio >= goal, **more)


def _row(bench: str, ours: float, against: float, unit: str, ratio: float, goal: float, **more: Any) -> Row:
    figures = {"ours": _three(ours), "against": _three(against), "unit": unit, "ratio": _three(ratio), "goal": goal}
    return {"bench": bench, **figures, **more}


def _three(value: float) -> float:
    """Three significant digits, whole from a hundred on."""
    return round(value) if abs(value) >= 100 else float(f"{value:.3g}")


def show(row: Row) -> None:
    print(json.dumps(row, ensure_ascii=False), flush=True)


def medians_ms(sides: Sequence[Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """Medians in ms of each side, taken in turn; the first turn fills caches and is not counted."""
    taken: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for spent, side in zip(taken, sides, strict=True):
            gc.collect()
            begin = time.perf_counter()
            side()
            if turn:
                spent.append((time.perf_counter() - begin) * 1e3)
    return [statistics.median(spent) for spent in taken]


async def medians_ms_async(
    sides: Sequence[Callable[[], Awaitable[object]]], rounds: int = ROUNDS, *, pause_s: float = 0.0
) -> list[float]:
    """The same for coroutines, with a pause before each call."""
    taken: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for spent, side in zip(taken, sides, strict=True):
            await asyncio.sleep(pause_s)
            begin = time.perf_counter()
            await side()
            if turn:
                spent.append((time.perf_counter() - begin) * 1e3)
    return [statistics.median(spent) for spent in taken]
