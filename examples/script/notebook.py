#!/usr/bin/env python3
"""A platform in Python: one room, which is a text file. Who adds a line `alice: hello` has said it; answers are added.

Everything before the line that was accepted last is known to be stored, so that place is kept beside the file.
"""
import json
import os
import selectors
import sys

BOOK = sys.argv[1]
PLACE = BOOK + ".place"
os.set_blocking(sys.stdin.fileno(), False)


def tell(**line):
    print(json.dumps(line), flush=True)


def new_lines(place):
    """Whole lines after `place`, each with its own place and the place after it."""
    with open(BOOK, "rb") as book:
        book.seek(place)
        for line in book:
            if not line.endswith(b"\n"):
                return
            yield place, place + len(line), line.decode(errors="replace").rstrip("\n")
            place += len(line)


def post(line):
    """Adds an answer. A post that comes again is found by its id, so the configuration may say `idempotent: true`."""
    mark = f"[{line['id']}] "
    with open(BOOK, "r+", encoding="utf-8") as book:
        if mark not in book.read():
            book.write("".join(f"{mark}{text}\n" for text in line["text"].splitlines()))
    tell(type="posted", id=line["id"])


open(BOOK, "a").close()
place = int(open(PLACE).read()) if os.path.exists(PLACE) else 0
waiting, rest = {}, b""
watch = selectors.DefaultSelector()
watch.register(sys.stdin, selectors.EVENT_READ)
while True:
    # Said again only if the gateway ends before it has answered: then this program is started anew.
    for begin, end, line in [] if waiting else new_lines(place):
        who, colon, text = line.partition(": ")
        if colon and text.strip() and not line.startswith("["):
            waiting[str(begin)] = end
            tell(type="message", id=str(begin), room="notebook", sender={"id": who, "name": who}, text=text)
            break
        place = end
    if watch.select(timeout=0.1):
        read = os.read(sys.stdin.fileno(), 65536)
        if not read:
            sys.exit(0)
        *lines, rest = (rest + read).split(b"\n")
        for line in map(json.loads, lines):
            if line["type"] == "post":
                post(line)
            elif line["type"] == "accepted" and line["id"] in waiting:
                place = waiting.pop(line["id"])
                with open(PLACE + ".new", "w") as file:
                    file.write(str(place))
                os.replace(PLACE + ".new", PLACE)
