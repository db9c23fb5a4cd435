"""Drives the exchange with the exchange's own SDK, unpatched except for its base URLs. Usage: REST_ADDR ADMIN_ADDR ED25519_PEM."""

import asyncio
import json
import sys
import urllib.request

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketAPI, ConfigurationWebSocketStreams
from binance_sdk_spot.spot import Spot

REST, ADMIN, ED_PEM = sys.argv[1:4]
HMAC = dict(api_key="sim-api-key", api_secret="sim-api-secret")
ED25519 = dict(api_key="sim-ed-key", private_key=open(ED_PEM).read())


def admin(path, body):
    request = urllib.request.Request(f"http://{ADMIN}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def refused(code, call):
    try:
        call()
    except Exception as error:
        assert str(code) in str(error) or getattr(error, "error_code", None) == code, (code, repr(error), vars(error))
        return
    raise AssertionError(f"{code} expected")


def rest(keys):
    api = Spot(config_rest_api=ConfigurationRestAPI(base_path=f"http://{REST}", **keys)).rest_api
    assert len(api.exchange_info().data().symbols) == 4 and api.depth(symbol="BTCUSDT").data().asks
    api.klines(symbol="BTCUSDT", interval="1m").data(), api.ticker24hr(symbol="BTCUSDT").data()
    api.ticker_book_ticker(symbols=["BTCUSDT", "ETHUSDT"]).data()
    last = float(api.ticker_price(symbol="BTCUSDT").data().actual_instance.price)
    bought = api.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01).data()
    assert bought.status == "FILLED" and bought.fills[0].commission_asset == "BTC"
    low = round(last * 0.9, 2)
    order = api.new_order(symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.001, price=low,
                          new_client_order_id="sdk-1", self_trade_prevention_mode="EXPIRE_TAKER", strategy_id=7).data()
    assert api.get_order(symbol="BTCUSDT", order_id=order.order_id).data().status == "NEW"
    refused(-2010, lambda: api.new_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.001, new_client_order_id="sdk-1"))
    replaced = api.order_cancel_replace(symbol="BTCUSDT", side="BUY", type="LIMIT", cancel_replace_mode="STOP_ON_FAILURE",
                                        time_in_force="GTC", quantity=0.002, price=low, cancel_order_id=order.order_id).data()
    assert replaced.new_order_result == "SUCCESS"
    api.new_order(symbol="BTCUSDT", side="SELL", type="STOP_LOSS_LIMIT", time_in_force="GTC", quantity=0.001, price=low, stop_price=low)
    api.order_test(symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.001, compute_commission_rates=True).data()
    assert len(api.get_open_orders(symbol="BTCUSDT").data()) == 2
    assert api.delete_order(symbol="BTCUSDT", order_id=replaced.new_order_response.order_id).data().status == "CANCELED"
    assert len(api.delete_open_orders(symbol="BTCUSDT").data()) == 1
    assert len(api.all_orders(symbol="BTCUSDT", limit=2).data()) == 2 and api.my_trades(symbol="BTCUSDT", limit=1).data()
    every_kind(api, low, round(last * 1.1, 2))
    pages(api)
    assert api.my_filters(symbol="BTCUSDT").data().symbol_filters
    account = api.get_account(omit_zero_balances=True)
    assert {b.asset for b in account.data().balances} >= {"USDT", "BTC"}
    assert account.rate_limits, "the weight headers must be understood"
    api.account_commission(symbol="BTCUSDT").data(), api.rate_limit_order().data()
    refused(-2013, lambda: api.get_order(symbol="BTCUSDT", order_id=999999))
    refused(-1121, lambda: api.ticker_price(symbol="NOSUCH"))


def every_kind(api, low, high):
    """Each order type and time in force; the ones that rest are canceled at the end."""

    def place(side, kind, **fields):
        fields = {"quantity": 0.001, "new_order_resp_type": "RESULT", **fields}
        return api.new_order(symbol="BTCUSDT", side=side, type=kind, **fields).data()

    assert place("BUY", "MARKET", quantity=None, quote_order_qty=50).status == "FILLED"
    for life in ("IOC", "FOK"):
        assert place("BUY", "LIMIT", price=high, time_in_force=life).status == "FILLED"
        assert place("BUY", "LIMIT", price=low, time_in_force=life).status == "EXPIRED"
    for side, kind, fields in (
        ("BUY", "LIMIT_MAKER", dict(price=low)),
        ("SELL", "STOP_LOSS", dict(stop_price=low)),
        ("SELL", "TAKE_PROFIT", dict(stop_price=high)),
        ("SELL", "STOP_LOSS_LIMIT", dict(stop_price=low, price=low, time_in_force="GTC")),
        ("SELL", "TAKE_PROFIT_LIMIT", dict(stop_price=high, price=high, time_in_force="GTC")),
    ):
        made = place(side, kind, **fields)
        assert (made.status, made.type) == ("NEW", kind)
    assert len(api.delete_open_orders(symbol="BTCUSDT").data()) == 5
    refused(-2022, lambda: api.order_cancel_replace(
        symbol="BTCUSDT", side="BUY", type="LIMIT", cancel_replace_mode="STOP_ON_FAILURE", time_in_force="GTC",
        quantity=0.001, price=low, cancel_order_id=999999))


def pages(api):
    orders = api.all_orders(symbol="BTCUSDT", limit=1000).data()
    page = api.all_orders(symbol="BTCUSDT", order_id=orders[1].order_id, limit=2).data()
    assert [o.order_id for o in page] == [o.order_id for o in orders[1:3]]
    page = api.all_orders(symbol="BTCUSDT", start_time=orders[0].time, end_time=orders[0].time + 86_400_000, limit=3).data()
    assert [o.order_id for o in page] == [o.order_id for o in orders[:3]]
    trades = api.my_trades(symbol="BTCUSDT", limit=1000).data()
    page = api.my_trades(symbol="BTCUSDT", from_id=trades[1].id, limit=2).data()
    assert [t.id for t in page] == [t.id for t in trades[1:3]]
    page = api.my_trades(symbol="BTCUSDT", start_time=trades[0].time, end_time=trades[0].time + 86_400_000).data()
    assert [t.id for t in page] == [t.id for t in trades]
    assert [t.order_id for t in api.my_trades(symbol="BTCUSDT", order_id=trades[0].order_id).data()][0] == trades[0].order_id
    refused(-1127, lambda: api.my_trades(symbol="BTCUSDT", start_time=1, end_time=86_400_002))


async def expect_events(api, subscription):
    seen = []
    subscription.stream.on("message", lambda event: seen.append(type(getattr(event, "actual_instance", event)).__name__))
    placed = await api.order_place(symbol="ETHUSDT", side="BUY", type="MARKET", quantity=0.01)
    assert placed.data().result.status == "FILLED"
    admin("/admin/deposit", {"asset": "ETH", "amount": "1"})
    for _ in range(100):
        if {"ExecutionReport", "OutboundAccountPosition", "BalanceUpdate"} <= set(seen):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"events missing: {seen}")


async def websocket_api(keys, by_session):
    config = ConfigurationWebSocketAPI(stream_url=f"ws://{REST}/ws-api/v3", **keys)
    api = Spot(config_ws_api=config).websocket_api
    await api.create_connection()
    try:
        await api.ping(), await api.time(), await api.exchange_info(symbol="ETHUSDT")
        if by_session:
            assert (await api.session_logon()).data().result.api_key == keys["api_key"]
            assert (await api.session_status()).data().result.api_key == keys["api_key"]
            await expect_events(api, await api.user_data_stream_subscribe())
        else:
            await expect_events(api, await api.user_data_stream_subscribe_signature())
        assert (await api.account_status()).data().result.balances
        assert (await api.order_status(symbol="ETHUSDT", order_id=10_000_000)).data()
    except ValueError as error:
        assert "-2013" in str(error), error
    finally:
        await api.close_connection(close_session=True)


async def market_streams():
    config = ConfigurationWebSocketStreams(stream_url=f"ws://{REST}/stream")
    streams = Spot(config_ws_streams=config).websocket_streams
    await streams.create_connection()
    try:
        for open_stream in (
            lambda: streams.book_ticker(symbol="btcusdt"),
            lambda: streams.diff_book_depth(symbol="btcusdt"),
            lambda: streams.partial_book_depth(symbol="btcusdt", levels=5),
            lambda: streams.agg_trade(symbol="btcusdt"),
            lambda: streams.kline(symbol="btcusdt", interval="1m"),
        ):
            seen = asyncio.Event()
            handle = await open_stream()
            handle.on("message", lambda _, seen=seen: seen.set())
            await asyncio.wait_for(seen.wait(), 10)
    finally:
        await streams.close_connection(close_session=True)


for keys in (HMAC, ED25519):
    rest(keys)
asyncio.run(websocket_api(HMAC, False))
asyncio.run(websocket_api(ED25519, False))
asyncio.run(websocket_api(ED25519, True))
asyncio.run(market_streams())
print("binance-sdk-spot: ok")
