"""Talks to the Telegram stand-in with python-telegram-bot, as a user's own bot would.

    pip install python-telegram-bot
    python telegram_bot.py http://127.0.0.1:7112

Prints "ok" and exits 0 when the library accepted every answer.
"""

import asyncio
import json
import sys
import urllib.request

from telegram import Bot
from telegram.error import BadRequest, NetworkError, RetryAfter

TEXT = "🚨 KILL SWITCH ACTIVATED: drill & <test>"
# Proxies of the environment must not stand between two programs on one machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def control(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with OPENER.open(urllib.request.Request(url + path, data=data), timeout=10) as answer:
        return json.load(answer)


async def raises(kind, call):
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


async def main(url):
    async with Bot("123456:test-token", base_url=f"{url}/bot") as bot:
        assert bot.id == 123456 and bot.username == "thunes_standin_bot", bot.bot

        message = await bot.send_message(chat_id=-42, text=TEXT)
        assert message.text == TEXT and message.chat.id == -42 and message.chat.type == "group", message
        assert message.from_user.is_bot and message.date is not None, message
        assert (await bot.send_message("@ops", "to a channel")).chat.username == "ops"
        assert (await bot.get_updates(timeout=0)) == ()

        shown = [m for m in control(url, "/standin/messages") if m["message_id"] == message.message_id]
        assert len(shown) == 1 and shown[0]["text"] == TEXT and shown[0]["chat_id"] == "-42", shown

        await raises(BadRequest, bot.send_message(chat_id=1, text=""))
        control(url, "/standin/fail", {"count": 1, "retry_after_s": 7})
        limited = await raises(RetryAfter, bot.send_message(chat_id=1, text="too fast"))
        assert str(limited.retry_after) in ("7", "0:00:07"), limited.retry_after
        control(url, "/standin/fail", {"count": 1, "status": 502})
        await raises(NetworkError, bot.send_message(chat_id=1, text="into the void"))
        assert (await bot.send_message(chat_id=1, text="again")).message_id == message.message_id + 2


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1].rstrip("/")))
    print("ok")
