"""Drives PyPI rocketchat-API, a client of the REST interface: every step but `connect` is one of its methods."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from driver import run
from rocketchat_API.rocketchat import RocketChat

clients = {}


async def connect(**options):
    clients["it"] = RocketChat(**options)
    return dict(clients["it"].headers)


async def call(name, **arguments):
    result = getattr(clients["it"], name)(**arguments)
    # Lists come page by page, as a generator.
    return result if isinstance(result, (dict, list, str)) else list(result)


asyncio.run(run({"connect": connect, "call": call}))
