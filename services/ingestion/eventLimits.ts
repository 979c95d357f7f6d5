/** Bytes of an event, as it came and as it is stored: with what is added to it, it must fit a message of the bus. */
export const MAX_EVENT_BYTES = 512 * 1_024;

/** Events of a message. */
export const MAX_EVENTS_PER_MESSAGE = 1_000;

/** Fields of an event, known or not. */
export const MAX_FIELDS = 1_000;

/** Objects and arrays within one another, in a field of a JSON event. */
export const MAX_NESTING = 16;

/** Characters of an event's id. */
export const MAX_ID_LENGTH = 256;

/** Characters of a field's name. */
export const MAX_FIELD_NAME_LENGTH = 128;
