import { type DescMessage, type DescMethod, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition, UntypedHandleCall } from "@grpc/grpc-js";
import { describeError, MillraceError } from "@millrace/runtime";
import { Encoded } from "./encoded.ts";

/** A protobuf-es service as grpc-js wants it described. */
export function serviceDefinition(service: DescService): ServiceDefinition<Record<string, UntypedHandleCall>> {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

/** The same for a server whose answers are bytes already. */
export function serverDefinition(service: DescService): ReturnType<typeof serviceDefinition> {
  const definition = serviceDefinition(service);
  for (const method of Object.values(definition)) method.responseSerialize = (bytes) => bytes as Buffer;
  return definition;
}

/** One of its methods. */
export function methodDefinition(method: DescMethod): MethodDefinition<object, object> {
  const { input, output, methodKind } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    originalName: method.localName,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
    requestSerialize: (message) => asBuffer(toBinary(input, message as never)),
    requestDeserialize: (bytes) => decode(input, bytes),
    responseSerialize: (message) =>
      asBuffer(message instanceof Encoded ? message.bytes : toBinary(output, message as never)),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

/** Stands for a request that could not be decoded, so that its handler answers with a proper status: grpc-js says INTERNAL. */
export class MalformedMessage {
  readonly error: MillraceError;

  constructor(error: MillraceError) {
    this.error = error;
  }
}

function decode(type: DescMessage, bytes: Uint8Array): object {
  try {
    return fromBinary(type, bytes);
  } catch (cause) {
    const message = `the ${bytes.length} bytes received are not a ${type.typeName}: ${describeError(cause)}`;
    return new MalformedMessage(new MillraceError("invalid_argument", message, { cause }));
  }
}

/** A view, not a copy. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
