"""Drives the container guard over its Unix socket with nothing but its reflection.

Usage: guard_client.py unix:/PATH SERVICE
Needs grpcio, grpcio-reflection and grpcio-status from PyPI. Kills SERVICE. Prints "ok" as its last line.
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

WITHIN_S = 20
GUARD = "thunes.guard.v1.ContainerGuardService"
CALLS = {
    "ListContainers", "InspectContainer", "KillContainer", "StopContainer", "StartContainer", "PauseContainer",
    "UnpauseContainer", "DisconnectContainer", "ReconnectContainer", "ReadLogs",
}  # fmt: skip

# Of its own accord grpcio sends the socket's path, percent-encoded, as the authority; servers built on Rust's h2 refuse that.
channel = grpc.insecure_channel(sys.argv[1], options=[("grpc.default_authority", "localhost")])
pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
methods = {method.name: method for method in pool.FindServiceByName(GUARD).methods}


def call(method, **fields):
    request = json_format.ParseDict(fields, GetMessageClass(methods[method].input_type)())
    kind = channel.unary_stream if method == "ReadLogs" else channel.unary_unary
    path = f"/{GUARD}/{method}"
    answer = GetMessageClass(methods[method].output_type)
    return kind(path, lambda message: message.SerializeToString(), answer.FromString)(request, timeout=WITHIN_S)


def reason_of_refusal(method, **fields):
    try:
        call(method, **fields)
    except grpc.RpcError as error:
        info = error_details_pb2.ErrorInfo()
        for detail in rpc_status.from_call(error).details:
            if detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
        return info.reason
    raise AssertionError(f"{method} {fields} was answered")


name = sys.argv[2]
assert set(methods) == CALLS, f"exactly these calls: {sorted(methods)}"
assert name in [container.service for container in call("ListContainers").containers]
for hostile in ("", "../" + name, "/containers/json", "a" * 10_000, "r\u00edsk"):
    assert reason_of_refusal("KillContainer", service=hostile) == "INVALID_ARGUMENT", hostile
assert reason_of_refusal("KillContainer", service="nobody") == "CONTAINER_NOT_FOUND"
assert any(part.lines for part in call("ReadLogs", service=name))
killed = call("KillContainer", service=name).container
assert (killed.exit_code, killed.oom_killed) == (137, False), killed
assert reason_of_refusal("KillContainer", service=name) == "CONTAINER_NOT_RUNNING"
print("ok")
