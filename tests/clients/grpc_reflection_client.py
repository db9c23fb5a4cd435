"""Drives THUNES with nothing but its reflection: a client that knows no proto file of ours.

Usage: grpc_reflection_client.py FULL.SERVICE.NAME=HOST:PORT ...
Needs grpcio, grpcio-reflection and grpcio-status from PyPI. Prints "ok" as its last line.
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

WITHIN_S = 20
HEALTH = "grpc.health.v1.Health"
DENIED = "❌ Kill-switch is active. No new positions allowed."
SELL_ALLOWED = "✅ SELL orders allowed during kill-switch to close positions"
PASSED = "✅ Trade validation passed"


class Server:
    """One server, as its reflection describes it."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def call(self, service, method, /, **fields):
        described = self.pool.FindServiceByName(service).FindMethodByName(method)
        request = json_format.ParseDict(fields, GetMessageClass(described.input_type)())
        answer = GetMessageClass(described.output_type)
        call = self.channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call(request, timeout=WITHIN_S)

    def services_by(self, version):
        """Asks the reflection service of that version; the messages of both versions have the same shape."""
        listing = self.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answers = listing(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=WITHIN_S)
        return [service.name for service in next(answers).list_services_response.service]


def check_server(service, server):
    for version in ("v1", "v1alpha"):
        names = server.services_by(version)
        assert service in names, f"{version} does not list {service}: {names}"
    assert service in server.database.get_services()
    for name in ("", service):
        answer = server.call(HEALTH, "Check", service=name)
        assert answer.status == 1, f"{service} is not SERVING: {answer}"
    for method in server.pool.FindServiceByName(service).methods:
        assert method.input_type.full_name.endswith("Request"), method.full_name
        assert method.output_type.full_name.endswith("Response"), method.full_name
    print(f"{service}: reflection v1 and v1alpha, SERVING")


def check_kill_switch(server, risk):
    def validate(side):
        fields = {"symbol": "BTCUSDT", "quote_amount": "100", "side": side, "strategy_id": "test"}
        return server.call(risk, "ValidateTrade", **fields)

    for side in ("SIDE_BUY", "BUY"):
        answer = validate(side)
        assert answer.valid and answer.reason == PASSED, answer
        assert answer.reason_code == "TRADE_PASSED" and len(answer.checks) > 3, answer
    answer = server.call(risk, "ActivateKillSwitch", reason="a client without our proto files")
    assert answer.active and answer.durable and answer.changed, answer
    assert [gateway.outcome for gateway in answer.gateways] == [1], answer
    assert server.call(risk, "GetRiskStatus").kill_switch_active
    answer = validate("BUY")
    assert not answer.valid and answer.reason == DENIED, answer
    assert answer.reason_code == "KILL_SWITCH_ACTIVE", answer
    answer = validate("SELL")
    assert answer.valid and answer.reason == SELL_ALLOWED, answer
    answer = server.call(risk, "DeactivateKillSwitch", reason="done")
    assert not answer.active and answer.changed, answer
    assert not server.call(risk, "GetRiskStatus").kill_switch_active
    assert validate("SIDE_BUY").reason == PASSED
    print("the kill-switch was toggled and trades were validated by names found through reflection")


def details_of(error):
    found = {}
    for detail in rpc_status.from_call(error).details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.Help):
            if detail.Is(kind.DESCRIPTOR):
                found[kind.__name__] = kind()
                detail.Unpack(found[kind.__name__])
    return found


def check_error_details(server, risk):
    try:
        server.call(risk, "ValidateTrade", symbol="btc/usdt", quote_amount="1e5", side="BUY")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        details = details_of(error)
    else:
        raise AssertionError("a bad request was answered")
    info = details["ErrorInfo"]
    assert (info.reason, info.domain) == ("INVALID_ARGUMENT", "thunes"), info
    named = {violation.field: violation.description for violation in details["BadRequest"].field_violations}
    assert set(named) == {"symbol", "quote_amount"}, named
    assert "1e5" in named["quote_amount"], named
    assert details["Help"].links[0].url == "docs/errors/INVALID_ARGUMENT.md", details
    print("a bad request names its fields in standard error details")


def main():
    servers = {}
    for pair in sys.argv[1:]:
        service, address = pair.split("=")
        servers[service] = Server(address)
        check_server(service, servers[service])
    risk = "thunes.risk.v1.RiskService"
    check_kill_switch(servers[risk], risk)
    check_error_details(servers[risk], risk)
    print("ok")


main()
