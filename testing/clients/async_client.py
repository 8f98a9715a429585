"""Drives PyPI rocketchat-async, a client of the DDP interface."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from driver import run, saw
from rocketchat_async import RocketChat

client = RocketChat()


async def start(address, username, password):
    await client.start(address, username, password)
    return client.user_id


async def resume(address, username, token):
    await client.resume(address, username, token)
    return client.user_id


async def subscribe(room):
    return await client.subscribe_to_channel_messages_raw(room, lambda message: saw({"message": message}))


async def changes():
    return await client.subscribe_to_channel_changes(lambda room, kind: saw({"room": room, "kind": kind}))


async def watch():
    """Tells when the connection ends."""

    async def wait():
        try:
            await client.run_forever()
        except Exception as error:
            saw({"ended": type(error).__name__})

    watch.task = asyncio.create_task(wait())


asyncio.run(
    run(
        {
            "start": start,
            "resume": resume,
            "subscribe": subscribe,
            "changes": changes,
            "watch": watch,
            "channels": client.get_channels,
            "channels_raw": client.get_channels_raw,
            "send": client.send_message,
            "react": client.send_reaction,
            "typing": client.send_typing_event,
            "unsubscribe": client.unsubscribe,
        }
    )
)
