"""Comparisons look by look: pairs are trained, looked at, and trained further while there is time.

What a look may claim of alpha is in `looks`; here is who trains when, and which look is the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from pawl.evidence.looks import sequential_p, spending
from pawl.evidence.pairs import Compared, Pairs
from pawl.evidence.tests import ALPHA
from pawl.execution import Session

LOOKS: tuple[int, ...] = (5, 10, 20)
"""Numbers of pairs after which results are looked at."""
_FEWEST_MORE = 3
_ASKED_TO_END = -1
_FEW, _MUCH_OF_THE_TIME = 2, 0.35


def look_by_look(
    session: Session,
    pairs: Pairs,
    candidate: Compared,
    others: Mapping[str, Compared],
    looks: Sequence[int],
    key: str,
    *,
    what: str,
    per_pair: float = 0.0,
) -> dict[str, float]:
    """Compares the candidate with each other recipe, look by look; returns p-values over the looks.

    Whether there is time for a further look is decided by the clock before the present one; the look
    that is so known to be the last gets all of alpha that is left. A comparison that is decided, even
    when corrected for all of them, is not trained further. Leaves the session's reserve. Where even so
    the time runs out in a look's middle, it is taken with the pairs there are, and is the last; without
    new ones, the look before was.

    Args:
        session: The campaign's.
        pairs: Where they are trained.
        candidate: What a positive effect favors.
        others: What it is compared with, by name.
        looks: Numbers of pairs.
        key: Of the units, behind the pairs' purpose.
        what: What is compared, for those who watch.
        per_pair: Seconds of a pair of all of them, as far as is known before the first.
    """
    planned = spending(looks)
    taken, shares = list[int](), list[float]()
    p_values: dict[str, list[float]] = {name: [] for name in others}
    combined = dict.fromkeys(others, 1.0)
    look, there = looks[0], 0
    while undecided := {n: arm for n, arm in others.items() if combined[n] * len(others) > ALPHA}:
        unit = f"{pairs.purpose}/{key}/{look}"
        session.listener.phase(
            pairs.purpose, f"{what}, {look} pairs of {1 + len(undecided)} recipes"
        )
        mine = {**undecided, "candidate": candidate}
        expected = (look - there) * (_per_pair(pairs, mine.values()) or per_pair)
        before, there = there, _grown(session, pairs, mine, unit, (there, look), expected)
        if there == before:
            if shares:  # by the clock, not by results, so what is left of alpha is its
                shares[-1] = 1.0 - sum(shares[:-1])
                combined |= {
                    name: sequential_p(p_values[name], taken, shares) for name in undecided
                }
            break
        following = 0
        if there == look:
            following = session.ledger.decide(
                f"{unit}/next",
                partial(_next_look, session, pairs, [candidate, *others.values()], look, looks),
            )
        taken.append(there)
        shares.append(planned[look] if following else 1.0 - sum(shares))
        for name, arm in undecided.items():
            p_values[name].append(pairs.compare(candidate, arm).p_value)
            combined[name] = sequential_p(p_values[name], taken, shares)
        if following <= 0:
            break
        look = following
    return combined


def _grown(
    session: Session,
    pairs: Pairs,
    arms: Mapping[str, Compared],
    key: str,
    look: tuple[int, int],
    expected: float,
) -> int:
    """Trains pairs from one number up to another; returns how many there are then.

    Where they are expected to take much of the time left, a few at a time: what is given up when the
    time runs out is then little. Members train faster together, so else all at once.
    """
    had, wanted = look

    def few_at_once() -> int:
        assert session.clock.left is not None
        return (
            _FEW
            if expected > _MUCH_OF_THE_TIME * (session.clock.left - session.clock.reserve)
            else wanted - had
        )

    step = wanted - had
    if session.clock.left is not None:
        step = session.ledger.decide(f"{key}/step", few_at_once)
    for number in range(had, wanted, step):
        upto = min(wanted, number + step)
        part = key if step == wanted - had else f"{key}/{upto}"
        if not pairs.run(part, arms, range(upto)):
            return number
        if session.clock.floor is not None:  # with pairs there, the end needs no more of them
            session.clock.floor = min(session.clock.floor, session.clock.reserve)
    return wanted


def _per_pair(pairs: Pairs, arms: Iterable[Compared]) -> float:
    """Returns the seconds of a pair of all these arms, as they took so far; 0 before the first."""
    return sum(pairs.seconds(arm) for arm in arms)


def _next_look(
    session: Session,
    pairs: Pairs,
    arms: Sequence[Compared],
    look: int,
    looks: Sequence[int],
) -> int:
    """Returns the number of pairs of the next look, 0 if this one is the last by the clock.

    Below 0 if it is the last as someone asked the campaign to end: who did may have seen results, so it
    gets no more of alpha than was planned.

    Where there is no time for all pairs of the next planned look, it is taken with those there is time
    for, if they are a few, and is the last. Looks at the clock and the number of arms, not at results.
    """
    planned = [n for n in looks if n > look]
    if not planned or look not in looks:
        return 0
    if session.clock.stopped:
        return _ASKED_TO_END
    if session.clock.left is None:
        return planned[0]
    affordable = look + int(
        (session.clock.left - session.clock.reserve) / max(_per_pair(pairs, arms), 1e-9)
    )
    return min(planned[0], affordable) if affordable >= look + _FEWEST_MORE else 0
