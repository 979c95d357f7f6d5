/** Name of every artefact's input, float32 [rows, features]. */
export const INPUT = "features";
/** The output of a binary model, float32 [rows, 1]. */
export const OUTPUT = "probability";
/** The outputs of a multi-class model, float32 and bool [rows, classes]. */
export const CLASS_OUTPUT = "probabilities";
export const SET_OUTPUT = "prediction_set";
/** The outputs of a regression, float32 [rows, 1]. */
export const VALUE_OUTPUT = "value";
export const LOWER_OUTPUT = "lower";
export const UPPER_OUTPUT = "upper";
