// Puts the server's refusals beside the field that they are about.
import { ApiError, told } from './api';

export type Errors<Name extends string> = Partial<Record<Name | 'form', string>>;

/** `words`: what a message must contain to be about a field, for messages that name none. */
export function beside<Name extends string>(
  error: unknown,
  names: readonly Name[],
  words: Partial<Record<Name, RegExp>> = {},
): Errors<Name> {
  const text = told(error);
  const named = error instanceof ApiError ? names.find((name) => name === error.field) : undefined;
  const field = named ?? names.find((name) => words[name]?.test(text));
  // Beside its field a message need not name it.
  const bare = field && text.startsWith(`${field}: `) ? text.slice(field.length + 2) : text;
  return (field ? { [field]: bare } : { form: text }) as Errors<Name>;
}

/** Moves to the first field that is wrong, once it is marked. */
export function focusFirst(form: HTMLFormElement | null | undefined) {
  requestAnimationFrame(() => form?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
}
