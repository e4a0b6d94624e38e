"""What is measured of data before anything is trained: by column, of rows, of targets."""

from __future__ import annotations

from dataclasses import dataclass

from pawl.kinds import KindName


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """One number or category of each row.

    Attributes:
        name: The column's.
        category: Whether its values are codes.
        distinct: Different values among `DataFacts.looked` rows.
        counts_up: Whether it is a whole number, different in each row, of a range not much larger than
            the rows.
        copy_of: The first column of which it is a copy (numbers: up to scale and shift); empty if none.
        extreme: How much further than 99.5% of the values the outermost one is from the median.
        outer: How many values are more than half as far out as the outermost.
        by_chance: How many values would be as far out as the nearest of these, if the tail of the others
            went on as it falls.
        predicts: Share of the target's variance (of classes: of the constant prediction's errors) that
            is gone when a small tree predicts it by this column alone, on rows that it did not learn.
        drift: Largest difference between the distribution functions (categories: between shares,
            summed) of the rows that train and the test rows.
        drift_p: Its p-value.
    """

    name: str
    category: bool
    distinct: int
    counts_up: bool = False
    copy_of: str = ""
    extreme: float = 1.0
    outer: int = 0
    by_chance: float = 0.0
    predicts: float = 0.0
    drift: float = 0.0
    drift_p: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ClearRows:
    """How often labels are not what boosted trees say that did not learn these rows.

    Attributes:
        rows: That were predicted.
        clearest: Share of unlike labels among the tenth that is predicted with most confidence.
        next: Among the two tenths behind it.
        skill: Share of the constant prediction's errors that the trees do not make.
        graded: What `clearest` would be of right labels that are as hard to tell as `skill` says.
        suspects: Rows whose label is less likely than any other in the mean of those that have it,
            while another label is as likely as in the mean of its own (confident learning).
    """

    rows: int
    clearest: float
    next: float
    skill: float
    graded: float
    suspects: int


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What was measured of a task's data.

    Attributes:
        kind: What is predicted.
        rows: Development rows.
        test_rows: Test rows.
        looked: Rows that columns were measured on.
        classes: Development rows by class; empty if no single class is predicted.
        names: The classes' names, if they have any.
        columns: Of tables and of arrays of one number per column; empty for all else.
        copies: Share of the development rows that have the inputs of an earlier one.
        conflicts: Share of them that have those of another with another class.
        seen: Test rows that have the inputs of a development row.
        neighbors: How much more alike the targets of neighboring rows are than those of any two: 0 is
            not, 1 is the same.
        sorted: Whether rows are in order of their targets.
        blocks: Whether it was said that rows belong together, or come one after the other.
        clear: See `ClearRows`; `None` where it was not measured.
        trees: Share of the constant's loss that boosted trees explain out of fold; `None` alike.
    """

    kind: KindName
    rows: int
    test_rows: int
    looked: int
    classes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    columns: tuple[ColumnFacts, ...] = ()
    copies: float = 0.0
    conflicts: float = 0.0
    seen: int = 0
    neighbors: float = 0.0
    sorted: bool = False
    blocks: bool = False
    clear: ClearRows | None = None
    trees: float | None = None
