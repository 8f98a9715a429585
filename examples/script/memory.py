#!/usr/bin/env python3
"""An agent in Python that remembers: with `per_turn: false` one process serves all turns of a session."""
import json
import sys


def say(**line):
    print(json.dumps(line), flush=True)


heard = []
for line in sys.stdin:
    told = json.loads(line)
    if told["type"] == "turn":
        # In a room the prompt begins with who said it, in brackets.
        heard.append(told["prompt"].splitlines()[-1].split("] ")[-1])
        for word in f"I was told {len(heard)} things, and at last: {heard[-1]}".split(" "):
            say(type="text", text=word + " ")
        say(type="done")
