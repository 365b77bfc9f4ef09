"""MediaPipe Pose on pictures, for comparison: run by path in an environment of its own (it needs numpy < 2).

    python peer_mediapipe.py SIDE  <  pictures, SIDE x SIDE x 3 bytes RGB each  >  33 x 3 float32 each

Legacy solutions API, model complexity 1 ("full"), each picture alone; x and y as shares of the picture, visibility
0..1; all zero where it finds nobody. It looks for the person itself, with a low threshold: nothing is kept from it.
"""

import sys

THRESHOLD = 0.1  # its own default of 0.5 leaves more people out


def main(side: int) -> None:
    """Answer picture by picture until there are no more."""
    import mediapipe
    import numpy as np

    size = side * side * 3
    with mediapipe.solutions.pose.Pose(
        static_image_mode=True, model_complexity=1, min_detection_confidence=THRESHOLD
    ) as pose:
        while len(data := sys.stdin.buffer.read(size)) == size:
            found = pose.process(np.frombuffer(data, np.uint8).reshape(side, side, 3)).pose_landmarks
            marks = [(p.x, p.y, p.visibility) for p in found.landmark] if found else [(0.0, 0.0, 0.0)] * 33
            sys.stdout.buffer.write(np.array(marks, np.float32).tobytes())
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
