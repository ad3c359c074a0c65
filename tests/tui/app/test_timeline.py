"""The step cursor."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from synergy_tui.app.timeline import Mode, Timeline


@pytest.fixture
def timeline() -> Timeline:
    line = Timeline()
    line.observe(100, range(0, 101, 20), pace=10)
    return line


def test_following_is_the_newest_step(timeline: Timeline) -> None:
    assert timeline.step == 100
    timeline.observe(130, range(0, 131, 20))
    assert timeline.step == 130


def test_paused_stays_while_the_log_grows(timeline: Timeline) -> None:
    timeline.toggle_play(live=True)
    timeline.observe(200, range(0, 201, 20))
    assert (timeline.step, timeline.behind) == (100, 100)
    timeline.toggle_play(live=True)
    assert (timeline.step, timeline.mode) == (100, Mode.PLAYING)
    timeline.advance(2.0)
    assert timeline.step == 140, "twice the recorded pace, to catch up"
    timeline.advance(5.0)
    assert (timeline.step, timeline.mode) == (200, Mode.FOLLOW)


def test_steps_go_from_probe_to_probe(timeline: Timeline) -> None:
    timeline.move(-1)
    assert (timeline.step, timeline.mode) == (80, Mode.PAUSED)
    timeline.seek(70)
    timeline.move(1)
    assert timeline.step == 80
    timeline.seek(70)
    timeline.move(-1)
    assert timeline.step == 60
    timeline.move(-99)
    assert timeline.step == 0
    timeline.move(99)
    assert timeline.step == 100


def test_a_jump_is_a_tenth_of_the_run_to_the_nearest_probe(timeline: Timeline) -> None:
    timeline.observe(1000, range(0, 1001, 20))
    timeline.jump(-1)
    assert timeline.step == 900
    timeline.first()
    timeline.jump(2)
    assert timeline.step == 200


def test_playing_repeats_the_recorded_pace_and_stops_at_the_end(timeline: Timeline) -> None:
    timeline.first()
    timeline.toggle_play()
    assert timeline.advance(2.0)
    assert timeline.step == 20
    timeline.change_speed(1)
    assert timeline.advance(2.0)
    assert timeline.step == 60
    assert timeline.advance(60.0)
    assert (timeline.step, timeline.mode) == (100, Mode.FOLLOW)


def test_playing_from_the_end_begins_again_fast_enough_for_long_runs(timeline: Timeline) -> None:
    timeline.observe(100_000, [0, 100_000], pace=10)
    timeline.toggle_play()
    assert timeline.step == 0
    assert 100_000 / 10 / timeline.speed <= 30


def test_time_that_passes_moves_nothing_unless_it_plays(timeline: Timeline) -> None:
    assert not timeline.advance(100.0)
    assert timeline.step == 100


@given(
    st.lists(st.integers(0, 10**6), max_size=30),
    st.lists(
        st.sampled_from(["first", "follow", "toggle_play"])
        | st.tuples(st.sampled_from(["move", "jump", "change_speed"]), st.integers(-20, 20))
        | st.tuples(st.just("advance"), st.floats(0, 1e6)),
        max_size=40,
    ),
)
def test_the_cursor_never_leaves_the_run(stops: list[int], moves: list[object]) -> None:
    line = Timeline()
    line.observe(max(stops, default=0), stops)
    for move in moves:
        if isinstance(move, tuple):
            getattr(line, move[0])(move[1])
        else:
            getattr(line, str(move))()
        assert 0 <= line.step <= line.last
