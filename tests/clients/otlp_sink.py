"""An OTLP receiver for tests: takes traces, metrics and logs over gRPC and writes what it got as JSON lines.

Usage: otlp_sink.py FILE [--hang]
Prints "port N" when it listens. With --hang it takes connections and never answers. Ends when standard input ends.
"""

import json
import sys
import threading
from concurrent import futures

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


def value(any_value):
    kind = any_value.WhichOneof("value")
    return None if kind is None else getattr(any_value, kind) if kind.endswith(("string_value", "int_value", "bool_value", "double_value")) else str(getattr(any_value, kind))


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


class Sink:
    def __init__(self, path, hang):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()
        self.hang = hang

    def take(self, lines):
        if self.hang:
            threading.Event().wait()
        with self.lock:
            for line in lines:
                self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def spans(self, request):
        for group in request.resource_spans:
            resource = attributes(group.resource.attributes)
            for scope in group.scope_spans:
                for span in scope.spans:
                    yield {
                        "kind": "span",
                        "service": resource.get("service.name"),
                        "resource": resource,
                        "name": span.name,
                        "span_kind": span.kind,
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_span_id": span.parent_span_id.hex(),
                        "start_ns": span.start_time_unix_nano,
                        "end_ns": span.end_time_unix_nano,
                        "status": span.status.code,
                        "attributes": attributes(span.attributes),
                    }

    def metrics(self, request):
        for group in request.resource_metrics:
            resource = attributes(group.resource.attributes)
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    data = getattr(metric, metric.WhichOneof("data"))
                    for point in data.data_points:
                        histogram = metric.WhichOneof("data") == "histogram"
                        yield {
                            "kind": "metric",
                            "service": resource.get("service.name"),
                            "name": metric.name,
                            "unit": metric.unit,
                            "attributes": attributes(point.attributes),
                            "value": point.count if histogram else getattr(point, point.WhichOneof("value")),
                        }

    def logs(self, request):
        for group in request.resource_logs:
            resource = attributes(group.resource.attributes)
            for scope in group.scope_logs:
                for record in scope.log_records:
                    yield {
                        "kind": "log",
                        "service": resource.get("service.name"),
                        "target": scope.scope.name,
                        "level": record.severity_text,
                        "body": value(record.body),
                        "trace_id": record.trace_id.hex(),
                        "span_id": record.span_id.hex(),
                        "attributes": attributes(record.attributes),
                    }


def main():
    sink = Sink(sys.argv[1], "--hang" in sys.argv)

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request, context):
            sink.take(sink.spans(request))
            return trace_service_pb2.ExportTraceServiceResponse()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request, context):
            sink.take(sink.metrics(request))
            return metrics_service_pb2.ExportMetricsServiceResponse()

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request, context):
            sink.take(sink.logs(request))
            return logs_service_pb2.ExportLogsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"port {port}", flush=True)
    sys.stdin.read()
    # What hangs must not hold up the end.
    import os

    os._exit(0)


main()
