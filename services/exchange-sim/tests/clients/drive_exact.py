"""Adds up a random run of orders in exact fractions and compares with account, user stream and ledger.

Usage: REST_ADDR ADMIN_ADDR ED25519_PEM PAID_IN [SEED], where PAID_IN says in which asset fees are taken.
"""

import asyncio
import json
import random
import sys
import time
import urllib.request
from fractions import Fraction

from binance import AsyncClient, BinanceSocketManager
from binance.exceptions import BinanceAPIException

REST, ADMIN, _, PAID_IN = sys.argv[1:5]
SEED = int(sys.argv[5]) if len(sys.argv) > 5 else random.randrange(1_000_000)
SYMBOLS = {"BTCUSDT": ("BTC", "USDT", 5, 2), "ETHUSDT": ("ETH", "USDT", 4, 2), "ETHBTC": ("ETH", "BTC", 3, 5)}
DECIMALS = 10**8
FEE = Fraction(1, 1000)


def admin(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{ADMIN}{path}", data, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def text(units, decimals):
    return f"{units // 10**decimals}.{units % 10**decimals:0{decimals}d}"


def floor8(amount):
    return Fraction(amount.numerator * DECIMALS // amount.denominator, DECIMALS)


async def act(client, rng, prices):
    symbol = rng.choice(sorted(SYMBOLS))
    _, _, quantity_decimals, price_decimals = SYMBOLS[symbol]
    price = text(int(prices[symbol] * 10**price_decimals * rng.randrange(990, 1011) // 1000), price_decimals)
    order = dict(symbol=symbol, side=rng.choice(("BUY", "SELL")), quantity=text(rng.randrange(20, 3000), quantity_decimals))
    what = rng.randrange(8)
    if what == 7:
        admin("/admin/deposit", {"asset": "ETH", "amount": "0.00000001"})
        return Fraction(1, DECIMALS)
    if what < 3:
        order["type"] = "MARKET"
    elif what == 3:
        del order["quantity"]
        order.update(type="MARKET", quoteOrderQty=text(rng.randrange(1000, 90000), 2 if symbol.endswith("USDT") else 6))
    else:
        order.update(type="LIMIT", timeInForce=rng.choice(("GTC", "GTC", "IOC", "FOK")), price=price)
    try:
        await client.create_order(**order)
    except BinanceAPIException as error:
        assert error.code in (-1013, -2010), error
    return Fraction(0)


async def trades_by_page(client, symbol):
    """All trades in pages of seven, by id, which must equal those of one page by time."""
    paged = await client.get_my_trades(symbol=symbol, fromId=0, limit=7)
    while True:
        page = await client.get_my_trades(symbol=symbol, fromId=paged[-1]["id"] + 1, limit=7) if paged else []
        if not page:
            break
        assert page[0]["id"] > paged[-1]["id"] and len(page) <= 7
        paged += page
    now = int(time.time() * 1000)
    assert paged == await client.get_my_trades(symbol=symbol, startTime=now - 86_000_000, endTime=now + 100_000)
    if paged:
        order_id = paged[-1]["orderId"]
        assert await client.get_my_trades(symbol=symbol, orderId=order_id) == [t for t in paged if t["orderId"] == order_id]
    return paged


async def orders_by_page(client, symbol):
    paged = await client.get_all_orders(symbol=symbol, orderId=0, limit=5)
    while paged:
        page = await client.get_all_orders(symbol=symbol, orderId=paged[-1]["orderId"] + 1, limit=5)
        if not page:
            break
        paged += page
    now = int(time.time() * 1000)
    assert paged == await client.get_all_orders(symbol=symbol, startTime=now - 86_000_000, endTime=now + 100_000)
    assert paged[-3:] == await client.get_all_orders(symbol=symbol, limit=3)


def fee_is_right(trade, base, quote):
    asset, fee = trade["commissionAsset"], Fraction(trade["commission"])
    received = base if trade["isBuyer"] else quote
    if asset == base:
        expected = floor8(Fraction(trade["qty"]) * FEE)
    elif asset == quote:
        expected = floor8(Fraction(trade["quoteQty"]) * FEE)
    else:
        # The value in BNB depends on prices that have moved on; the amount is taken as reported.
        assert asset == "BNB" and PAID_IN == "bnb" and fee >= 0, trade
        return
    assert fee == expected, trade
    assert asset == (received if PAID_IN in ("received", "bnb") else quote) or asset == received, trade


async def run():
    print(f"seed {SEED}, fees in {PAID_IN}")
    rng = random.Random(SEED)
    client = AsyncClient("sim-api-key", "sim-api-secret")
    client.API_URL = f"http://{REST}/api"
    client.ws_api._url = f"ws://{REST}/ws-api/v3"
    streamed = {}
    try:
        async def account():
            return {b["asset"]: Fraction(b["free"]) + Fraction(b["locked"]) for b in (await client.get_account())["balances"]}

        async with BinanceSocketManager(client).user_socket() as socket:
            await client.ws_get_account()
            expected = await account()
            prices = {t["symbol"]: Fraction(t["price"]) for t in await client.get_all_tickers()}
            for _ in range(60):
                expected["ETH"] += await act(client, rng, prices)
            for symbol in SYMBOLS:
                if await client.get_open_orders(symbol=symbol):
                    await client._delete("openOrders", True, data={"symbol": symbol})
            count = 0
            for symbol, (base, quote, *_) in SYMBOLS.items():
                await orders_by_page(client, symbol)
                for trade in await trades_by_page(client, symbol):
                    sign = 1 if trade["isBuyer"] else -1
                    assert Fraction(trade["quoteQty"]) == Fraction(trade["price"]) * Fraction(trade["qty"]), trade
                    fee_is_right(trade, base, quote)
                    expected[base] += sign * Fraction(trade["qty"])
                    expected[quote] -= sign * Fraction(trade["quoteQty"])
                    expected[trade["commissionAsset"]] -= Fraction(trade["commission"])
                    count += 1
            assert count > 5, count
            assert await account() == expected, "account"
            held = admin("/admin/ledger")["balances"]["main"]
            assert {a: Fraction(b["free"]) + Fraction(b["locked"]) for a, b in held.items()} == expected, "ledger"
            touched = lambda: all(streamed[asset] == expected[asset] for asset in streamed)
            deadline = time.time() + 10
            while not ({"BTC", "ETH", "USDT"} <= set(streamed) and touched()):
                assert time.time() < deadline, ("stream", streamed, expected)
                event = await asyncio.wait_for(socket.recv(), 5)
                event = event.get("event", event)
                if event.get("e") == "outboundAccountPosition":
                    streamed.update({b["a"]: Fraction(b["f"]) + Fraction(b["l"]) for b in event["B"]})
    finally:
        await client.close_connection()


asyncio.run(run())
print("exact: ok")
