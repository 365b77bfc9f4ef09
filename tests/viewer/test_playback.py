from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.messages import EndOfStream
from pipeline.results.record import Results, collect, load_results, save_results
from tests.pipeline.clips import make_clip, number
from tests.viewer.people import people
from viewer.film import Film
from viewer.playback import Playback

S = 1_000_000_000


def results(frames: int = 30, gap: range = range(10, 15)) -> Results:
    """30 frames at 30 fps; nobody in some of them; a second person in the first five."""
    messages = [
        people([] if i in gap else [(0, 0, 4), (1, 0, 4)] if i < 5 else [(0, 0, 4)], seq=i, pts_s=0.5 + i / 30)
        for i in range(frames)
    ]
    return collect([*messages, EndOfStream(last_seq=frames - 1, reason="end")], fps=30.0)


def test_people_come_back_as_they_were_recorded(tmp_path: Path):
    saved = results()
    save_results(tmp_path / "r.npz", saved)
    play = Playback(load_results(tmp_path / "r.npz"), "r.npz")
    assert play.frames == 30
    assert [len(play.people(i).track) for i in (0, 4, 5, 9, 10, 14, 15, 29)] == [2, 2, 1, 1, 0, 0, 1, 1]
    back = play.people(3)
    assert np.array_equal(back.xyz_m, saved.xyz_m[saved.frame == 3])
    assert back.image_wh == (640, 360)
    assert back.stamp.pts_s == pytest.approx(0.6)
    assert (back.box_xyxy_px[:, 0] < back.xy_px[..., 0].min(1)).all()


def test_the_clock_plays_at_the_speed_asked_for_and_stops_at_the_end():
    play = Playback(results(), "r")
    assert play.tick(0).people.stamp.seq == 0
    assert play.tick(1) is None  # nothing new
    assert play.tick(S // 2).people.stamp.seq == 15
    play.speed = 0.1
    assert play.tick(S // 2 + S // 3 + 20_000_000).people.stamp.seq == 16
    play.speed = 4.0
    assert play.tick(3 * S).people.stamp.seq == 29
    assert not play.playing
    assert play.line(0).badge == "paused"
    assert play.toggle_pause() is False  # plays again, from the start
    assert play.tick(3 * S).people.stamp.seq == 0


def test_steps_and_seeks():
    play = Playback(results(), "r")
    play.tick(0)
    play.step(3)
    assert (play.playing, play.frame) == (False, 3)
    play.step(-99)
    assert play.frame == 0
    play.step(99)
    assert play.frame == 29
    play.seek(0.5)
    assert play.frame == 14
    assert play.share == pytest.approx(0.5)


def test_spans_tell_who_is_in_view_when():
    spans = Playback(results(), "r").spans()
    assert [(t, round(a * 30), round(b * 30)) for t, a, b in spans] == [(1, 0, 10), (1, 15, 30), (2, 0, 5)]


def test_frames_without_times_and_recordings_that_begin_late():
    timeless = replace(results(), pts_s=np.full(len(results().frame), np.nan), fps=10.0)
    assert Playback(timeless, "r").end_s == pytest.approx(2.9)
    late = Playback(replace(timeless, info={"first_frame": 20}), "r")
    assert late.frame == 20
    late.step(-5)
    assert late.frame == 20
    assert (late.share, late.line(0).cells[1].value) == (0.0, "0:00.0 / 0:00.9")


def test_an_empty_recording_plays():
    play = Playback(collect([EndOfStream(last_seq=-1, reason="end")]), "empty")
    shot = play.tick(0)
    assert len(shot.people.track) == 0
    assert play.line(0).hint == "No person in this frame"
    assert play.spans() == []


def test_each_frame_is_shown_on_its_own_picture(tmp_path: Path):
    clip = make_clip(tmp_path / "clip.mp4", frames=60)
    play = Playback(results(60), "r", Film(clip))
    for frame in (0, 1, 2, 30, 31, 7, 59, 3):
        play.playing = False
        play.step(frame - play.frame)
        picture = play._film.picture(frame, wait_s=20)
        shot = play.tick(0)
        assert shot.people.stamp.seq == frame
        assert number(picture) == number(shot.picture) == frame % 12
    play.close()


def test_playing_waits_a_moment_for_the_picture_then_goes_on_without(tmp_path: Path):
    clip = make_clip(tmp_path / "clip.mp4", frames=5)  # shorter than the results
    play = Playback(results(), "r", Film(clip))
    play._film.picture(4, wait_s=20)
    play.step(20)
    assert play.tick(S) is None
    shot = play.tick(2 * S)
    assert (shot.people.stamp.seq, shot.picture) == (20, None)
    play.close()


def test_the_moment_of_a_screenshot_comes_with_its_past(tmp_path: Path):
    play = Playback(results(90), "r", Film(make_clip(tmp_path / "clip.mp4", frames=90)))
    shots = list(play.approach(3.0))
    assert [shot.people.stamp.seq for shot in shots] == list(range(15, 76))
    assert shots[-1].picture is not None
    assert number(shots[-1].picture) == 75 % 12
    play.close()


def test_a_video_that_is_none(tmp_path: Path):
    with pytest.raises(SourceError, match="does not exist"):
        Film(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(SourceError):
        Film(tmp_path / "text.mp4")
