// Asks how likely a flight is to be late. Usage: node deploy/apps/flight-delays/examples/predict.ts [request id]
import { enumToJson } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { MadeBySchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { gatewayAddress } from "./endpoints.ts";

using gateway = connectRpc(PredictionService, gatewayAddress());
const requestId = process.argv[2] ?? `UA-1234-${Date.now()}`;
const { prediction, recorded } = await gateway.predict(
  {
    app: "flight-delays",
    requestId,
    occurredAt: timestampNow(),
    fields: {
      flight_id: { kind: { case: "stringValue", value: requestId } },
      origin: { kind: { case: "stringValue", value: "ORD" } },
      destination: { kind: { case: "stringValue", value: "LAX" } },
      distance: { kind: { case: "doubleValue", value: 1745 } },
    },
  },
  // The first call of a process connects, too.
  { timeoutMs: 2_000 },
);
if (prediction === undefined) throw new Error("an answer always has a prediction");
const { id, probability, decision, madeBy, modelVersion, reason } = prediction;
console.log({ id, probability, decision, madeBy: enumToJson(MadeBySchema, madeBy), modelVersion, reason, recorded });
