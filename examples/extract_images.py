"""Takes a share of an archive of images by class, evenly over the classes.

python examples/extract_images.py ../shared/data/cifar10.tar.xz extract.tar --train 5000 --test 1000
"""

from __future__ import annotations

import argparse
import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath


def main() -> None:
    """Reads the archive once, in order, and keeps the first images of each class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=5000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=10)
    arguments = parser.parse_args()
    wanted = {
        "train": arguments.train // arguments.classes,
        "test": arguments.test // arguments.classes,
    }
    taken: Counter[tuple[str, str]] = Counter()
    with tarfile.open(arguments.archive) as source, tarfile.open(arguments.out, "w") as target:
        for member in source:
            parts = PurePosixPath(member.name).parts
            if not member.isfile() or len(parts) != 3 or parts[0] not in wanted:
                continue
            if taken[parts[:2]] < wanted[parts[0]]:
                taken[parts[:2]] += 1
                target.addfile(member, source.extractfile(member))
    print(f"{sum(taken.values())} images in {arguments.out}")


if __name__ == "__main__":
    main()
