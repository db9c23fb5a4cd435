"""Drives the exchange with python-binance, unpatched except for its base URLs. Usage: REST_ADDR ADMIN_ADDR ED25519_PEM."""

import asyncio
import json
import sys
import time
import urllib.request
from decimal import Decimal

from binance import AsyncClient, BinanceSocketManager
from binance.client import Client
from binance.exceptions import BinanceAPIException

REST, ADMIN, ED_PEM = sys.argv[1:4]


def point(client):
    client.API_URL = f"http://{REST}/api"
    client.ws_api._url = f"ws://{REST}/ws-api/v3"
    return client


def admin(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{ADMIN}{path}", data, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def refused(code, call):
    try:
        call()
    except BinanceAPIException as error:
        assert error.code == code, (code, error)
        return
    raise AssertionError(f"{code} expected")


def balances(client):
    return {b["asset"]: Decimal(b["free"]) + Decimal(b["locked"]) for b in client.get_account()["balances"]}


def rest(client):
    client.ping()
    assert abs(client.get_server_time()["serverTime"] - time.time() * 1000) < 5000
    assert client.get_symbol_info("BTCUSDT")["filters"]
    assert len(client.get_all_tickers()) == 4 and client.get_order_book(symbol="BTCUSDT")["asks"]
    client.get_klines(symbol="BTCUSDT", interval="1m")
    client.get_ticker(symbol="BTCUSDT"), client.get_orderbook_ticker(symbol="BTCUSDT"), client.get_avg_price(symbol="BTCUSDT")
    client.get_recent_trades(symbol="BTCUSDT"), client.get_aggregate_trades(symbol="BTCUSDT")
    client.create_test_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")
    before = balances(client)
    bought = client.order_market_buy(symbol="BTCUSDT", quantity="0.2")
    assert bought["status"] == "FILLED" and bought["fills"]
    client.order_market_buy(symbol="BTCUSDT", quoteOrderQty="100")
    last = Decimal(client.get_symbol_ticker(symbol="BTCUSDT")["price"]).quantize(Decimal("0.01"))
    low, high = (str((last * f).quantize(Decimal("0.01"))) for f in (Decimal("0.9"), Decimal("1.1")))
    limit = client.order_limit_buy(symbol="BTCUSDT", quantity="0.001", price=low, newClientOrderId="py-1")
    refused(-2010, lambda: client.order_limit_buy(symbol="BTCUSDT", quantity="0.001", price=low, newClientOrderId="py-1"))
    assert client.get_order(symbol="BTCUSDT", origClientOrderId="py-1")["orderId"] == limit["orderId"]
    replaced = client.cancel_replace_order(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.002", price=low,
        cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=limit["orderId"])
    assert replaced["newOrderResult"] == "SUCCESS"
    client.create_order(symbol="BTCUSDT", side="SELL", type="LIMIT_MAKER", quantity="0.001", price=high)
    client.create_order(symbol="BTCUSDT", side="SELL", type="STOP_LOSS", quantity="0.001", stopPrice=low)
    client.create_order(symbol="BTCUSDT", side="SELL", type="TAKE_PROFIT", quantity="0.001", stopPrice=high)
    stop = dict(symbol="BTCUSDT", side="SELL", timeInForce="GTC", quantity="0.001", price=low)
    client.create_order(type="STOP_LOSS_LIMIT", stopPrice=low, **stop)
    client.create_order(type="TAKE_PROFIT_LIMIT", stopPrice=high, **stop)
    for life in ("IOC", "FOK"):
        client.create_order(symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce=life, quantity="0.001", price=high)
    assert len(client.get_open_orders(symbol="BTCUSDT")) == 6
    client.cancel_order(symbol="BTCUSDT", orderId=client.get_open_orders(symbol="BTCUSDT")[0]["orderId"])
    client._delete("openOrders", True, data={"symbol": "BTCUSDT"})
    assert client.get_open_orders() == []
    everything = client.get_all_orders(symbol="BTCUSDT")
    page = client.get_all_orders(symbol="BTCUSDT", orderId=everything[2]["orderId"], limit=2)
    assert [o["orderId"] for o in page] == [o["orderId"] for o in everything[2:4]]
    trades = client.get_my_trades(symbol="BTCUSDT")
    page = client.get_my_trades(symbol="BTCUSDT", fromId=trades[1]["id"], limit=3)
    assert [t["id"] for t in page] == [t["id"] for t in trades[1:4]]
    after = dict(before)
    for t in trades:
        sign = 1 if t["isBuyer"] else -1
        after["BTC"] += sign * Decimal(t["qty"])
        after["USDT"] -= sign * Decimal(t["quoteQty"])
        after[t["commissionAsset"]] -= Decimal(t["commission"])
    assert after == balances(client), "balances must be exact to the last decimal"
    refused(-1121, lambda: client.get_symbol_ticker(symbol="NOSUCH"))
    refused(-1013, lambda: client.order_limit_buy(symbol="BTCUSDT", quantity="0.001", price="60000.001"))
    refused(-2010, lambda: client.order_market_sell(symbol="ETHUSDT", quantity="1"))
    refused(-2011, lambda: client.cancel_order(symbol="BTCUSDT", orderId=999999))
    refused(-2013, lambda: client.get_order(symbol="BTCUSDT", orderId=999999))
    for offset in (-20_000, 20_000):
        client.timestamp_offset = offset
        refused(-1021, lambda: client.order_market_buy(symbol="BTCUSDT", quantity="0.001"))
    client.timestamp_offset = 0
    admin("/admin/faults", {"kind": "http_429", "path": "/api/v3/account"})
    refused(-1003, client.get_account)
    assert "x-mbx-used-weight-1m" in client.response.headers


async def streams(client):
    manager = BinanceSocketManager(client)
    seen = []
    async with manager.user_socket() as socket:
        await asyncio.sleep(0.2)
        await client.order_market_buy(symbol="ETHUSDT", quantity="0.01")
        admin("/admin/external-trade", {"symbol": "ETHUSDT", "side": "BUY", "quantity": "0.01"})
        admin("/admin/deposit", {"asset": "ETH", "amount": "1"})
        while not {"executionReport", "outboundAccountPosition", "balanceUpdate"} <= set(seen):
            event = await asyncio.wait_for(socket.recv(), 5)
            seen.append(event.get("e", event.get("event", {}).get("e")))
    placed = await client.ws_create_order(symbol="ETHUSDT", side="BUY", type="MARKET", quantity="0.01")
    assert placed["status"] == "FILLED"
    await client.ws_get_order_book(symbol="ETHUSDT")


async def asynchronous(key, secret):
    client = AsyncClient(key, secret)
    point(client)
    try:
        await streams(client)
    finally:
        await client.close_connection()


rest(point(Client("sim-api-key", "sim-api-secret", ping=False)))
ed25519 = point(Client("sim-ed-key", private_key=open(ED_PEM).read(), ping=False))
assert ed25519.get_account()["balances"] and ed25519.order_market_buy(symbol="BTCUSDT", quantity="0.001")["fills"]
asyncio.run(asynchronous("sim-api-key", "sim-api-secret"))
print("python-binance: ok")
