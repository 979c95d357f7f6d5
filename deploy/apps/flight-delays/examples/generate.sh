#!/bin/sh
# Generates the Python code of the contracts that the examples use into ./generated.
set -eu
cd "$(dirname "$0")"
mkdir -p generated
"${PYTHON:-python3}" -m grpc_tools.protoc -I ../../../../proto --python_out=generated --grpc_python_out=generated \
  millrace/event/v1/event.proto \
  millrace/prediction/v1/prediction.proto \
  millrace/prediction/v1/prediction_service.proto
