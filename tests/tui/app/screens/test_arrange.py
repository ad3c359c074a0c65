"""Where the panels of the inspector and the stepper lie."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from synergy_tui.app.screens.arrange import (
    ARRIVAL,
    FIRST_STAGE,
    HEADS,
    MAP,
    MAPS,
    PANELS,
    PATHS,
    RESPONSE,
    WEIGHTS,
    WHAT_IF,
    arrange_inspector,
    arrange_stepper,
)

rooms = st.tuples(st.integers(40, 300), st.integers(9, 90))


def overlaps(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


@settings(max_examples=200)
@given(rooms, st.integers(1, 16), st.integers(2, 130), st.permutations(range(6)), st.booleans())
def test_inspector_panels_cover_the_screen_and_never_each_other(
    room: tuple[int, int], heads: int, nodes: int, recent: list[int], alone: bool
) -> None:
    places = arrange_inspector(*room, heads, nodes, recent, alone)
    assert sum(w * h for _, _, w, h in places.values()) == room[0] * room[1]
    for number, place in places.items():
        assert place[0] + place[2] <= room[0]
        assert place[1] + place[3] <= room[1]
        assert place[2] >= 20
        assert place[3] >= 4
        assert not any(overlaps(place, b) for a, b in places.items() if a != number)
    if alone:
        assert list(places) == [recent[0]]


def test_the_inspector_uses_the_room_there_is() -> None:
    recent = [WHAT_IF, MAP, PATHS, ARRIVAL, HEADS, MAPS]
    assert set(arrange_inspector(60, 17, 8, 33, recent, False)) == {WHAT_IF}
    assert set(arrange_inspector(80, 21, 8, 33, recent, False)) == {WHAT_IF, MAP, HEADS}
    assert set(arrange_inspector(120, 37, 8, 33, recent, False)) == set(range(6)) - {ARRIVAL}
    assert set(arrange_inspector(200, 57, 8, 33, recent, False)) == set(range(len(PANELS)))
    map_place = arrange_inspector(120, 37, 8, 33, recent, False)[MAP]
    assert map_place[2] - 2 >= 33 + 3


@settings(max_examples=200)
@given(rooms, st.integers(1, 16), st.integers(2, 130))
def test_stepper_panels_never_overlap(room: tuple[int, int], heads: int, nodes: int) -> None:
    stages, places = arrange_stepper(*room, heads, nodes)
    assert {FIRST_STAGE + place for place in range(stages)} <= set(places)
    assert stages <= heads + 1
    for number, place in places.items():
        assert place[0] + place[2] <= room[0]
        assert place[1] + place[3] <= room[1]
        assert place[3] >= 3
        assert not any(overlaps(place, b) for a, b in places.items() if a != number)


def test_the_stepper_puts_single_heads_beside_the_mixture() -> None:
    assert arrange_stepper(80, 22, 2, 4)[0] == 3
    assert arrange_stepper(60, 18, 2, 4)[0] == 2
    assert arrange_stepper(200, 57, 8, 4)[0] == 7
    assert arrange_stepper(200, 57, 1, 4)[0] == 1
    assert {WEIGHTS, RESPONSE} <= set(arrange_stepper(80, 22, 2, 4)[1])
