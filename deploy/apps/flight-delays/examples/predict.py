"""Asks how likely a flight is to be late. Usage: python predict.py [request id]"""

import sys
import time

import grpc
from endpoints import gateway_address
from google.protobuf.timestamp_pb2 import Timestamp

from millrace.event.v1.event_pb2 import Value
from millrace.prediction.v1.prediction_pb2 import MadeBy
from millrace.prediction.v1.prediction_service_pb2 import PredictRequest
from millrace.prediction.v1.prediction_service_pb2_grpc import PredictionServiceStub

request_id = sys.argv[1] if len(sys.argv) > 1 else f"UA-1234-{time.time_ns()}"
now = Timestamp()
now.GetCurrentTime()

with grpc.insecure_channel(gateway_address()) as channel:
    # A channel connects at its first use; that must not count against the call's deadline.
    grpc.channel_ready_future(channel).result(timeout=5)
    response = PredictionServiceStub(channel).Predict(
        PredictRequest(
            app="flight-delays",
            request_id=request_id,
            occurred_at=now,
            fields={
                "flight_id": Value(string_value=request_id),
                "origin": Value(string_value="ORD"),
                "destination": Value(string_value="LAX"),
                "distance": Value(double_value=1745),
            },
        ),
        timeout=1,
    )

answer = response.prediction
print(
    f"probability {answer.probability:.3f}, decision {answer.decision!r}, {MadeBy.Name(answer.made_by)}"
    f" {answer.model_version or '(no model)'}, recorded {response.recorded}, id {answer.id}"
)
