"""Meets every documented refusal through python-binance: HTTP status, code and message. Usage: REST_ADDR ADMIN_ADDR ED25519_PEM.

The exchange is to allow 30 unfilled orders in ten seconds.
"""

import json
import sys
import time
import urllib.request

from binance.client import Client
from binance.exceptions import BinanceAPIException

REST, ADMIN, _ = sys.argv[1:4]
SEEN = set()


def make(key="sim-api-key", secret="sim-api-secret"):
    client = Client(key, secret, ping=False)
    client.API_URL = f"http://{REST}/api"
    return client


def admin(path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{ADMIN}{path}", data, {"Content-Type": "application/json"}, method=method)
    return json.load(urllib.request.urlopen(request))


def refused(status, code, message, call):
    try:
        answer = call()
    except BinanceAPIException as error:
        got = (error.status_code, error.code, error.message)
        assert got[:2] == (status, code) and message in got[2], (got, (status, code, message))
        SEEN.add(code)
        return error
    raise AssertionError(f"{code} {message} expected, got {answer}")


client = make()
BUY = dict(symbol="BTCUSDT", side="BUY")
last = float(client.get_symbol_ticker(symbol="BTCUSDT")["price"])
low, high = f"{last * 0.9:.2f}", f"{last * 1.1:.2f}"
LIMIT = dict(BUY, type="LIMIT", timeInForce="GTC", quantity="0.001", price=low)


def post(**fields):
    return client._post("order", True, data=fields)


MANDATORY = "Mandatory parameter '%s' was not sent, was empty/null, or malformed."
ORDERS = [
    (-1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.", dict(LIMIT, symbol="btcusdt")),
    (-1100, "Illegal characters found in parameter 'quantity'; legal range is '^([0-9]{1,20})(\\.[0-9]{1,20})?$'.", dict(LIMIT, quantity="-1")),
    (-1100, "Illegal characters found in parameter 'price'", dict(LIMIT, price="1e5")),
    (-1100, "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'.", dict(LIMIT, newClientOrderId="a.dot")),
    (-1102, MANDATORY % "side", dict(symbol="BTCUSDT", type="MARKET", quantity="1")),
    (-1102, MANDATORY % "price", dict(BUY, type="LIMIT", timeInForce="GTC", quantity="1")),
    (-1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!", dict(BUY, type="MARKET")),
    (-1104, "Not all sent parameters were read; read '9' parameter(s) but was sent '10'.", dict(LIMIT, surprise="1")),
    (-1105, "Parameter 'quantity' was empty.", dict(LIMIT, quantity="")),
    (-1106, "Parameter 'timeInForce' sent when not required.", dict(BUY, type="MARKET", quantity="1", timeInForce="GTC")),
    (-1111, "Parameter 'quantity' has too much precision.", dict(LIMIT, quantity="0.000000001")),
    (-1115, "Invalid timeInForce.", dict(LIMIT, timeInForce="NOW")),
    (-1116, "Invalid orderType.", dict(LIMIT, type="DREAM")),
    (-1117, "Invalid side.", dict(LIMIT, side="HOLD")),
    (-1121, "Invalid symbol.", dict(LIMIT, symbol="NOSUCH")),
    (-1128, "Combination of optional parameters invalid.", dict(BUY, type="MARKET", quantity="1", quoteOrderQty="9")),
    (-1130, "Data sent for parameter 'newOrderRespType' is not valid.", dict(LIMIT, newOrderRespType="SOME")),
    (-1134, "strategyType was less than 1000000.", dict(LIMIT, strategyType="9")),
    (-1013, "Filter failure: PRICE_FILTER", dict(LIMIT, price="60000.001")),
    (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE", dict(LIMIT, price="500")),
    (-1013, "Filter failure: LOT_SIZE", dict(LIMIT, quantity="0.000015")),
    (-1013, "Filter failure: LOT_SIZE", dict(LIMIT, quantity="1000000000000000")),
    (-1013, "Filter failure: NOTIONAL", dict(LIMIT, quantity="0.00001")),
    (-1013, "Filter failure: NOTIONAL", dict(BUY, type="MARKET", quoteOrderQty="0.00000001")),
    (-1013, "Filter failure: ICEBERG_PARTS", dict(LIMIT, quantity="0.1", icebergQty="0.001")),
    (-2010, "Account has insufficient balance for requested action.", dict(LIMIT, quantity="100")),
    (-2010, "Account has insufficient balance for requested action.", dict(symbol="ETHUSDT", side="SELL", type="MARKET", quantity="1")),
    (-2010, "Order would immediately match and take.", dict(BUY, type="LIMIT_MAKER", quantity="0.001", price=high)),
    (-2010, "Order would trigger immediately.", dict(BUY, type="STOP_LOSS", quantity="0.001", stopPrice=low)),
]
for code, message, fields in ORDERS:
    refused(400, code, message, lambda: post(**fields))
assert client.get_all_orders(symbol="BTCUSDT") == [], "a refused order must leave nothing behind"

first = post(**LIMIT, newClientOrderId="once")
refused(400, -2010, "Duplicate order sent.", lambda: post(**LIMIT, newClientOrderId="once"))
refused(400, -2011, "Unknown order sent.", lambda: client.cancel_order(symbol="BTCUSDT", orderId=999999))
refused(400, -2011, "Order was not canceled due to cancel restrictions.", lambda: client.cancel_order(
    symbol="BTCUSDT", orderId=first["orderId"], cancelRestrictions="ONLY_PARTIALLY_FILLED"))
refused(400, -2013, "Order does not exist.", lambda: client.get_order(symbol="BTCUSDT", orderId=999999))
day = 86_400_000
refused(400, -1127, "More than 24 hours between startTime and endTime.", lambda: client.get_my_trades(
    symbol="BTCUSDT", startTime=1, endTime=day + 2))
refused(400, -1120, "Invalid interval.", lambda: client.get_klines(symbol="BTCUSDT", interval="7m"))


def replace(mode, cancel, **fields):
    return client._post("order/cancelReplace", True, data=dict(LIMIT, cancelReplaceMode=mode, cancelOrderId=cancel, **fields))


def halves(error, cancel, new):
    data = json.loads(error.response.text)["data"]
    assert (data["cancelResult"], data["newOrderResult"]) == (cancel, new), data
    return data


data = halves(refused(400, -2022, "Order cancel-replace failed.", lambda: replace("STOP_ON_FAILURE", 999999)), "FAILURE", "NOT_ATTEMPTED")
assert data["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."} and data["newOrderResponse"] is None
data = halves(refused(409, -2021, "Order cancel-replace partially failed.", lambda: replace("ALLOW_FAILURE", 999999)), "FAILURE", "SUCCESS")
assert data["newOrderResponse"]["status"] == "NEW"
both = lambda: client._post("order/cancelReplace", True, data=dict(
    LIMIT, quantity="100", cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=999999))
data = halves(refused(400, -2022, "Order cancel-replace failed.", both), "FAILURE", "FAILURE")
assert data["newOrderResponse"]["code"] == -2010
half = lambda: client._post("order/cancelReplace", True, data=dict(
    LIMIT, quantity="100", cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=first["orderId"]))
halves(refused(409, -2021, "Order cancel-replace partially failed.", half), "SUCCESS", "FAILURE")

for offset, message in (
    (-20_000, "Timestamp for this request is outside of the recvWindow."),
    (20_000, "Timestamp for this request was 1000ms ahead of the server's time."),
):
    client.timestamp_offset = offset
    refused(400, -1021, message, client.get_account)
client.timestamp_offset = 0
refused(400, -1022, "Signature for this request is not valid.", make(secret="wrong").get_account)
refused(401, -2014, "API-key format invalid.", make(key="no such key!").get_account)
refused(401, -2015, "Invalid API-key, IP, or permissions for action.", make(key="unknown").get_account)
refused(410, -1020, "retired", client.stream_get_listen_key)

FAULTS = [
    ("http_429", 429, -1003, "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.", "1"),
    ("http_418", 418, -1003, "Way too much request weight used; IP banned until", "120"),
    ("error_1006_before", 500, -1006, "An unexpected response was received from the message bus. Execution status unknown.", None),
    ("error_503_before", 503, -1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown.", None),
    ("error_1008", 503, -1008, "Server is currently overloaded with other requests. Please try again in a few minutes.", None),
    ("http_403", 403, 0, "", None),
]
for kind, status, code, message, retry_after in FAULTS:
    admin("/admin/faults", {"kind": kind, "path": "/api/v3/order"})
    error = refused(status, code, message, lambda: post(**LIMIT))
    assert error.response.headers.get("Retry-After") == retry_after, (kind, error.response.headers)
    assert admin("/admin/faults")["hits"][kind] == 1
admin("/admin/faults", {"kind": "halt_symbol", "symbol": "BTCUSDT"})
refused(400, -1013, "Market is closed.", lambda: post(**LIMIT))
admin("/admin/faults", method="DELETE")

# Only unfilled orders count; the count is taken anew every ten seconds, so a fresh window is waited for.
time.sleep(10 - time.time() % 10 + 0.05)
for _ in range(30):
    post(**LIMIT)
assert client.response.headers["x-mbx-order-count-10s"] == "30" and client.response.headers["x-mbx-order-count-1d"]
refused(429, -1015, "Too many new orders; current limit is 30 orders per 10 SECOND.", lambda: post(**LIMIT))
counted = client._get("rateLimit/order", True, data={})
assert counted[0]["count"] == 30, counted
print("errors", sorted(SEEN, reverse=True), ": ok")
