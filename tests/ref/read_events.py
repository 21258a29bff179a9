# read_events.py FOLDER - what TensorBoard itself reads in event files; for tests/train.sh.
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

a = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0})
a.Reload()
for tag in a.Tags()["scalars"]:
    print(tag, [(e.step, round(e.value, 6)) for e in a.Scalars(tag)][-2:])
for image in a.Images("samples"):
    assert image.encoded_image_string.startswith(b"\x89PNG") and image.encoded_image_string.endswith(b"IEND\xaeB`\x82")
    print("samples", image.step, image.width, image.height)
steps = [e.step for e in a.Scalars("lr")]
assert steps == sorted(set(steps)), "a step is there twice"
print(len(steps), "steps to", steps[-1])
