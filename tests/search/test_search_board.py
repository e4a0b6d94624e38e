"""The board: whom it compares with whom, whom it lets wait, and who gets the next configurations."""

from __future__ import annotations

from pawl.search.board import Answer, Board, Report


def board(count: int, workers: int, *, lockstep: bool = True) -> Board:
    return Board(({"index": i} for i in range(count)), workers, lockstep=lockstep)


def numbers(answer: Answer) -> list[int]:
    assert all(params == {"index": number} for number, params in answer.fresh)
    return [number for number, _ in answer.fresh]


def begin(desk: Board, *places: int) -> None:
    """Gives every worker its first configurations, which are evaluated after ten steps."""
    for worker, free in enumerate(places):
        desk.ask(worker, Report(0, 1, free=free))
    for worker in range(len(places)):
        desk.ask(worker, Report(0, 10))


def test_the_first_configurations_are_dealt_in_turn_when_all_workers_are_there() -> None:
    with board(5, 3) as desk:
        assert desk.ask(2, Report(0, 1, free=2)) == {}
        assert desk.ask(0, Report(0, 1, free=2)) == {}
        dealt = desk.ask(1, Report(0, 1, free=2))
        assert {worker: numbers(answer) for worker, answer in dealt.items()} == {
            0: [0, 3],
            1: [1, 4],
            2: [2],
        }
        assert [sorted(own) for own in desk.dealt] == [[0, 3], [1, 4], [2]]


def test_members_are_compared_over_all_workers_and_places_go_to_the_emptier() -> None:
    with board(20, 2) as desk:
        begin(desk, 3, 3)
        good, bad = {0: (0, 0.9), 2: (0, 0.8), 4: (0, 0.7)}, {1: (0, 0.1), 3: (0, 0.2), 5: (0, 0.3)}
        assert desk.ask(0, Report(10, 20, good, staying=3)) == {}
        answers = desk.ask(1, Report(10, 20, bad, staying=3))
        assert answers[0].pruned == {4}  # two of six go on
        assert answers[1].pruned == {1, 3, 5}
        assert (numbers(answers[0]), numbers(answers[1])) == ([8], [6, 7, 9])


def test_what_is_earlier_is_decided_first_whoever_tells_first() -> None:
    with board(20, 2) as desk:
        begin(desk, 1, 1)
        # The first worker is ahead: at its rung after 25 steps, when the other has reported 10.
        assert set(desk.ask(0, Report(10, 25))) == {0}
        assert set(desk.ask(1, Report(10, 20))) == {1}
        assert desk.ask(0, Report(25, 35, {0: (0, 0.5)}, staying=1)) == {}
        # Nothing before step 30 can come from the other now, and so the first is answered, too.
        answers = desk.ask(1, Report(20, 30, {1: (0, 0.6)}, staying=1))
        assert not answers[1].pruned
        assert answers[0].pruned == {0}
    with board(20, 2) as desk:
        begin(desk, 1, 1)
        assert set(desk.ask(0, Report(10, 25))) == {0}
        assert set(desk.ask(1, Report(10, 30))) == {1}
        # The other has promised to tell nothing before step 30: no need to wait.
        assert set(desk.ask(0, Report(25, 35, {0: (0, 0.5)}, staying=1))) == {0}


def test_nobody_waits_for_a_worker_that_has_left() -> None:
    with board(6, 3) as desk:
        begin(desk, 1, 1, 1)
        assert desk.ask(0, Report(10, 20, {0: (0, 0.5)}, staying=1)) == {}
        assert desk.leave(1) == {}
        answers = desk.leave(2)
        assert set(answers) == {0}
        assert not answers[0].pruned
        assert desk.leave(0) == {}


def test_without_lockstep_the_answer_comes_at_once_from_what_was_seen_so_far() -> None:
    with board(20, 2, lockstep=False) as desk:
        assert numbers(desk.ask(1, Report(0, 1, free=2))[1]) == [0, 1]
        assert numbers(desk.ask(0, Report(0, 1, free=2))[0]) == [2, 3]
        first = desk.ask(1, Report(10, 20, {0: (0, 0.1), 1: (0, 0.3)}, staying=2))
        assert first == {1: Answer(frozenset({0}), ((4, {"index": 4}),))}
        second = desk.ask(0, Report(10, 20, {2: (0, 0.2), 3: (0, 0.25)}, staying=2))
        assert second[0].pruned == {2}  # the other is second of the four seen


def test_who_has_more_waiting_than_places_gets_nothing_new() -> None:
    with board(20, 1) as desk:
        assert numbers(desk.ask(0, Report(0, 1, free=2))[0]) == [0, 1]
        again = desk.ask(0, Report(10, 20, {0: (0, 0.1), 1: (0, 0.2)}, free=-3, staying=2))
        assert again[0].pruned == {0}
        assert numbers(again[0]) == []
