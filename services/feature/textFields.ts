import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/** Before a field's name in a dataset's columns: a feature may have the same name. */
export const TEXT_COLUMN = "request.";

/** Fields of the request that a dataset keeps as texts: those that models are evaluated by (`model.segments`), and that are no features. */
export const textFieldsOf = ({ model, features }: App): string[] =>
  (model?.segments ?? []).filter((name) => !Object.hasOwn(features, name));
