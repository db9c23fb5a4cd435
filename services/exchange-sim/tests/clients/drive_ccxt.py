"""Drives the exchange with ccxt (REST and pro), unpatched except for its base URLs. Usage: REST_ADDR ADMIN_ADDR ED25519_PEM."""

import asyncio
import sys

import ccxt
import ccxt.pro

REST, ADMIN, ED_PEM = sys.argv[1:4]


def make(kind, key, secret):
    client = kind({"apiKey": key, "secret": secret, "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}})
    for api in ("public", "private"):
        client.urls["api"][api] = f"http://{REST}/api/v3"
    if kind is ccxt.binance:
        return client
    client.urls["api"]["ws"]["spot"] = f"ws://{REST}/ws"
    client.urls["api"]["ws"]["ws-api"]["spot"] = f"ws://{REST}/ws-api/v3"
    return client


def rest(key, secret):
    client = make(ccxt.binance, key, secret)
    client.load_markets()
    market = client.market("BTC/USDT")
    assert market["limits"]["cost"]["min"] == 5 and market["precision"]["price"] == 0.01
    ticker = client.fetch_ticker("BTC/USDT")
    assert ticker["last"] and client.fetch_order_book("BTC/USDT")["asks"] and client.fetch_trades("BTC/USDT")
    client.fetch_ohlcv("BTC/USDT", "1m"), client.fetch_tickers(), client.fetch_time()
    bought = client.create_order("BTC/USDT", "market", "buy", 0.01)
    assert bought["status"] == "closed" and bought["fees"], bought
    low = client.price_to_precision("BTC/USDT", ticker["last"] * 0.9)
    order = client.create_order("BTC/USDT", "limit", "buy", 0.001, low)
    assert order["status"] == "open" and client.fetch_order(order["id"], "BTC/USDT")["status"] == "open"
    edited = client.edit_order(order["id"], "BTC/USDT", "limit", "buy", 0.002, low)
    assert edited["amount"] == 0.002
    assert client.cancel_order(edited["id"], "BTC/USDT")["status"] == "canceled"
    client.create_order("BTC/USDT", "limit", "buy", 0.001, low, {"postOnly": True})
    client.create_order("BTC/USDT", "limit", "sell", 0.001, low, {"stopLossPrice": low})
    assert len(client.fetch_open_orders("BTC/USDT")) == 2
    client.cancel_all_orders("BTC/USDT")
    assert client.fetch_orders("BTC/USDT") and client.fetch_closed_orders("BTC/USDT")
    trades = client.fetch_my_trades("BTC/USDT")
    assert trades and trades[0]["fee"]["currency"] == "BTC"
    assert client.fetch_balance()["BTC"]["total"] > 0
    every_kind(client, low, client.price_to_precision("BTC/USDT", ticker["last"] * 1.1))
    pages(client)
    for error, call in (
        (ccxt.InsufficientFunds, lambda: client.create_order("ETH/USDT", "market", "sell", 100)),
        (ccxt.OrderNotFound, lambda: client.fetch_order("999999", "BTC/USDT")),
        (ccxt.OrderNotFound, lambda: client.cancel_order("999999", "BTC/USDT")),
        (ccxt.AuthenticationError, lambda: make(ccxt.binance, "unknown", "x").fetch_balance()),
    ):
        try:
            call()
        except error:
            continue
        raise AssertionError(f"{error} expected")


def every_kind(client, low, high):
    """Each order type and time in force by the names that this client has for them."""
    market, kinds = "BTC/USDT", set()

    def place(*order, **params):
        made = client.create_order(market, *order, params=params)
        kinds.add((made["info"].get("type"), made["info"].get("timeInForce")))
        return made

    assert place("market", "buy", None, None, cost=50)["status"] == "closed"
    assert place("limit", "buy", 0.001, high, timeInForce="IOC")["status"] == "closed"
    assert place("limit", "buy", 0.001, high, timeInForce="FOK")["status"] == "closed"
    place("limit", "buy", 0.001, low, timeInForce="GTC")
    place("limit", "buy", 0.001, low, postOnly=True, newOrderRespType="RESULT")
    place("market", "sell", 0.001, None, stopLossPrice=low, newOrderRespType="RESULT")
    place("market", "sell", 0.001, None, takeProfitPrice=high, newOrderRespType="RESULT")
    place("limit", "sell", 0.001, low, stopLossPrice=low, newOrderRespType="RESULT")
    place("limit", "sell", 0.001, high, takeProfitPrice=high, newOrderRespType="RESULT")
    client.create_order(market, "limit", "buy", 0.001, low, params={"test": True})
    assert len(client.fetch_open_orders(market)) == 6
    client.cancel_all_orders(market)
    seen = {kind for kind, _ in kinds}
    assert seen == {"MARKET", "LIMIT", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"}, seen


def pages(client):
    market = "BTC/USDT"
    trades, orders = client.fetch_my_trades(market, limit=1000), client.fetch_orders(market, limit=1000)
    since = trades[0]["timestamp"]
    assert [t["id"] for t in client.fetch_my_trades(market, since, 2)] == [t["id"] for t in trades[:2]]
    page = client.fetch_my_trades(market, None, 2, {"fromId": trades[1]["id"]})
    assert [t["id"] for t in page] == [t["id"] for t in trades[1:3]]
    page = client.fetch_orders(market, None, 2, {"orderId": orders[1]["id"]})
    assert [o["id"] for o in page] == [o["id"] for o in orders[1:3]]
    one = client.fetch_order_trades(trades[0]["order"], market)
    assert one and all(t["order"] == trades[0]["order"] for t in one)


async def streams(key, secret):
    client = make(ccxt.pro.binance, key, secret)
    try:
        await client.load_markets()
        orders = asyncio.ensure_future(client.watch_orders("ETH/USDT"))
        balance = asyncio.ensure_future(client.watch_balance())
        ticker = asyncio.ensure_future(client.watch_ticker("ETH/USDT"))
        trades = asyncio.ensure_future(client.watch_trades("ETH/USDT"))
        book = asyncio.ensure_future(client.watch_order_book("ETH/USDT"))
        for _ in range(100):
            await client.create_order("ETH/USDT", "market", "buy", 0.01)
            done, _ = await asyncio.wait({orders, balance}, timeout=0.1)
            if len(done) == 2:
                break
        assert (await orders)[0]["symbol"] == "ETH/USDT" and (await balance)["ETH"]["total"] > 0
        assert (await asyncio.wait_for(ticker, 10))["last"] and await asyncio.wait_for(trades, 10)
        await asyncio.wait_for(book, 10)
        # The client checks that no update is missing; several more of them must still make a book whose sides do not cross.
        for _ in range(5):
            kept = await asyncio.wait_for(client.watch_order_book("ETH/USDT"), 10)
        assert kept["bids"][0][0] < kept["asks"][0][0], (kept["bids"][:1], kept["asks"][:1])
    finally:
        await client.close()


rest("sim-api-key", "sim-api-secret")
rest("sim-ed-key", open(ED_PEM).read())
asyncio.run(streams("sim-api-key", "sim-api-secret"))
asyncio.run(streams("sim-ed-key", open(ED_PEM).read()))
print("ccxt: ok")
