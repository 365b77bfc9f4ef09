"""What names a source, and what is shown of its name."""

import pytest

from pipeline.config import SourceConfig
from pipeline.errors import SourceError
from pipeline.sources.redact import redact
from pipeline.sources.video import open_source


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:pa55@cam.local:554/live?x=1", "rtsp://***@cam.local:554/live?x=1"),
        ("rtsp://user:p@ss@10.0.0.2/live", "rtsp://***@10.0.0.2/live"),
        ("rtsp://user:pa/ss@10.0.0.2/live", "rtsp://***@10.0.0.2/live"),
        ("http://host/a?channel=1&token=s3cret&password=x#y", "http://host/a?channel=1&token=***&password=***#y"),
        ("http://host:80/path@2", "http://host:80/path@2"),
        ("/home/me@work/clip.mp4", "/home/me@work/clip.mp4"),
    ],
)
def test_redaction_hides_what_is_secret_and_only_that(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_an_unknown_kind_of_source_is_named() -> None:
    with pytest.raises(SourceError, match="unknown kind of source 'tape'"):
        open_source(SourceConfig("tape", "x"))
