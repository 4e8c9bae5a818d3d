// The server's HTTP interface, typed. Every refusal becomes one `ApiError`, whether it
// came as a status or, in Ant Media's manner, as a 200 with `success: false`.

export type Role = 'ADMIN' | 'USER' | 'READ_ONLY';
export type Action = 'publish' | 'play';
export type BlockKind = 'publish' | 'play' | 'publish_play';

export interface Me {
  email: string;
  firstName: string;
  lastName: string;
  role: Role;
}
export interface Players {
  webrtc: number;
  hls: number;
  rtmp: number;
}
export interface Stream {
  app: string;
  id: string;
  name: string | null;
  live: boolean;
  registered: boolean;
  protocol: 'rtmp' | 'whip' | 'webrtc' | null;
  publisher: string | null;
  peer: string | null;
  /** Wall clock of the server, in milliseconds, as all times here. */
  since: number | null;
  video: { codec: string; width: number; height: number } | null;
  audio: { codec: string; rate: number; channels: number } | null;
  receivedBytes: number;
  players: Players;
  keyframesOnly: boolean;
}
export interface Streams {
  at: number;
  live: number;
  matching: number;
  players: Players;
  receivedBytes: number;
  streams: Stream[];
}
export interface Session {
  id: string;
  role: 'publisher' | 'player';
  protocol: string;
  subscriber: string | null;
  peer: string;
  since: number;
  bytes: number;
  gaps: number;
  /** Milliseconds of media that a player's connection has not been given; null where unknown. */
  lag: number | null;
  standing: 'granted' | 'suspended' | 'revoked';
}
export interface StreamDetail {
  at: number;
  stream: Stream;
  /** How many sessions there are. */
  total: number;
  /** How many of them match what is searched. */
  matching: number;
  sessions: Session[];
}
export interface Subscriber {
  subscriberId: string;
  subscriberName: string | null;
  streamId: string;
  type: Action | null;
  connected: boolean;
  currentConcurrentConnections: number;
  concurrentConnectionsLimit: number;
  publishBlockedUntilMs: number;
  playBlockedUntilMs: number;
  totpExpiryPeriodSeconds: number | null;
}
/** Whose codes are being guessed; unknown networks may be refused a right one meanwhile. */
export interface Guessed {
  /** Codes of all who have no secret of their own. */
  derived: boolean;
  subscribers: string[];
}
export interface NewSubscriber {
  subscriberId: string;
  subscriberName: string;
  b32Secret: string;
  type: Action;
  concurrentConnectionsLimit: number;
  /** `null`: the application's. */
  totpExpiryPeriodSeconds: number | null;
}
export interface ConnectionEvent {
  timestamp: number;
  eventType: 'connected' | 'disconnected';
  type: Action | null;
  eventProtocol: string | null;
  subscriberId: string;
}
export interface Setting {
  name: string;
  group: string;
  kind: 'flag' | 'whole' | 'text' | 'secret' | 'networks';
  default: unknown;
  min?: number;
  max?: number;
  label: string;
  help: string;
}
export interface User {
  email: string;
  firstName: string;
  lastName: string;
  userType: Role;
  appNameUserType: Record<string, Role>;
}
export interface AuditEntry {
  at: number;
  who: string;
  from: string | null;
  what: string;
  /** What was done, in words. */
  title: string;
  app: string | null;
  stream: string | null;
  subscriber: string | null;
  detail: string | null;
}
export interface Audit {
  matching: number;
  entries: AuditEntry[];
}
export interface Addresses {
  rtmp: { host?: string; port: number };
  rtmps: { port: number } | null;
  http: { port: number };
  https: { port: number } | null;
}
export interface Imported {
  added: number;
  refused: { line: number; subscriberId: string | null; message: string }[];
}
interface Result {
  success: boolean;
  message: string | null;
  dataId: string | null;
  field?: string | null;
}

/** A refusal in the server's words; `status` 0 means that it could not be asked. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly field: string | null = null,
  ) {
    super(message);
  }
}

const PROBE_MS = 3000;
const NOT_LOGGED_IN = 'Not authenticated user';
let loginLost = () => {};

/** Says what happens when an answer tells that the login has ended. */
export function onLoginLost(then: () => void) {
  loginLost = then;
}

interface Ask {
  method?: string;
  json?: unknown;
  text?: { type: string; body: string };
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

async function ask(path: string, { method = 'GET', json, text, headers = {}, signal }: Ask = {}): Promise<Response> {
  const sent = { ...headers };
  let body: string | undefined;
  if (json !== undefined) {
    body = JSON.stringify(json);
    sent['content-type'] = 'application/json';
  } else if (text) {
    body = text.body;
    sent['content-type'] = text.type;
  }
  const init: RequestInit = { method, headers: sent, credentials: 'same-origin', cache: 'no-store' };
  if (body !== undefined) init.body = body;
  if (signal) init.signal = signal;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, unreached(method));
  }
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response: Response): Promise<ApiError> {
  const said = await response.text();
  let { message, field } = { message: '', field: null as string | null };
  try {
    const parsed = JSON.parse(said) as Partial<Result>;
    message = parsed.message ?? '';
    field = parsed.field ?? null;
  } catch {
    message = said.length < 300 ? said.trim() : '';
  }
  if (response.status === 403 && message === NOT_LOGGED_IN) loginLost();
  return new ApiError(response.status, message || inWords(response.status), field);
}

// An answer that was lost looks like a question that was.
const unreached = (method: string) =>
  method === 'GET' ? 'The server cannot be reached. Try again.' : 'The server cannot be reached. Whether it was done is not known: look, and try again.';

function inWords(status: number): string {
  if (status === 403) return 'Your role does not allow this.';
  if (status === 404) return 'It does not exist (any more).';
  if (status === 412) return 'Somebody else changed it meanwhile.';
  if (status === 413) return 'That is too large.';
  if (status === 503) return 'The server is too busy or its disk does not answer.';
  return `The server answered with status ${status}.`;
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask(path, signal ? { signal } : {})).json() as Promise<T>;
}

/** Some rows of a list, and how many there are in all. */
export interface Page<T> {
  rows: T[];
  total: number;
}

/** A list in Ant Media's words, whose length a header tells. It gives 50 rows at most. */
async function page<T>(path: string, signal?: AbortSignal): Promise<Page<T>> {
  const response = await ask(path, signal ? { signal } : {});
  const rows = (await response.json()) as T[];
  return { rows, total: Number(response.headers.get('x-total-count') ?? rows.length) };
}

async function result(path: string, how: Ask = {}): Promise<Result> {
  const answer = (await (await ask(path, how)).json()) as Result;
  if (!answer.success) throw new ApiError(200, answer.message || 'The server refused.', answer.field ?? null);
  return answer;
}

/** Whether it was done, without a reason when not. */
async function yes(path: string): Promise<boolean> {
  return (await get<Result>(path)).success;
}

const part = encodeURIComponent;
const console_ = '/rest/v2';
const panel = '/rest/v2/panel';
const stream = (app: string, id: string) => `/${part(app)}/rest/v2/broadcasts/${part(id)}`;
const live = (app: string, id: string) => `${panel}/streams/${part(app)}/${part(id)}`;
const query = (values: Record<string, string | number | boolean>) =>
  new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)])).toString();

export interface StreamsAsked {
  app: string;
  search: string;
  offset: number;
  size: number;
  live: boolean;
}
export type NewAccount = { email: string; password: string; firstName: string; lastName: string };

export const api = {
  needsFirstAccount: () => yes(`${console_}/first-login-status`),
  createFirstAccount: (account: NewAccount & { setupToken?: string }) =>
    result(`${console_}/users/initial`, { method: 'POST', json: account }),
  logIn: (email: string, password: string) =>
    result(`${console_}/users/authenticate`, { method: 'POST', json: { email, password } }),
  logOut: () => result(`${console_}/users/logout`, { method: 'DELETE' }),
  isLoggedIn: () => yes(`${console_}/authentication-status`),
  me: () => get<Me>(`${panel}/me`),
  applications: async () => (await get<{ applications: string[] }>(`${console_}/applications`)).applications,
  /** `versionName` is Ant Media's, for its clients; ours is beside it. */
  version: () => get<{ serverVersion: string }>(`${console_}/version`),
  addresses: () => get<Addresses>(`${panel}/addresses`),

  /** An application with a live stream, if there is one. */
  liveApp: async () =>
    (await get<{ streams: { app: string }[] }>(`${panel}/streams?${query({ live: true, size: 1 })}`)).streams[0]?.app,
  streamEvents: (asked: StreamsAsked) => `${panel}/streams/events?${query({ ...asked })}`,
  streamDetailEvents: (app: string, id: string, sessions: { search: string; offset: number; size: number }) =>
    `${live(app, id)}/events?${query(sessions)}`,
  thumbnail: (app: string, id: string, version: number) => `${live(app, id)}/thumbnail?v=${version}`,
  /** Asks once for what a stream of events would tell. */
  probe: async <T>(events: string) => (await (await ask(events.replace('/events?', '?'), { signal: AbortSignal.timeout(PROBE_MS) })).json()) as T,
  createStream: (app: string, streamId: string, name: string) =>
    ask(`/${part(app)}/rest/v2/broadcasts/create`, { method: 'POST', json: { streamId, name } }),
  removeStream: (app: string, id: string) => result(stream(app, id), { method: 'DELETE' }),
  stopStream: (app: string, id: string) => result(`${stream(app, id)}/stop`, { method: 'POST' }),
  stopSession: (app: string, id: string, session: string) =>
    result(`${live(app, id)}/sessions/${part(session)}`, { method: 'DELETE' }),

  subscribers: (app: string, id: string, offset: number, size: number, search: string, signal?: AbortSignal) =>
    page<Subscriber>(`${stream(app, id)}/subscribers/list/${offset}/${size}?${query({ search })}`, signal),
  /** One of them, whom only the list shows. */
  subscriber: async (app: string, id: string, sid: string) => {
    for (let offset = 0; ; ) {
      const { rows } = await api.subscribers(app, id, offset, 50, sid);
      const found = rows.find((row) => row.subscriberId === sid);
      if (found) return found;
      if (!rows.length) throw new ApiError(404, inWords(404));
      offset += rows.length;
    }
  },
  putSubscriber: (app: string, id: string, subscriber: NewSubscriber) =>
    result(`${stream(app, id)}/subscribers`, { method: 'POST', json: subscriber }),
  removeSubscriber: (app: string, id: string, sid: string) =>
    result(`${stream(app, id)}/subscribers/${part(sid)}`, { method: 'DELETE' }),
  guessed: (app: string, id: string, signal?: AbortSignal) => get<Guessed>(`${live(app, id)}/guesses`, signal),
  /** Of a subscriber, or of all who have no secret of their own. */
  liftSlowDown: (app: string, id: string, sid: string | null) =>
    result(`${live(app, id)}/guesses${sid === null ? '' : `/${part(sid)}`}`, { method: 'DELETE' }),
  code: async (app: string, id: string, sid: string, type: Action) =>
    (await result(`${stream(app, id)}/subscribers/${part(sid)}/totp?type=${type}`)).dataId ?? '',
  /** A pass with which the preview plays without a code, for a minute. */
  previewPass: async (app: string, id: string) => (await result(`${live(app, id)}/preview`)).dataId ?? '',
  block: (app: string, id: string, sid: string, seconds: number, kind: BlockKind) =>
    result(`${stream(app, id)}/subscribers/${part(sid)}/block/${seconds}/${kind}`, { method: 'PUT' }),
  importSubscribers: async (app: string, id: string, csv: string) =>
    (await (
      await ask(`${live(app, id)}/subscribers/import`, { method: 'POST', text: { type: 'text/csv', body: csv } })
    ).json()) as Imported,
  subscribersCsv: (app: string, id: string) => `${live(app, id)}/subscribers.csv`,
  /** Newest first: those of one subscriber, or of all whose id holds what is searched. */
  connectionEvents: (app: string, id: string, offset: number, size: number, of: { subscriberId: string } | { search: string }, signal?: AbortSignal) =>
    page<ConnectionEvent>(
      `${stream(app, id)}/connection-events/${offset}/${size}?${query({ order_by: 'desc', ...of })}`,
      signal,
    ),

  settingsSchema: () => get<Setting[]>(`${panel}/settings`),
  settings: async (app: string) => {
    const response = await ask(`${console_}/applications/settings/${part(app)}`);
    return { revision: response.headers.get('etag') ?? '*', values: (await response.json()) as Record<string, unknown> };
  },
  changeSettings: (app: string, revision: string, patch: Record<string, unknown>) =>
    result(`${console_}/applications/settings/${part(app)}`, {
      method: 'POST',
      json: patch,
      headers: { 'if-match': revision },
    }),

  users: () => get<User[]>(`${console_}/user-list`),
  createUser: (user: NewAccount & { userType: Role }) =>
    result(`${console_}/users`, { method: 'POST', json: { ...user, scope: 'system' } }),
  changeUser: (user: Omit<NewAccount, 'password'> & { userType: Role; newPassword?: string }) =>
    result(`${console_}/users`, { method: 'PUT', json: { ...user, scope: 'system' } }),
  removeUser: (email: string) => result(`${console_}/users/${part(email)}`, { method: 'DELETE' }),
  changePassword: (password: string, newPassword: string) =>
    result(`${console_}/users/password`, { method: 'POST', json: { password, newPassword } }),

  audit: (offset: number, size: number, search: string, signal?: AbortSignal) =>
    get<Audit>(`${panel}/audit?${query({ offset, size, search })}`, signal),
};

/** The words of anything that was thrown. */
export function told(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
