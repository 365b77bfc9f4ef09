"""MediaPipe Pose over a clip, for comparison: run by path in an environment of its own (it needs numpy < 2).

    python peer_mediapipe.py CLIP FRAMES  ->  one line of JSON

Legacy solutions API, model complexity 1 ("full"), video mode: what most people use.
"""

import json
import sys
import time

WARM_UP_FRAMES = 10


def main(clip: str, frames: int) -> None:
    """Measure from decoding to landmarks: CPU time of the process and wall time per frame, warm-up left out."""
    import cv2
    import mediapipe

    with mediapipe.solutions.pose.Pose(static_image_mode=False, model_complexity=1) as pose:
        capture = cv2.VideoCapture(clip)
        done = with_pose = 0
        took_ms = []
        cpu_s = wall_s = 0.0
        while done < WARM_UP_FRAMES + frames:
            if done == WARM_UP_FRAMES:
                cpu_s, wall_s = time.process_time(), time.perf_counter()
            start_s = time.perf_counter()
            good, bgr = capture.read()
            if not good:
                if not capture.get(cv2.CAP_PROP_POS_FRAMES):
                    raise SystemExit(f"cannot read {clip}")
                capture = cv2.VideoCapture(clip)  # again from the start, as our own run does
                continue
            result = pose.process(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
            with_pose += result.pose_landmarks is not None
            took_ms.append((time.perf_counter() - start_s) * 1e3)
            done += 1
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    took_ms = sorted(took_ms[WARM_UP_FRAMES:])
    told = {
        "name": f"MediaPipe Pose {mediapipe.__version__} (full)",
        "frames": frames,
        "fps": round(frames / wall_s, 2),
        "cpu_ms_per_frame": round(cpu_s / frames * 1e3, 3),
        "frame_ms": {f"p{q}": round(took_ms[min(int(frames * q / 100), frames - 1)], 3) for q in (50, 95, 99)},
        "with_people": with_pose,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
