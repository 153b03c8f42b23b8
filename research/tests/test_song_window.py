"""The window of songs grows to its full size and then moves on, by the step alone."""

from ugosa_research.songs.song_window import WindowPlan


def test_a_window_of_one_size_moves_with_the_step():
    plan = WindowPlan(seed=1, n_songs=4, songs_a_step=0.5)
    assert [plan.window(step) for step in (0, 1, 2, 10)] == [range(4), range(4), range(1, 5), range(5, 9)]


def test_a_growing_window_keeps_its_songs_until_it_is_full():
    plan = WindowPlan(seed=1, n_songs=4, most_songs=6, songs_a_step=1.0)
    assert [plan.window(step) for step in (0, 2, 3)] == [range(4), range(6), range(1, 7)]
