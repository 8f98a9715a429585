"""Reads one step per line of JSON, {"do": …, "with": …}, and answers each with one line: {"value": …} or
{"error": …}. `saw` prints what reached the client meanwhile. Ends when the input ends."""

import asyncio
import json
import sys


def emit(line):
    print(json.dumps(line), flush=True)


def saw(what):
    emit({"saw": what})


def describe(error):
    """What an error says: the parts of a REST refusal if it has them, else its type and text."""
    parts = {key: getattr(error, key, None) for key in ("status_code", "error", "error_type")}
    found = {key: value for key, value in parts.items() if value is not None}
    return {**found, "type": type(error).__name__, "message": str(error)}


async def run(steps):
    """`steps` maps the name of a step to a coroutine function; `with` holds its keyword arguments."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        step = json.loads(line)
        try:
            emit({"value": await steps[step["do"]](**step["with"])})
        except Exception as error:  # whatever a client throws is for the test to judge
            emit({"error": describe(error)})
